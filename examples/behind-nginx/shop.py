"""Tells its visitor how the request came here."""

KEYS = "REQUEST_METHOD SCRIPT_NAME PATH_INFO QUERY_STRING HTTP_HOST REMOTE_ADDR wsgi.url_scheme".split()


def application(environ, start_response):
    lines = [f"{key} = {environ.get(key, '')}\n" for key in KEYS]
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return ["".join(lines).encode("latin-1")]
