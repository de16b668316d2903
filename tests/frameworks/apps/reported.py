"""A site that reports to Sentry: its WSGI middleware, its thread that sends in the background, its flush at exit."""

import logging
import threading

import sentry_sdk
from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware

# Where to is in SENTRY_DSN.
sentry_sdk.init(traces_sample_rate=0.0, default_integrations=True, shutdown_timeout=5)
barrier = threading.Barrier(2)


def late():
    yield b"the beginning"
    raise RuntimeError("late")


def site(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/boom":
        raise RuntimeError("early")
    if path.startswith("/tagged/"):
        # Two at once, each in its thread, with what each says of itself.
        sentry_sdk.set_tag("who", path)
        barrier.wait(20)
        sentry_sdk.capture_message(path)
    if path == "/parting":
        logging.getLogger("site").error("a parting word")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return late() if path == "/late" else [b"well"]


application = SentryWsgiMiddleware(site)
