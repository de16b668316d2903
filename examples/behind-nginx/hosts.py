"""In the place of many applications: says which of them it is, and for which host it was asked."""

import os


def application(environ, start_response):
    text = f"{os.environ['SITE']} for {environ['HTTP_HOST']}, asked by {environ['REMOTE_ADDR']}\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(text)))])
    return [text]
