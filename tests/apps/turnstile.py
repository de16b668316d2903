"""`/wait` waits until there is a file `open` beside this one, `/wait/NAME` until there is one of that name; `/pid` says which process it is; every call leaves a line in the file `calls`."""

import os
import pathlib
import threading

FOLDER = pathlib.Path(__file__).parent
tick = threading.Event()


def application(environ, start_response):
    path = environ["PATH_INFO"]
    with (FOLDER / "calls").open("a") as file:
        file.write(path + "\n")
    while path.startswith("/wait") and not (FOLDER / (path[6:] or "open")).exists():
        tick.wait(0.005)
    body = environ["wsgi.input"].read()
    if path == "/pid":
        body = b" %d" % os.getpid()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(path) + len(body)))])
    return [path.encode(), body]
