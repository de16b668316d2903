"""Ways to die or to hang, one by path; every other path says who answers."""

import ctypes
import os
import signal


def segfault():
    ctypes.string_at(0)


def abort():
    os.abort()


def leave():
    os._exit(3)


def leave_well():
    os._exit(0)


def be_killed():
    # As the kernel does when memory is short.
    os.kill(os.getpid(), signal.SIGKILL)


def hold_the_gil():
    # PyDLL keeps the GIL for as long as the function takes.
    ctypes.PyDLL(None).poll(None, 0, 60_000)


def wait_in_c():
    # CDLL gives it back, and no exception ends it.
    ctypes.CDLL(None).poll(None, 0, 60_000)


WAYS = {
    "/segfault": segfault,
    "/abort": abort,
    "/leave": leave,
    "/leave_well": leave_well,
    "/be_killed": be_killed,
    "/hold_the_gil": hold_the_gil,
    "/wait_in_c": wait_in_c,
}


def application(environ, start_response):
    way = WAYS.get(environ["PATH_INFO"])
    if way:
        way()
    answer = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(answer)))])
    return [answer]
