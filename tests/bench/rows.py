"""The rows of the table: what is asked, by how many at once, and what a right answer is."""

import dataclasses

# Prints what wrk counted, for wrk's own output is rounded for eyes.
REPORT = """
done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format("\\n%d %d %d %d %d", summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""

# What Firefox sends for a page.
BROWSER = """
wrk.headers["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
wrk.headers["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
wrk.headers["Accept-Language"] = "en-US,en;q=0.5"
wrk.headers["Accept-Encoding"] = "gzip, deflate, br, zstd"
wrk.headers["Cookie"] = "session=0123456789abcdef0123456789abcdef; csrftoken=fedcba9876543210; theme=dark"
wrk.headers["Referer"] = "http://shop.example/products/list?page=3"
wrk.headers["Upgrade-Insecure-Requests"] = "1"
wrk.headers["Sec-Fetch-Dest"] = "document"
wrk.headers["Sec-Fetch-Mode"] = "navigate"
wrk.headers["Sec-Fetch-Site"] = "same-origin"
wrk.headers["Priority"] = "u=0, i"
"""
CLOSE = 'wrk.headers["Connection"] = "close"\n'


def post(count):
    return f'wrk.method = "POST"\nwrk.body = string.rep("x", {count})\n'


@dataclasses.dataclass(frozen=True)
class Row:
    """One row."""

    title: str
    app: str = "hello"
    connections: int = 64
    script: str = ""
    threads: int = 1
    is_tls: bool = False
    # Connections that stand idle beside it.
    idle: int = 0
    # By what protocol nginx asks the server; none: it is asked without one between.
    behind_nginx: str = ""
    # What no server can be asked for more of, in requests per second.
    ideal: float = 0


ROWS = {
    "1": Row("hello, 1 connection", connections=1),
    "64": Row("hello, 64 connections"),
    "512": Row("hello, 512 connections", connections=512),
    "browser": Row("a browser's fields, 5 fields back", app="five", script=BROWSER),
    "close": Row("a connection for each request", script=CLOSE),
    "post-1k": Row("POST of 1 KB", app="upload", script=post(1000)),
    "post-100k": Row("POST of 100 KB", app="upload", script=post(100_000)),
    "1mb": Row("1 MB of content", app="megabyte", connections=16),
    "stream": Row("a stream of 100 pieces", app="stream"),
    "threads": Row("hello, 16 threads", threads=16),
    "sleep": Row("16 threads that each sleep 10 ms", app="sleep", threads=16, ideal=1600),
    "flask": Row("Flask", app="flask"),
    "django": Row("Django", app="django"),
    "tls": Row("hello over TLS", is_tls=True),
    "idle": Row("hello beside 10,000 idle connections", idle=10_000),
    "nginx-http": Row("behind nginx, by HTTP", behind_nginx="http"),
    "nginx-fastcgi": Row("behind nginx, by FastCGI", behind_nginx="fastcgi"),
    "nginx-scgi": Row("behind nginx, by SCGI", behind_nginx="scgi"),
    "nginx-uwsgi": Row("behind nginx, by uwsgi", behind_nginx="uwsgi"),
}
