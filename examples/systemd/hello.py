"""A greeting, and who gives it."""

import getpass


def application(environ, start_response):
    text = f"Hello from {getpass.getuser()}\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(text)))])
    return [text]
