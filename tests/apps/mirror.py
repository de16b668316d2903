"""Answers with what it was asked: the environ and the body, as JSON. `validated` does so under wsgiref's eyes."""

import json
from wsgiref.validate import validator


def application(environ, start_response):
    strings = {key: value for key, value in environ.items() if type(value) is str}
    others = {key: repr(value) for key, value in environ.items() if type(value) is not str}
    body = environ["wsgi.input"].read()
    told = {"environ": strings, "others": others, "body": body.decode("latin-1"), "is_dict": type(environ) is dict}
    # What an application writes into its environ must not be seen by the next request.
    environ["HTTP_X_LEFT_BEHIND"] = "by an earlier request"
    answer = json.dumps(told).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
    return [answer]


def counted(environ, start_response):
    """Answers with the length of the body alone."""
    answer = str(len(environ["wsgi.input"].read())).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(answer)))])
    return [answer]


@validator
def validated(environ, start_response):
    body = environ["wsgi.input"].read(10_000_000)
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(body)))])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body[: len(body) // 2], body[len(body) // 2 :]]


def factory():
    """Called once, without arguments, gives the application."""
    return application
