"""The server beside its rivals: what one request costs each of them, in one run on one machine.

Each server runs one worker on CPU 0, and wrk asks from CPU 1. In every round each of them is started afresh, warmed up, and loaded in turn,
so that whatever the machine does to one it does to all; the medians of the rounds are printed. The figure to look at is the CPU time per
request: requests per second also measure the client. Beside the servers stand floors: the bare call of the application in a loop of
Python's, and our own worker answering without Python.

CPU time is that of all the server's processes over the load phase, divided by the requests that wrk counted. A rival that closes its
connections pays for new ones, as its users do.
"""

import argparse
import functools
import pathlib
import statistics
import subprocess
import sys

import machine
import rows as table
from servers import OURS, SERVERS, YARDSTICK, Task

WARM_UP_SECONDS = 1
WITHOUT_PYTHON = "(no Python)"
BARE_CALL = "(bare call)"
BARE_THREADS = "(bare threads)"

# The CPU time of a call in µs: an environ, the call, and what it gives.
CALLS = """\
import sys, time, apps
from wsgiref.util import setup_testing_defaults
template = {}
setup_testing_defaults(template)
def start_response(status, headers, exc_info=None):
    pass
application = getattr(apps, sys.argv[1])
count = 0
began = time.process_time()
while time.process_time() - began < 0.5:
    for _ in range(100):
        for piece in application(template.copy(), start_response):
            pass
    count += 100
print((time.process_time() - began) / count * 1e6)
"""

