"""Hello world beside its rivals: what one request costs each server, in one run on one machine.

Each server runs one worker on CPU 0, and wrk asks from CPU 1. In every round each of them is started afresh, warmed
up, and loaded in turn, so that whatever the machine does to one it does to all; the medians of the rounds are
printed. The figure to look at is the CPU time per request: requests per second also measure the client.

CPU time is that of all the server's processes over the load phase (proc_pid_stat(5), utime and stime, in ticks of
10 ms), divided by the requests that wrk counted. A rival that closes its connections pays for new ones, as its users do.
"""

import argparse
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
APP = HERE.parent.parent / "examples" / "hello" / "hello.py"
EXPECTED = b"Hello, world!\n"
WARM_UP_SECONDS = 1
# Beyond this a server that does not answer will not.
START_SECONDS = 20

YAML = """\
apps:
  hello: {{wsgi: "hello:application", listen: "127.0.0.1:{port}", workers: 1, threads: {threads}}}
"""

# Prints what wrk counted, for wrk's own output is rounded for eyes.
REPORT = """\
done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format("\\n%d %d %d %d %d", summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


def monoceros(threads):
    def command(arguments, port, folder):
        (folder / "server.yaml").write_text(YAML.format(port=port, threads=threads))
        return [arguments.programs / "supervisor", "run", "-c", folder / "server.yaml"]

    return command


def bjoern(arguments, port, folder):
    run = f"import bjoern, hello; bjoern.run(hello.application, '127.0.0.1', {port})"
    return [arguments.rivals / "bin/python", "-c", run]


def granian(arguments, port, folder):
    options = ["--interface", "wsgi", "--workers", "1", "--blocking-threads", "1", "--no-ws", "--log-level", "warning"]
    return [arguments.rivals / "bin/granian", *options, "--host", "127.0.0.1", "--port", str(port), "hello:application"]


def gunicorn(*options):
    def command(arguments, port, folder):
        program = arguments.rivals / "bin/gunicorn"
        return [program, *options, "--log-level", "warning", "--bind", f"127.0.0.1:{port}", "hello:application"]

    return command


SERVERS = {
    "monoceros": monoceros(threads=1),
    "monoceros-4": monoceros(threads=4),
    "bjoern": bjoern,
    "granian": granian,
    "gunicorn": gunicorn("--workers", "1"),
    "gthread-4": gunicorn("--worker-class", "gthread", "--threads", "4", "--workers", "1"),
}
YARDSTICK = "bjoern"


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=pathlib.Path, required=True, help="folder of supervisor and worker")
    parser.add_argument("--rivals", type=pathlib.Path, required=True, help="virtual environment of the rivals")
    parser.add_argument("--servers", default=",".join(SERVERS), help="which of them (default: %(default)s)")
    parser.add_argument("--connections", default="1,64", help="how many at once (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=4, help="length of a load phase (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is repeated (default: %(default)s)")
    arguments = parser.parse_args()
    arguments.programs = arguments.programs.resolve()
    # The interpreter of a virtual environment is a link; following it would lead out of the environment.
    arguments.rivals = arguments.rivals.absolute()
    arguments.servers = arguments.servers.split(",")
    arguments.connections = [int(count) for count in arguments.connections.split(",")]
    if unknown := set(arguments.servers) - set(SERVERS):
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(SERVERS)}")
    return arguments


def pinned(cpu, command):
    """The command on one CPU, where there are several."""
    return ["taskset", "--cpu-list", str(cpu), *command] if os.cpu_count() > 1 else list(command)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_it_answers(port, server, log):
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.returncode is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            if answer.read() == EXPECTED:
                return
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(timeout=0.02)
    sys.exit(f"{server.args} does not answer:\n{log.read_text(errors='replace')}")


def processes_of(session):
    """The fields of /proc/PID/stat behind the name, for each process of a session."""
    for folder in pathlib.Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == session:
                    yield int(folder.name), fields


def cpu_seconds(session):
    ticks = sum(int(fields[11]) + int(fields[12]) for _, fields in processes_of(session))
    return ticks / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def running(name, arguments):
    """A server that answers, as its session and its port; whatever is left of it is killed at the end."""
    with tempfile.TemporaryDirectory(prefix="monoceros-bench-") as folder:
        folder = pathlib.Path(folder)
        shutil.copy(APP, folder)
        port, log = free_port(), folder / "log"
        environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        command = pinned(0, SERVERS[name](arguments, port, folder))
        with log.open("wb") as output:
            server = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
            )
        try:
            wait_until_it_answers(port, server, log)
            yield server.pid, port
        finally:
            for pid, _ in processes_of(server.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            server.wait()


def load(port, connections, seconds, script):
    """Loads a server; gives requests, seconds, the p50 and p99 in µs, and how many failed."""
    url = f"http://127.0.0.1:{port}/"
    wrk = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s", "--script", script, url]
    output = subprocess.run(pinned(1, wrk), check=True, capture_output=True, text=True).stdout
    requests, microseconds, p50, p99, failed = map(int, output.splitlines()[-1].split())
    return requests, microseconds / 1e6, p50, p99, failed


def measure(name, connections, arguments, script):
    """One load phase of one server: CPU µs per request, requests per second, p50, p99, failures."""
    with running(name, arguments) as (session, port):
        load(port, connections, WARM_UP_SECONDS, script)
        before = cpu_seconds(session)
        requests, seconds, p50, p99, failed = load(port, connections, arguments.seconds, script)
        cost = (cpu_seconds(session) - before) / requests * 1e6
    return cost, requests / seconds, p50, p99, failed


def print_table(connections, measured):
    medians = {name: [statistics.median(column) for column in zip(*rounds)] for name, rounds in measured.items()}
    yardstick = medians.get(YARDSTICK, [None])[0]
    plural = "" if connections == 1 else "s"
    print(f"\n{connections} connection{plural:3} CPU µs/request  to {YARDSTICK}  requests/s  p50 µs  p99 µs  failed")
    for name, (cost, rate, p50, p99, failed) in sorted(medians.items(), key=lambda item: item[1][0]):
        ratio = f"{cost / yardstick:9.2f}" if yardstick else " " * 9
        print(f"{name:14} {cost:16.2f} {ratio} {rate:11.0f} {p50:7.0f} {p99:7.0f} {failed:7.0f}")


def main():
    arguments = parse_arguments()
    measured = {count: {name: [] for name in arguments.servers} for count in arguments.connections}
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(REPORT)
        script.flush()
        for number in range(1, arguments.rounds + 1):
            for count in arguments.connections:
                for name in arguments.servers:
                    print(f"round {number} of {arguments.rounds}: {name}, {count} at once", file=sys.stderr)
                    measured[count][name].append(measure(name, count, arguments, script.name))
    for count in arguments.connections:
        print_table(count, measured[count])


if __name__ == "__main__":
    main()
