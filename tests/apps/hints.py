"""Early hints, at every moment: `/name` calls the function of that name."""

LINK = ("Link", "</style.css>; rel=preload; as=style")
TEXT = [("Content-Type", "text/plain")]
kept = []


def application(environ, start_response):
    return globals()[environ["PATH_INFO"].strip("/")](environ, start_response)


def twice(environ, start_response):
    environ["wsgi.early_hints"]([LINK])
    environ["wsgi.early_hints"]([("Link", "</b>"), ("Link", "</c>"), ("Content-Length", "3"), ("Connection", "close")])
    start_response("200 OK", TEXT)
    return [b"answer"]


def lazily(environ, start_response):
    """A generator is called for its first item only."""
    environ["wsgi.early_hints"]([LINK])
    start_response("200 OK", TEXT)
    environ["wsgi.early_hints"](iter([LINK]))
    yield b"first "
    environ["wsgi.early_hints"]([LINK])
    yield b"last"


def wrong(environ, start_response):
    errors = []
    for headers in ([("Li nk", "x")], [("Link", "a\r\nb")], [("Link", "\u0100")], [("Link",)], ["Link"], 3, [(1, "a")]):
        try:
            environ["wsgi.early_hints"]([LINK, *headers] if isinstance(headers, list) else headers)
        except (TypeError, ValueError) as error:
            errors.append(type(error).__name__)
    start_response("200 OK", TEXT)
    return [" ".join(errors).encode()]


def elsewhere(environ, start_response):
    """Another thread is in no request."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        error = pool.submit(environ["wsgi.early_hints"], [LINK]).exception()
    start_response("200 OK", TEXT)
    return [repr(error).encode()]