# The CPU time of a call in µs, and calls per second, of threads that do nothing else: how late this machine wakes who sleeps.
CALLS_OF_THREADS = """\
import sys, threading, time, apps
application, count, seconds = getattr(apps, sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
end = time.monotonic() + seconds
def call_on():
    calls = 0
    while time.monotonic() < end:
        application({}, lambda status, headers, exc_info=None: None)
        calls += 1
    totals.append(calls)
totals, threads = [], [threading.Thread(target=call_on) for _ in range(count)]
began = time.process_time()
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print((time.process_time() - began) / sum(totals) * 1e6, sum(totals) / seconds)
"""


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=pathlib.Path, required=True, help="folder of supervisor and worker")
    parser.add_argument("--rivals", type=pathlib.Path, required=True, help="virtual environment of the rivals")
    parser.add_argument("--servers", default=",".join(SERVERS), help="which of them (default: %(default)s)")
    parser.add_argument("--rows", default=",".join(table.ROWS), help="which rows (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=3, help="length of a load phase (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is repeated (default: %(default)s)")
    arguments = parser.parse_args()
    arguments.programs = arguments.programs.resolve()
    # The interpreter of a virtual environment is a link; following it would lead out of the environment.
    arguments.rivals = arguments.rivals.absolute()
    arguments.servers, arguments.rows = arguments.servers.split(","), arguments.rows.split(",")
    for given, known in ((arguments.servers, SERVERS), (arguments.rows, table.ROWS)):
        if unknown := set(given) - set(known):
            parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
    return arguments


def measure(name, row, arguments, folder):
    """One load phase of one server: CPU µs per request, requests per second, p50, p99, failures, PSS, start."""
    app = "broken" if name == WITHOUT_PYTHON else row.app
    front = machine.free_port() if row.behind_nginx else 0
    way = {"protocol": row.behind_nginx or "http", "front": front}
    task = Task(app, machine.free_port(), folder, threads=row.threads, is_tls=row.is_tls, **way)
    script = folder / "row.lua"
    script.write_text(row.script + table.REPORT)
    server = SERVERS[OURS if name == WITHOUT_PYTHON else name]
    with machine.nginx(task), machine.running(server, arguments, task) as (session, start):
        alone = machine.memory(session)
        with machine.idle_connections(task, row.idle) as held:
            machine.load(task, row, WARM_UP_SECONDS, script)
            beside = machine.memory(session)
            before = machine.cpu_seconds(session)
            requests, seconds, p50, p99, failed = machine.load(task, row, arguments.seconds, script)
            taken = machine.cpu_between(before, machine.cpu_seconds(session))
    cost = taken / max(requests, 1) * 1e6
    # Memory for each that is held; a server that does not hold them has no figure.
    idle = (sum(beside) - sum(alone)) / held if row.idle and held == row.idle else 0
    failed = 0 if name == WITHOUT_PYTHON else failed
    return cost, requests / seconds, p50, p99, failed, sum(beside) / 2**20, start * 1000, idle


def bare_call(row, arguments, folder):
    """The CPU µs of the application alone."""
    command = machine.pinned(0, [arguments.rivals / "bin/python", "-c", CALLS, row.app])
    output = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    return (float(output), 0, 0, 0, 0, 0, 0, 0)


def bare_threads(row, arguments, folder):
    """The CPU µs of the application called by threads of Python's alone, and how often they do."""
    python, seconds = arguments.rivals / "bin/python", arguments.seconds
    command = machine.pinned(0, [python, "-c", CALLS_OF_THREADS, row.app, str(row.threads), str(seconds)])
    output = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    cost, rate = map(float, output.split())
    return (cost, rate, 0, 0, 0, 0, 0, 0)


FLOORS = {BARE_CALL: bare_call, BARE_THREADS: bare_threads}


def contestants(row, arguments):
    names = [name for name in arguments.servers if SERVERS[name].can(row)]
    floors = [BARE_CALL, WITHOUT_PYTHON] if row.app == "hello" and not row.is_tls and not row.idle and not row.behind_nginx else []
    return names + floors + ([BARE_THREADS] if row.ideal else [])


def print_row(row, measured):
    measured = {name: rounds for name, rounds in measured.items() if rounds}
    medians = {name: [statistics.median(column) for column in zip(*rounds)] for name, rounds in measured.items()}
    yardstick = medians.get(YARDSTICK, medians.get(OURS, [None]))[0]
    of = YARDSTICK if YARDSTICK in medians else OURS
    last = "  bytes/idle" if row.idle else ""
    print(f"\n{row.title:38} CPU µs/request  to {of:9}  requests/s   p50 µs   p99 µs  failed  PSS MiB  start ms{last}")
    for name, (cost, rate, p50, p99, failed, size, start, idle) in sorted(medians.items(), key=lambda item: item[1][0]):
        ratio = f"{cost / yardstick:12.2f}" if yardstick else " " * 12
        last = f" {idle:11.0f}" if row.idle else ""
        figures = f"{rate:12.0f} {p50:8.0f} {p99:8.0f} {failed:7.0f} {size:8.1f} {start:9.0f}{last}"
        print(f"{name:38} {cost:14.2f} {ratio} {figures if name != BARE_CALL else ''}")
    if row.ideal and {OURS, BARE_THREADS} <= set(medians):
        print(f"{'of the ideal':38} {medians[OURS][1] / row.ideal:14.3f}")
        print(f"{'of what bare threads do':38} {medians[OURS][1] / medians[BARE_THREADS][1]:14.3f}")
    if {OURS, BARE_CALL, WITHOUT_PYTHON} <= set(medians):
        floor = medians[BARE_CALL][0] + medians[WITHOUT_PYTHON][0]
        print(f"{OURS + ' to the sum of the floors':38} {medians[OURS][0] / floor:14.2f}")


def main():
    arguments = parse_arguments()
    machine.allow_descriptors()
    with machine.folder_of_apps() as folder:
        for key in arguments.rows:
            row = table.ROWS[key]
            names = contestants(row, arguments)
            measured = {name: [] for name in names}
            for number in range(1, arguments.rounds + 1):
                for name in names:
                    print(f"{row.title}: round {number} of {arguments.rounds}: {name}", file=sys.stderr)
                    try:
                        take = FLOORS.get(name, functools.partial(measure, name))
                        measured[name].append(take(row, arguments, folder))
                    except subprocess.CalledProcessError:
                        print(f"{name} does not serve this row", file=sys.stderr)
            print_row(row, measured)
            sys.stdout.flush()


if __name__ == "__main__":
    main()
