"""Prints: to standard output and error, in the ways that programs do, and dies of it where it is told to."""

import ctypes
import faulthandler
import logging
import os
import signal
import sys
import traceback

logging.basicConfig(level=logging.INFO)
print("imported")


def plain():
    print("from print")
    print("from sys.stderr", file=sys.stderr)


def tracebacks():
    try:
        try:
            {}[1]
        except KeyError:
            raise ValueError("chained")
    except ValueError:
        logging.exception("it failed")
        traceback.print_exc()


def bytes_():
    os.write(1, b"\xff\x1b[2J\x00\n")
    os.write(2, b"without an end")


def flood():
    line = b"x" * 99 + b"\n"
    for _ in range(20_000):
        os.write(1, line * 10)
    print("flooded")


def forever():
    while True:
        print("again and again")


def segfault():
    print("about to die")
    faulthandler.enable()
    ctypes.string_at(0)


def abort():
    os.write(1, b"out of luck")
    os.abort()


def leave_child():
    """A child that holds the pipes until something is written into the FIFO `wake`."""
    if os.fork() == 0:
        signal.alarm(60)
        with open("wake") as wake:
            wake.read()
        print("the child has", pipes(), "pipes more", flush=True)
        os._exit(0)


def pipes():
    """How many pipes are open beside the standard ones."""
    links = (f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd") if int(fd) > 2)
    return sum(os.readlink(link).startswith("pipe:") for link in links if os.path.islink(link))


def close():
    os.close(1)
    os.close(2)


def reopen():
    sys.stdout = open("/dev/stdout", "w")
    print("reopened", flush=True)


def silence():
    sys.stdout = sys.stderr = None


def spawn():
    os.system("echo from a child")


def application(environ, start_response):
    name = environ["PATH_INFO"].strip("/")
    if name:
        globals()[name]()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
