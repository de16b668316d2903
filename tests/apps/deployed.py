"""Answers with the version that `deploy.py`, written anew by each deploy, gives it.

`deploy.py` is run from its text and not imported: bytecode that was compiled in the same second would be taken for it.
"""

import os
import pathlib
import threading

deploy = {}
exec(compile(pathlib.Path("deploy.py").read_text(), "deploy.py", "exec"), deploy)
VERSION = deploy["VERSION"]
PIECES = 20
never = threading.Event()


def pieces():
    for number in range(PIECES):
        never.wait(0.004)
        yield b"piece %d of %d\n" % (number, PIECES)


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return pieces()
    if path == "/ready" and not deploy.get("READY", True):
        start_response("500 Internal Server Error", [("Content-Type", "text/plain")])
        return [b"the database is away"]
    if path == "/slow":
        never.wait(0.05)
    if path == "/wait":
        pathlib.Path("waiting").touch()
        while not os.path.exists("open"):
            never.wait(0.004)
    if path == "/environ":
        body = os.environ.get(environ["QUERY_STRING"], "").encode()
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    answer = b"%s %d %d %s" % (path.encode("latin-1"), VERSION, os.getpid(), body)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(answer)))])
    return [answer]
