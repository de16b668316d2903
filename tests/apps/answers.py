"""One answer for each rule of PEP 3333 on how an application may answer: `/name` calls the function of that name.

What a test must see behind the answer's back is appended to the file `record` beside this one.
"""

import io
import os
import pathlib
import sys

RECORD = pathlib.Path(__file__).parent / "record"
BIG = pathlib.Path(__file__).parent / "big"
TEXT = [("Content-Type", "text/plain")]


def record(word):
    with RECORD.open("a") as file:
        file.write(word + "\n")


def application(environ, start_response):
    return globals()[environ["PATH_INFO"].strip("/")](environ, start_response)


class Recorded:
    """An iterable whose life is recorded."""

    def __init__(self, items):
        self.items = iter(items)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.items)

    def close(self):
        record("closed")


# How an answer may be given.


def plain(environ, start_response):
    start_response("200 OK", [*TEXT, ("Content-Length", "5")])
    return [b"plain"]


def pieces(environ, start_response):
    start_response("200 OK", TEXT)
    return iter([b"one ", b"", b"two ", b"three"])


def single(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"a list of one tells its length"]


def nothing(environ, start_response):
    start_response("200 OK", TEXT)
    return []


def lazy(environ, start_response):
    """A generator: start_response is called when the first item is asked for."""
    start_response("200 OK", [*TEXT, ("X-Lazy", "yes")])
    yield b"lazy"


def closed(environ, start_response):
    start_response("200 OK", TEXT)
    return Recorded([b"closed"])


def written(environ, start_response):
    write = start_response("200 OK", TEXT)
    write(b"written ")
    write(b"before ")
    return [b"returned"]


def custom_iterable(environ, start_response):
    class Old:
        """Iterable by __getitem__ alone."""

        def __getitem__(self, index):
            return [b"by ", b"index"][index]

    start_response("200 OK", TEXT)
    return Old()


def repeated_fields(environ, start_response):
    fields = [("Set-Cookie", "a=1"), ("X-Latin", "caf\xe9"), ("Set-Cookie", "b=2")]
    start_response("200 All \xe9 right", [*TEXT, *fields])
    return [b"x"]


def endless(environ, start_response):
    """Records how many items were asked for; there is always one more."""

    def items():
        asked = 0
        try:
            while True:
                asked += 1
                yield b"x" * 65536
        finally:
            record(f"asked {asked}")

    start_response("200 OK", TEXT)
    return items()


# Answers without content.


def no_content(environ, start_response):
    start_response("204 No Content", [])
    return []


def no_content_with_some(environ, start_response):
    start_response("204 No Content", [("Content-Length", "4")])
    return [b"some"]


def not_modified(environ, start_response):
    start_response("304 Not Modified", [("ETag", '"e"')])
    return []


def not_modified_with_some(environ, start_response):
    start_response("304 Not Modified", [("ETag", '"e"')])
    return [b"some"]


# Content-Length that is not the truth.


def too_short(environ, start_response):
    start_response("200 OK", [*TEXT, ("Content-Length", "10")])
    return [b"short"]


def too_long(environ, start_response):
    start_response("200 OK", [*TEXT, ("Content-Length", "4")])
    return Recorded([b"long", b"er than it said"])


# Errors of the application.


def raises_before(environ, start_response):
    raise ValueError("raised before the head")


def raises_after_start(environ, start_response):
    start_response("200 OK", [*TEXT, ("X-Of-The-App", "yes")])
    raise ValueError("raised after start_response")


def raises_in_first(environ, start_response):
    start_response("200 OK", TEXT)
    raise ValueError("raised in the first item")
    yield b""


def raises_after(environ, start_response):
    start_response("200 OK", TEXT)

    def items():
        yield b"the beginning"
        raise ValueError("raised after the head")

    return Recorded(items())


def raises_in_close(environ, start_response):
    class Angry(Recorded):
        def close(self):
            record("closed")
            raise ValueError("raised in close")

    start_response("200 OK", [*TEXT, ("Content-Length", "5")])
    return Angry([b"angry"])


def exits(environ, start_response):
    raise SystemExit(1)


def never_starts(environ, start_response):
    return [b"there is no head"]


