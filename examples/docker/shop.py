"""A greeting, and who gives it where."""

import os
import sys


def application(environ, start_response):
    if environ["PATH_INFO"] == "/healthz":
        text = "well\n"
    else:
        text = f"Hello from uid {os.getuid()}, Python {sys.version_info[0]}.{sys.version_info[1]}, in {os.getcwd()}\n"
    body = text.encode()
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]
