"""What the conformance suite asks: `/answer/NAME` answers as NAME does here or in `answers`, every other path is mirrored.

Beside the answers of `answers.py` there are those that a server without `wsgi.file_wrapper` can give too.
"""

import io
import os
import pathlib
import sys
import threading
from wsgiref.validate import validator

import answers
import mirror
import readers
from answers import TEXT, Recorded, record

HERE = pathlib.Path(__file__).parent
COUNTED = HERE / "counted"
COUNTED.write_bytes((bytes(range(251)) * 8000)[:2_000_000])
never = threading.Event()


def application(environ, start_response):
    path = environ.get("PATH_INFO", "")
    if not path.startswith("/answer/"):
        return mirror.application(environ, start_response)
    name = path[len("/answer/") :]
    answer = globals().get(name) or getattr(answers, name)
    return answer(environ, start_response)


validated = mirror.validated


@validator
def validated_pieces(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return iter([b"one ", b"two"])


def read(environ, start_response):
    return readers.application(environ, start_response)


def marked(environ, start_response):
    """Answers with what an earlier request left in its environ, and leaves something itself."""
    seen = environ.get("left.behind", "nothing").encode()
    environ["left.behind"] = "something"
    start_response("200 OK", [*TEXT, ("Content-Length", str(len(seen)))])
    return [seen]


def emptied(environ, start_response):
    """An application may do with its environ what it wants."""
    environ.clear()
    start_response("200 OK", [*TEXT, ("Content-Length", "5")])
    return [b"plain"]


def dated(environ, start_response):
    start_response("200 OK", [*TEXT, ("Date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("Content-Length", "5")])
    return [b"plain"]


def moved(environ, start_response):
    start_response("302 Found", [("Location", "/elsewhere"), ("Content-Length", "0")])
    return []


def empty_items(environ, start_response):
    start_response("200 OK", TEXT)
    return iter([b"", b"a", b"", b"", b"b", b""])


def empty_items_counted(environ, start_response):
    start_response("200 OK", [*TEXT, ("Content-Length", "2")])
    return iter([b"", b"a", b"", b"", b"b", b""])


def replaced_after_empty(environ, start_response):
    """An empty item sends nothing, so that status and fields can still be replaced."""
    start_response("200 OK", [*TEXT, ("X-First", "yes")])
    yield b""
    try:
        raise ValueError("found later")
    except ValueError:
        start_response("503 Later", [*TEXT, ("X-Second", "yes")], sys.exc_info())
    yield b"replaced"


def raises_after_empty(environ, start_response):
    start_response("200 OK", [*TEXT, ("X-Of-The-App", "yes")])
    yield b""
    raise ValueError("raised before anything was sent")


def raises_counted(environ, start_response):
    start_response("200 OK", [*TEXT, ("Content-Length", "100")])
    yield b"the beginning"
    raise ValueError("raised after the head")


def raises_on_iter(environ, start_response):
    class Angry(Recorded):
        def __iter__(self):
            raise ValueError("raised before there is an iterator")

    start_response("200 OK", TEXT)
    return Angry([])


def raises_after_write(environ, start_response):
    write = start_response("200 OK", TEXT)
    write(b"the beginning")
    raise ValueError("raised after write")


def stepwise(environ, start_response):
    """The second item is made when the client, having seen the first, has made the file `go`."""
    start_response("200 OK", TEXT)
    yield b"the first"
    wait_for_go()
    yield b", the second"


def written_stepwise(environ, start_response):
    write = start_response("200 OK", TEXT)
    write(b"the first")
    wait_for_go()
    write(b", the second")
    return [b", the last"]


def wait_for_go():
    for _ in range(2000):
        if (HERE / "go").exists():
            return
        never.wait(0.005)


def written_only(environ, start_response):
    write = start_response("200 OK", TEXT)
    write(b"written")
    return []


def written_counted(environ, start_response):
    write = start_response("200 OK", [*TEXT, ("Content-Length", "7")])
    write(b"written")
    return Recorded([b" and more"])


def a_tuple(environ, start_response):
    start_response("200 OK", TEXT)
    return (b"a ", b"tuple")


def a_generator_expression(environ, start_response):
    start_response("200 OK", TEXT)
    return (part for part in (b"by ", b"expression"))


def endless_recorded(environ, start_response):
    """There is always more; records when it is closed."""

    class Endless(Recorded):
        def __next__(self):
            return b"x" * 65536

    start_response("200 OK", TEXT)
    return Endless([])


def upgrade(environ, start_response):
    start_response("200 OK", [*TEXT, ("Upgrade", "h2c"), ("Content-Length", "5")])
    return [b"12345"]


def keep_alive(environ, start_response):
    start_response("200 OK", [*TEXT, ("Keep-Alive", "timeout=5"), ("Content-Length", "5")])
    return [b"12345"]


def bad_exc_info(environ, start_response):
    """Fails in an odd place: the status is wrong and exc_info is not."""
    try:
        raise ValueError("in the application")
    except ValueError:
        start_response("200 OK", [("X-A", "a\r\nX-B: b")], sys.exc_info())
    return [b"12345"]


def starts_late(environ, start_response):
    """The head comes only behind the first item: an error."""

    def items():
        yield b"too early"
        start_response("200 OK", TEXT)
        yield b"too late"

    return items()


def raises_base(environ, start_response):
    raise KeyboardInterrupt


def error_text(environ, start_response):
    environ["wsgi.errors"].write("\u263a \xe9\n")
    environ["wsgi.errors"].writelines(["a", "b\n"])
    environ["wsgi.errors"].flush()
    start_response("200 OK", [*TEXT, ("Content-Length", "5")])
    return [b"plain"]


# Files, by the server's wrapper where there is one, as PEP 3333 shows it.


def wrapped(environ, file, size=8192):
    if "wsgi.file_wrapper" in environ:
        return environ["wsgi.file_wrapper"](file, size)
    return iter(lambda: file.read(size), b"")


def file_whole(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return wrapped(environ, COUNTED.open("rb"))


def file_counted(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", "2000000")])
    return wrapped(environ, COUNTED.open("rb"))


def file_middle(environ, start_response):
    file = COUNTED.open("rb")
    file.seek(1_000_000)
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return wrapped(environ, file)


def file_middle_counted(environ, start_response):
    file = COUNTED.open("rb")
    file.seek(1_000_000)
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", "300000")])
    return wrapped(environ, file) if "wsgi.file_wrapper" in environ else [file.read(300_000)]


def file_pipe(environ, start_response):
    read, write = os.pipe()
    os.write(write, b"through a pipe")
    os.close(write)
    start_response("200 OK", TEXT)
    return wrapped(environ, os.fdopen(read, "rb"))


class Closing(io.BytesIO):
    def close(self):
        record("closed")
        super().close()


def file_in_memory(environ, start_response):
    start_response("200 OK", TEXT)
    if "wsgi.file_wrapper" not in environ:
        record("closed")
    return wrapped(environ, Closing(b"in memory"))
