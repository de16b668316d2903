"""What an application does that stands behind a web server: `/name` calls the function of that name, whatever follows."""

import hashlib
import json
import pathlib
import threading

TEXT = [("Content-Type", "text/plain")]
# 50 MiB in which no two places look alike.
BIG = b"".join(number.to_bytes(4, "big") for number in range(1 << 18)) * 50
VERSION = pathlib.Path(__file__).with_name("version").read_text()
opened = threading.Event()


def application(environ, start_response):
    return globals()[environ["PATH_INFO"].split("/")[1]](environ, start_response)


def environ(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    strings = {key: value for key, value in environ.items() if type(value) is str}
    return [json.dumps(strings).encode()]


def count(environ, start_response):
    """The length of the body, and its SHA-256."""
    digest, length = hashlib.sha256(), 0
    while piece := environ["wsgi.input"].read(1 << 16):
        digest.update(piece)
        length += len(piece)
    start_response("200 OK", TEXT)
    return [f"{length} {digest.hexdigest()}".encode()]


def download(environ, start_response):
    start_response("200 OK", [*TEXT, ("Content-Length", str(len(BIG)))])
    return [BIG]


def stream(environ, start_response):
    """Goes on when somebody asks for `/open`."""
    opened.clear()
    # nginx holds a little back, unless it is told not to.
    start_response("200 OK", [*TEXT, ("X-Accel-Buffering", "no")])
    yield b"first "
    opened.wait()
    yield b"second"


def open(environ, start_response):
    opened.set()
    start_response("200 OK", TEXT)
    return [b"opened"]


def cookies(environ, start_response):
    start_response("200 OK", [*TEXT, ("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2")])
    return [environ["HTTP_COOKIE"].encode("latin-1")]


def missing(environ, start_response):
    start_response("404 Nothing Here", TEXT)
    return [b"nothing here"]


def elsewhere(environ, start_response):
    start_response("302 Found", [*TEXT, ("Location", "https://other.example/caf%C3%A9")])
    return []


def unchanged(environ, start_response):
    start_response("304 Not Modified", [("ETag", '"1"')])
    return []


def broken(environ, start_response):
    raise RuntimeError("it breaks before it answers")


def cut(environ, start_response):
    start_response("200 OK", [*TEXT, ("Content-Length", "100000")])
    yield b"x" * 50000
    raise RuntimeError("it breaks in the middle")


def cut_stream(environ, start_response):
    """Breaks when somebody asks for `/open`, and has no Content-Length."""
    opened.clear()
    start_response("200 OK", TEXT)
    yield b"first " + b"x" * 50000
    opened.wait()
    raise RuntimeError("it breaks in the middle")


def version(environ, start_response):
    environ["wsgi.input"].read()
    start_response("200 OK", TEXT)
    return [VERSION.encode()]
