"""How each server is started with one worker for an application of `apps`, as its own documentation would have it."""

import dataclasses
import pathlib

YAML = """\
apps:
  bench:
    wsgi: "{wsgi}"
    virtualenv: "{virtualenv}"
    listen: {{address: "127.0.0.1:{port}", protocol: {protocol}{tls}}}
    workers: {workers}
    threads: {threads}
    limits: {{connections_max: 20000}}
"""


@dataclasses.dataclass(frozen=True)
class Task:
    """What is to be served, and where."""

    app: str
    port: int
    folder: pathlib.Path
    threads: int = 1
    workers: int = 1
    is_tls: bool = False
    protocol: str = "http"
    # Where it is asked, if not where it listens.
    front: int = 0

    @property
    def asked(self):
        return f"127.0.0.1:{self.front or self.port}"

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def wsgi(self):
        return f"apps:{self.app}"


class Server:
    """A kind of server. `threads_max` is how many threads of one worker it can run calls on."""

    def __init__(self, command, threads_max=512, speaks_tls=False, protocols=("http",), holds_idle=False):
        self.command, self.threads_max, self.speaks_tls = command, threads_max, speaks_tls
        self.protocols, self.holds_idle = protocols, holds_idle

    def can(self, row):
        can_hold = self.holds_idle or not row.idle
        can_speak = (row.behind_nginx or "http") in self.protocols and (self.speaks_tls or not row.is_tls)
        return row.threads <= self.threads_max and can_hold and can_speak


def monoceros(tools, task):
    tls = ", tls: {certificate: own.pem, key: own.key}" if task.is_tls else ""
    wsgi = "nowhere:application" if task.app == "broken" else task.wsgi
    counts = {"threads": task.threads, "workers": task.workers, "protocol": task.protocol}
    yaml = YAML.format(wsgi=wsgi, virtualenv=tools.rivals, port=task.port, tls=tls, **counts)
    (task.folder / "server.yaml").write_text(yaml)
    return [tools.programs / "supervisor", "run", "-c", task.folder / "server.yaml"]


def python(tools, code):
    return [tools.rivals / "bin/python", "-c", code]


def bjoern(tools, task):
    return python(tools, f"import bjoern, apps; bjoern.run(apps.{task.app}, '127.0.0.1', {task.port})")


def fastwsgi(tools, task):
    return python(tools, f"import fastwsgi, apps; fastwsgi.run(apps.{task.app}, host='127.0.0.1', port={task.port})")


def pyruvate(tools, task):
    return python(tools, f"import pyruvate, apps; pyruvate.serve(apps.{task.app}, '{task.address}', {task.threads})")


def granian(tools, task):
    options = ["--interface", "wsgi", "--workers", str(task.workers), "--blocking-threads", str(task.threads), "--no-ws"]
    if task.is_tls:
        options += ["--ssl-certificate", "own.pem", "--ssl-keyfile", "own.key"]
    listen = ["--log-level", "warning", "--host", "127.0.0.1", "--port", str(task.port), "--backlog", "4096"]
    return [tools.rivals / "bin/granian", *options, *listen, task.wsgi]


def uwsgi(tools, task):
    # Its row of streams is empty: on a connection that is kept it gives an answer without a length no end.
    sockets = {"http": "--http11-socket", "fastcgi": "--fastcgi-socket", "scgi": "--scgi-socket", "uwsgi": "--uwsgi-socket"}
    listen = [sockets[task.protocol], task.address, "--so-keepalive"]
    options = ["--master", "--processes", str(task.workers), "--threads", str(task.threads), "--disable-logging", "--listen", "100"]
    virtualenv = ["--virtualenv", tools.rivals, "--need-app", "--die-on-term", "--buffer-size", "65535"]
    # It looks for a callable where a module that makes it when it is asked for has none; but it calls what ends so.
    factory = "_application()" if task.app in ("flask", "django") else ""
    wsgi = ["--wsgi", task.wsgi + factory, "--post-buffering", "65536"]
    return [tools.rivals / "bin/uwsgi", *listen, *options, *virtualenv, *wsgi]


def flup(tools, task):
    module = {"fastcgi": "fcgi", "scgi": "scgi"}[task.protocol]
    server = f"WSGIServer(apps.{task.app}, bindAddress=('127.0.0.1', {task.port})).run()"
    return python(tools, f"import apps; from flup.server.{module} import WSGIServer; {server}")


def waitress(tools, task):
    options = [f"--threads={task.threads}", f"--listen={task.address}", "--connection-limit=20000"]
    return [tools.rivals / "bin/waitress-serve", *options, task.wsgi]


def gunicorn(*options):
    def command(tools, task):
        more = ["--threads", str(task.threads)] if "gthread" in options else []
        tls = ["--certfile", "own.pem", "--keyfile", "own.key"] if task.is_tls else []
        more += ["--protocol", task.protocol]
        listen = ["--workers", str(task.workers), "--log-level", "warning", "--bind", task.address, "--worker-connections", "20000"]
        return [tools.rivals / "bin/gunicorn", *options, *more, *tls, *listen, task.wsgi]

    return command


SERVERS = {
    "monoceros": Server(
        monoceros, speaks_tls=True, protocols=("http", "fastcgi", "scgi", "uwsgi"), holds_idle=True
    ),
    "bjoern": Server(bjoern, threads_max=1, holds_idle=True),
    "fastwsgi": Server(fastwsgi, threads_max=1, holds_idle=True),
    "granian": Server(granian, speaks_tls=True, holds_idle=True),
    "uwsgi": Server(uwsgi, protocols=("http", "fastcgi", "scgi", "uwsgi")),
    "pyruvate": Server(pyruvate),
    "waitress": Server(waitress),
    "gunicorn": Server(gunicorn("--worker-class", "sync"), threads_max=1, speaks_tls=True, protocols=("http", "uwsgi")),
    "gthread": Server(gunicorn("--worker-class", "gthread"), speaks_tls=True),
    "gevent": Server(gunicorn("--worker-class", "gevent"), speaks_tls=True, holds_idle=True),
    "flup": Server(flup, protocols=("fastcgi", "scgi")),
}
YARDSTICK = "bjoern"
OURS = "monoceros"
