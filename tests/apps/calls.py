"""Calls that take long, each in another way. What became of them is told at `/told`, and `/open` lets those go that wait."""

import ctypes
import os
import queue
import threading
import time

opened = threading.Event()
count = 0
told = []

# With the GIL held, as C code does that forgets to let go of it.
poll = ctypes.PyDLL(None).poll
poll_without_gil = ctypes.CDLL(None).poll


def loop(seconds=3600.0):
    """Runs Python until it is opened, or raised out of."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and not opened.wait(0.005):
        pass


def note(what):
    told.append(what)


def raised(environ):
    try:
        loop()
    except BaseException as error:
        note(f"{type(error).__module__}.{type(error).__name__}")
        note(isinstance(error, environ["monoceros.RequestTimeout"]) and not isinstance(error, Exception))
        raise


def swallow(environ):
    try:
        loop()
    except BaseException:
        note("swallowed")


def two(name):
    def pieces():
        try:
            yield b"first "
            loop()
            yield b"second"
        except BaseException as error:
            note(f"{name} ended by {type(error).__name__}")
            raise
        finally:
            note(f"{name} over")

    return pieces()


def cut():
    yield b"first "
    raise RuntimeError("it breaks in the middle")


def endless():
    try:
        while True:
            yield b"x" * 65536
    finally:
        note("endless over")


def wait_for_file():
    """In C, where no exception arrives, but for a look now and then whether the test has put a file here."""
    until = os.path.join(os.path.dirname(__file__), "open")
    while not os.path.exists(until):
        poll_without_gil(None, 0, 20)


def queued():
    """An iterator in C throughout, which waits in C for what comes once the test has put its file here."""
    items = queue.SimpleQueue()

    def fill():
        wait_for_file()
        items.put(b"late")

    threading.Thread(target=fill).start()
    return iter(items.get, b"never")


def slow(count, pause):
    for number in range(count):
        loop(pause)
        yield f"{number} ".encode()


class Closing:
    """An answer whose close() never comes back by itself."""

    def __iter__(self):
        return iter([b"whole"])

    def close(self):
        try:
            loop()
        finally:
            note("closed")


def application(environ, start_response):
    path = environ["PATH_INFO"]
    extend = environ["monoceros.extend_timeout"]
    fields = [("Content-Type", "text/plain")]
    if path == "/raised":
        raised(environ)
    elif path == "/swallow":
        swallow(environ)
    elif path == "/wait":
        note("waits")
        opened.wait()
        note("waited")
    elif path == "/gil":
        poll(None, 0, int(environ["QUERY_STRING"]))
    elif path == "/extend":
        extend(float(environ["QUERY_STRING"]))
        loop(0.75)
    elif path == "/chunks":
        start_response("200 OK", fields)
        return two("chunks")
    elif path == "/cut":
        start_response("200 OK", fields)
        return cut()
    elif path == "/close":
        start_response("200 OK", fields)
        return Closing()
    elif path == "/file":
        wait_for_file()
    elif path == "/queued":
        start_response("200 OK", fields)
        return queued()
    elif path == "/busy":
        until = time.monotonic() + int(environ["QUERY_STRING"]) / 1000
        while time.monotonic() < until:
            pass
    elif path == "/count":
        for _ in range(2000):
            pass
    elif path == "/endless":
        start_response("200 OK", fields)
        return endless()
    elif path == "/large":
        start_response("200 OK", fields)
        return iter([b"x" * 262144] * 64)
    elif path == "/slow":
        start_response("200 OK", fields)
        return slow(4, float(environ["QUERY_STRING"] or 0.6))
    elif path == "/write":
        write = start_response("200 OK", fields)
        write(b"written ")
        try:
            loop()
        except BaseException:
            try:
                write(b"more")
            except BaseException as error:
                note(f"write raised {type(error).__name__}")
            raise
    elif path == "/open":
        opened.set()
    elif path == "/shut":
        opened.clear()
    elif path == "/fault":
        ctypes.string_at(0)
    text = {"/pid": str(os.getpid()), "/told": repr(told), "/agent": environ.get("HTTP_USER_AGENT", "")}.get(path, "ok")
    body = environ["wsgi.input"].read()
    answer = text.encode() + (b" %d" % len(body) if body else b"")
    start_response("200 OK", [*fields, ("Content-Length", str(len(answer)))])
    return [answer]
