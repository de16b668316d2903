"""Calls that wait, as those of greenlets do, and what they must not share."""

import contextvars
import ctypes
import hashlib
import os
import subprocess
import sys
import threading
from time import sleep as nap

local = threading.local()
variable = contextvars.ContextVar("variable")
released = threading.Event()
held = 0
told = []
poll_without_gil = ctypes.CDLL(None).poll
PIECE = b"x" * 65536
PIECES = 80


def hold():
    global held
    held += 1
    try:
        released.wait()
    finally:
        held -= 1


def pieces(name):
    try:
        for _ in range(PIECES):
            yield PIECE
    except BaseException as error:
        told.append(f"{name} ended by {type(error).__name__}")
        raise
    finally:
        told.append(f"{name} over as {getattr(local, 'name', None)}")


class Closing:
    def __init__(self, name):
        self.name = name

    def __iter__(self):
        nap(0.01)
        return iter([b"a", b"", b"b"])

    def close(self):
        nap(0.01)
        told.append(f"closed {self.name} as {local.name}")


def waits(seconds):
    try:
        nap(seconds)
    except BaseException as error:
        told.append(f"{type(error).__module__}.{type(error).__name__}")
        raise


def spins():
    try:
        while True:
            pass
    except BaseException as error:
        told.append(f"{type(error).__module__}.{type(error).__name__}")
        raise


def in_c():
    """In C and without the GIL, as a driver that nobody patched, for longer than anybody waits."""
    poll_without_gil(None, 0, 600_000)


def application(environ, start_response):
    path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
    fields = [("Content-Type", "text/plain")]
    local.name = query
    variable.set(query)
    text = "ok"
    if path == "/nap":
        nap(float(query))
    elif path == "/local":
        nap(0.02)
        text = f"{local.name} {variable.get()}"
    elif path == "/hold":
        hold()
        text = "released"
    elif path == "/held":
        text = str(held)
    elif path == "/release":
        released.set()
    elif path == "/told":
        text = repr(told)
    elif path == "/stream":
        start_response("200 OK", fields)
        return pieces(query)
    elif path == "/endless":
        start_response("200 OK", fields)
        return iter(lambda: PIECE, None)
    elif path == "/empty":
        start_response("200 OK", fields)
        return iter(lambda: b"", None)
    elif path == "/closing":
        start_response("200 OK", fields)
        return Closing(query)
    elif path == "/write":
        write = start_response("200 OK", fields)
        try:
            for _ in range(PIECES):
                write(PIECE)
        except BaseException as error:
            told.append(f"write raised {type(error).__name__} as {local.name}")
            raise
        return [b"end"]
    elif path == "/waits":
        waits(float(query))
    elif path == "/spins":
        spins()
    elif path == "/c":
        in_c()
    elif path == "/extend":
        environ["monoceros.extend_timeout"](float(query))
        nap(0.8)
    elif path == "/hints":
        nap(0.02)
        environ["wsgi.early_hints"]([("Link", f"</{query}>; rel=preload")])
    elif path == "/child":
        text = subprocess.run([sys.executable, "-c", "print(6 * 7)"], capture_output=True, text=True).stdout.strip()
    elif path == "/fork":
        pid = os.fork()
        if pid == 0:
            nap(float(query))
            os._exit(7)
        text = str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    elif path == "/exit":
        sys.exit(3)
    elif path == "/exits":
        __import__(query).spawn(sys.exit, 3)
    elif path == "/pid":
        text = str(os.getpid())
    elif path == "/environ":
        text = repr(environ[query])
    elif path == "/raises":
        nap(0.01)
        raise ValueError(query)
    elif path == "/upload":
        body = environ["wsgi.input"].read()
        text = f"{len(body)} {hashlib.sha256(body).hexdigest()}"
    answer = text.encode()
    start_response("200 OK", [*fields, ("Content-Length", str(len(answer)))])
    return [answer]
