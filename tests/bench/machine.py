"""Servers as the kernel sees them: started on one CPU, loaded from the other, and what they took of CPU and memory."""

import contextlib
import os
import pathlib
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request

APPS = pathlib.Path(__file__).resolve().parent / "apps.py"
# Beyond this a server that does not answer will not.
START_SECONDS = 20


def pinned(cpu, command):
    """The command on one CPU, where there are several."""
    return ["taskset", "--cpu-list", str(cpu), *command] if os.cpu_count() > 1 else list(command)


def allow_descriptors():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make_certificate(folder):
    """A certificate of our own, for the rows over TLS."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=localhost", "-days", "2", "-keyout", folder / "own.key", "-out", folder / "own.pem"]
    subprocess.run([*command, *names], check=True, capture_output=True)


def processes_of(session):
    """The fields of /proc/PID/stat behind the name, for each process of a session."""
    for folder in pathlib.Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == session:
                    yield int(folder.name), fields


def cpu_seconds(session):
    """utime and stime of each of its processes (proc_pid_stat(5)), in ticks of 10 ms as a rule."""
    tick = 1 / os.sysconf("SC_CLK_TCK")
    return {pid: (int(fields[11]) + int(fields[12])) * tick for pid, fields in processes_of(session)}


def cpu_between(before, after):
    """What the processes that were there all the time have taken."""
    return sum(seconds - before[pid] for pid, seconds in after.items() if pid in before)


def pss(pid):
    """Bytes of memory that a process has, its share of what it shares (proc_pid_smaps(5))."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def memory(session):
    """The PSS of each of its processes, the first of them first."""
    return [pss(pid) for pid, _ in sorted(processes_of(session))]


@contextlib.contextmanager
def running(server, tools, task):
    """A server that answers, as its session and how long it took to; whatever is left of it is killed at the end."""
    log = task.folder / "log"
    environment = {**os.environ, "PYTHONPATH": str(task.folder), "PYTHONDONTWRITEBYTECODE": "1"}
    command = pinned(0, server.command(tools, task))
    with log.open("wb") as output:
        began = time.monotonic()
        process = subprocess.Popen(
            command, cwd=task.folder, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        wait_until_it_answers(task, process, log)
        yield process.pid, time.monotonic() - began
    finally:
        for pid, _ in processes_of(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def wait_until_it_answers(task, process, log):
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.returncode is None:
        if answers(task):
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.002)
    sys.exit(f"{process.args} does not answer:\n{log.read_text(errors='replace')}")


def answers(task):
    """Whether it gives an answer, any that the application gives."""
    trust_anybody = ssl._create_unverified_context() if task.is_tls else None
    scheme = "https" if task.is_tls else "http"
    data = b"x" if task.app == "upload" else None
    try:
        with urllib.request.urlopen(f"{scheme}://{task.asked}/", data, timeout=5, context=trust_anybody) as answer:
            return bool(answer.read())
    except urllib.error.HTTPError as error:
        return task.app == "broken" and error.code == 503
    except OSError:
        return False


NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log crit;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
    upstream server {{ server {address}; keepalive 64; keepalive_requests 1000000; }}
    server {{
        listen 127.0.0.1:{front} backlog=4096;
        location / {{ {pass} }}
    }}
}}
"""
PASS = {
    "http": "proxy_pass http://server; proxy_http_version 1.1; proxy_set_header Connection '';",
    "fastcgi": "fastcgi_pass server; fastcgi_keep_conn on; include /etc/nginx/fastcgi_params;",
    "scgi": "scgi_pass server; include /etc/nginx/scgi_params;",
    "uwsgi": "uwsgi_pass server; include /etc/nginx/uwsgi_params;",
}


@contextlib.contextmanager
def nginx(task):
    """nginx before a server, on wrk's CPU."""
    if not task.front:
        yield
        return
    text = NGINX.format(folder=task.folder, address=task.address, front=task.front, **{"pass": PASS[task.protocol]})
    (task.folder / "nginx.conf").write_text(text)
    command = pinned(1, ["/usr/sbin/nginx", "-c", task.folder / "nginx.conf", "-p", task.folder])
    process = subprocess.Popen(command, start_new_session=True)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def folder_of_apps():
    with tempfile.TemporaryDirectory(prefix="monoceros-bench-") as folder:
        shutil.copy(APPS, folder)
        make_certificate(pathlib.Path(folder))
        yield pathlib.Path(folder)


def load(task, row, seconds, script):
    """Loads a server; gives requests, seconds, the p50 and p99 in µs, and how many failed."""
    scheme = "https" if task.is_tls else "http"
    wrk = ["wrk", "--threads", "1", "--connections", str(row.connections), "--duration", f"{seconds}s"]
    command = pinned(1, [*wrk, "--script", script, f"{scheme}://{task.asked}/"])
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    requests, microseconds, p50, p99, failed = map(int, output.splitlines()[-1].split())
    return requests, microseconds / 1e6, p50, p99, failed


@contextlib.contextmanager
def idle_connections(task, count):
    """So many connections that each were answered once and then say nothing; how many of them the server took."""
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    sockets = []
    try:
        with contextlib.suppress(OSError):
            for _ in range(count):
                connection = socket.create_connection(("127.0.0.1", task.port), timeout=3)
                sockets.append(connection)
                connection.sendall(request)
                if not connection.recv(65536):
                    break
        yield len(sockets)
    finally:
        for connection in sockets:
            connection.close()
