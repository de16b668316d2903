"""Says which of the two answers: the name of the folder that it lies in."""

import os

NAME = os.path.basename(os.path.dirname(os.path.abspath(__file__)))


def application(environ, start_response):
    text = f"{NAME}\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(text)))])
    return [text]