def returns_none(environ, start_response):
    start_response("200 OK", TEXT)


def returns_text(environ, start_response):
    start_response("200 OK", TEXT)
    return ["not bytes"]


def starts_twice(environ, start_response):
    start_response("200 OK", TEXT)
    try:
        start_response("404 Not Found", TEXT)
    except Exception as error:
        return [f"refused: {type(error).__name__}".encode()]
    return [b"the second call went through"]


def exc_info_before(environ, start_response):
    """Before anything is sent, exc_info replaces status and fields."""
    start_response("200 OK", [*TEXT, ("X-First", "yes")])
    try:
        raise ValueError("found later")
    except ValueError:
        start_response("503 Later", [*TEXT, ("X-Second", "yes")], sys.exc_info())
    return [b"replaced"]


def exc_info_after(environ, start_response):
    """After something is sent, exc_info is raised again."""
    start_response("200 OK", TEXT)
    yield b"sent"
    try:
        raise KeyError("too late")
    except KeyError:
        try:
            start_response("500 Oops", TEXT, sys.exc_info())
        except KeyError:
            record("raised again")
            raise
    yield b"never"


# Heads that must not go out. The query says which.

BAD_HEADS = {
    "cr": ("200 OK", [("X-A", "a\rb")]),
    "lf": ("200 OK", [("X-A", "a\nX-B: b")]),
    "nul": ("200 OK", [("X-A", "a\0b")]),
    "beyond_latin1": ("200 OK", [("X-A", "a\u010ab")]),
    "beyond_latin1_cr": ("200 OK", [("X-A", "a\u010d\u010aX-B: b")]),
    "crlf_name": ("200 OK", [("X-B: b\r\nX-A", "a")]),
    "name_colon": ("200 OK", [("X-B: b", "a")]),
    "name": ("200 OK", [("X A", "a")]),
    "name_lf": ("200 OK", [("X-A\n", "a")]),
    "empty_name": ("200 OK", [("", "a")]),
    "status_lf": ("200 OK\nX-B: b", []),
    "status_crlf": ("200 OK\r\nX-B: b", []),
    "status_long": ("2000 OK", []),
    "status_short": ("20 OK", []),
    "status_empty": ("", []),
    "status_word": ("OK", []),
    "status_number": (200, []),
    "value_number": ("200 OK", [("X-A", 1)]),
    "bytes": ("200 OK", [(b"X-A", b"a")]),
    "length_word": ("200 OK", [("Content-Length", "five")]),
    "length_twice": ("200 OK", [("Content-Length", "5"), ("Content-Length", "6")]),
    "hop": ("200 OK", [("Transfer-Encoding", "chunked")]),
    "pair": ("200 OK", [("X-A",)]),
    "none": ("200 OK", None),
}


def bad_head(environ, start_response):
    start_response(*BAD_HEADS[environ["QUERY_STRING"]])
    return [b"12345"]


# Files.


class Closing(io.BytesIO):
    def close(self):
        record("file closed")
        super().close()


def file_plain(environ, start_response):
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](BIG.open("rb"))


def file_from_the_middle(environ, start_response):
    file = BIG.open("rb")
    file.seek(1_000_000)
    start_response("200 OK", [*TEXT, ("Content-Length", "2000000")])
    return environ["wsgi.file_wrapper"](file, 4096)


def file_pipe(environ, start_response):
    read, write = os.pipe()
    os.write(write, b"through a pipe")
    os.close(write)
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](os.fdopen(read, "rb"))


def file_in_memory(environ, start_response):
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](Closing(b"m" * 100_000))


def file_wrapper_by_hand(environ, start_response):
    """A wrapper is an iterable too: middleware may go through it."""
    start_response("200 OK", TEXT)
    return (block.upper() for block in environ["wsgi.file_wrapper"](io.BytesIO(b"by hand" * 10_000), 1000))


# The rest of the environment.


def complains(environ, start_response):
    print("to wsgi.errors: \u263a", file=environ["wsgi.errors"], flush=True)
    environ["wsgi.errors"].writelines(["and more ", "of it\n"])
    start_response("200 OK", TEXT)
    return [b"x"]
