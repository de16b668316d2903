"""Reads its body itself: piece by piece, whole, by lines, or not at all. What its reads raise is appended to the file `record`."""

import hashlib
import pathlib

RECORD = pathlib.Path(__file__).parent / "record"
TEXT = [("Content-Type", "text/plain")]


def application(environ, start_response):
    return globals()[environ["PATH_INFO"].strip("/")](environ, start_response)


def echo(environ, start_response):
    """Gives back each piece as it comes."""
    start_response("200 OK", TEXT)
    return iter(lambda: environ["wsgi.input"].read1(65536), b"")


def whole(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", TEXT)
    return [f"{environ.get('CONTENT_LENGTH')} {len(body)} {hashlib.sha256(body).hexdigest()}".encode()]


def lines(environ, start_response):
    start_response("200 OK", TEXT)
    read = environ["wsgi.input"]
    return [repr([read.readline(), read.read(2), list(read), read.read(), read.readline()]).encode()]


def ignore(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"ignored"]


def first(environ, start_response):
    """Reads a byte and no more."""
    start_response("200 OK", TEXT)
    return [environ["wsgi.input"].raw.read(1)]


def strict(environ, start_response):
    try:
        return whole(environ, start_response)
    except Exception as error:
        with RECORD.open("a") as file:
            file.write(f"{type(error).__name__}: {error}\n")
        raise


def patient(environ, start_response):
    """Answers although its body is broken."""
    try:
        environ["wsgi.input"].read()
    except OSError as error:
        start_response("200 OK", TEXT)
        return [type(error).__name__.encode()]
    raise AssertionError("the body was to be broken")
