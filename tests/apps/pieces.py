"""Answers in pieces, some of which come late: `/stall` and `/compute` go on when there is a file `open` beside this one, `/wait` when `later`."""

import pathlib
import threading

FOLDER = pathlib.Path(__file__).parent
tick = threading.Event()


def wait_for(name):
    while not (FOLDER / name).exists():
        tick.wait(0.005)


def stall():
    yield b"first "
    wait_for("open")
    yield b"last"


def compute():
    yield b"first "
    while not (FOLDER / "open").exists():
        pass
    yield b"last"


def fail():
    yield b"first "
    raise ValueError("after the first piece")


def both(write):
    yield b"a"
    write(b"b")
    yield b"c"
    write(b"d")


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/wait":
        wait_for("later")
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/stall":
        return stall()
    if path == "/compute":
        return compute()
    if path == "/fail":
        return fail()
    if path == "/both":
        return both(write)
    if path == "/large":
        return (letter * 1_000_000 for letter in (b"a", b"b", b"c"))
    if path == "/much":
        return [bytes(bytearray(b"0123456789")) * 100_000]
    if path == "/many":
        return (b"%09d\n" % number for number in range(10_000))
    return [path.encode()]
