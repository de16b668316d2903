"""What the servers serve: an application for each row. All of them are one module, so that every server imports the same."""

import os
import time

HELLO = b"Hello, world!\n"
PLAIN = ("Content-Type", "text/plain; charset=utf-8")
MEGABYTE = bytes(1024 * 1024)
CHUNK = b"x" * 1000
SLEEP_SECONDS = 0.01
SLOW_SECONDS = 0.5


def hello(environ, start_response):
    start_response("200 OK", [PLAIN, ("Content-Length", str(len(HELLO)))])
    return [HELLO]


def five(environ, start_response):
    """Five fields in the answer, as a framework gives."""
    fields = [
        PLAIN,
        ("Content-Length", str(len(HELLO))),
        ("Cache-Control", "no-cache, no-store"),
        ("X-Frame-Options", "DENY"),
        ("Set-Cookie", "session=0123456789abcdef; Path=/; HttpOnly"),
    ]
    start_response("200 OK", fields)
    return [HELLO]


def upload(environ, start_response):
    """Reads the body."""
    count = str(len(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))).encode()
    start_response("200 OK", [PLAIN, ("Content-Length", str(len(count)))])
    return [count]


def megabyte(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(MEGABYTE)))])
    return [MEGABYTE]


def stream(environ, start_response):
    """A hundred pieces, and no length."""
    start_response("200 OK", [PLAIN])
    return (CHUNK for _ in range(100))


def sleep(environ, start_response):
    """Waits as for a database."""
    time.sleep(SLEEP_SECONDS)
    return hello(environ, start_response)


def neighbours(environ, start_response):
    """Quick, but for who asks for what is slow."""
    if environ["PATH_INFO"] == "/slow":
        time.sleep(SLOW_SECONDS)
    return hello(environ, start_response)


def broken(environ, start_response):
    """Never called: its module is said to be broken, and the server answers without Python."""
    raise AssertionError


def __getattr__(name):
    """The frameworks are imported by those who serve them."""
    if name == "flask":
        return flask_application()
    if name == "django":
        return django_application()
    raise AttributeError(name)


def flask_application():
    import flask

    application = flask.Flask("bench")
    application.add_url_rule("/", view_func=lambda: "Hello, world!\n")
    return application


def django_application():
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpResponse
    from django.urls import path

    os.environ["DJANGO_SETTINGS_MODULE"] = ""
    # With its length, as CommonMiddleware gives it: uWSGI neither frames an answer without one nor closes behind it.
    fields = {"Content-Type": "text/plain", "Content-Length": str(len(HELLO))}
    urls = [path("", lambda request: HttpResponse(HELLO, headers=fields))]
    settings.configure(ROOT_URLCONF=type("urls", (), {"urlpatterns": urls}), ALLOWED_HOSTS=["*"], MIDDLEWARE=[])
    return get_wsgi_application()
