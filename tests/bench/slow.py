"""Slow clients beside good ones: what thousands of sockets that trickle do to the latency of everybody else (slowloris).

One worker serves hello world. A good client asks it over a few kept connections, alone and then beside sockets that send a
byte of a head, or of a body, every two seconds. What the server cuts off is opened again, so their number stays. Rounds
without and with them alternate; the medians are printed with their ratio. All is on the loopback, and bounded in number and
time.

The good client keeps a timetable: what is asked late, or answered late, is late from when it was to be asked. It takes a
fraction of its processor. A client that asks as fast as it can would measure who gets the processor, for those that are slow
need some of it too.
"""

import argparse
import contextlib
import multiprocessing
import os
import pathlib
import resource
import select
import socket
import statistics
import time

import machine
from servers import Server, Task

YAML = """\
apps:
  hello:
    wsgi: "apps:hello"
    listen: "127.0.0.1:{port}"
    limits: {{connections_max: 20000, body_rate_min: 240B}}
    timeouts: {{head: 10s, body: 5s}}
"""
BEGINNINGS = [
    b"GET /slow HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
    b"POST /slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n",
]
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
TRICKLE_SECONDS = 2.0
SLICES = 1000
# Below this the machine gives so many sockets no descriptors.
OTHER_DESCRIPTORS = 200
WARM_UP_SECONDS = 1
# A sleep may end so much late; the rest of the time to a request is waited for awake.
SLEEP_SLACK_SECONDS = 0.0001


def serve(arguments, task):
    (task.folder / "server.yaml").write_text(YAML.format(port=task.port))
    return [arguments.programs / "supervisor", "run", "-c", task.folder / "server.yaml"]


def opened(port, index):
    """A connection that has sent the beginning of its request."""
    slow = socket.create_connection(("127.0.0.1", port))
    slow.setblocking(False)
    slow.send(BEGINNINGS[index % len(BEGINNINGS)])
    return slow


def be_slow(port, count, ready, done, cut):
    """Keeps so many slow sockets open until it is done; counts those that were cut off."""
    machine.allow_descriptors()
    # Beside wrk, and behind it: what is measured is the server, and not who gets a processor.
    os.sched_setaffinity(0, {os.cpu_count() - 1})
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    os.nice(19)
    sockets = [opened(port, index) for index in range(count)]
    ready.set()
    turn = 0
    # One slice of them after the other, for strangers do not send all at once, and to send takes this machine's time too.
    while not done.wait(TRICKLE_SECONDS / SLICES):
        turn = (turn + 1) % SLICES
        slice_of_them = range(turn, count, SLICES)
        poller = select.poll()
        for index in slice_of_them:
            poller.register(sockets[index], select.POLLIN | select.POLLHUP)
        gone = {descriptor for descriptor, _ in poller.poll(0)}
        for index in slice_of_them:
            slow = sockets[index]
            try:
                if slow.fileno() not in gone:
                    slow.send(b"a")
                    continue
            except OSError:
                pass
            slow.close()
            sockets[index] = opened(port, index)
            cut.value += 1


def percentile(latencies, part):
    return sorted(latencies)[int(len(latencies) * part)]


def ask_by_timetable(port, arguments, seconds):
    """The latency in µs of each request from when it was to be asked, and how many were not answered well."""
    connections = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(arguments.connections)]
    for connection in connections:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    latencies, failed, began = [], 0, time.perf_counter()
    for index in range(int(arguments.rate * seconds)):
        due = began + index / arguments.rate
        time.sleep(max(0, due - SLEEP_SLACK_SECONDS - time.perf_counter()))
        while time.perf_counter() < due:
            pass
        connection = connections[index % len(connections)]
        connection.sendall(REQUEST)
        answer = connection.recv(65536)
        latencies.append((time.perf_counter() - due) * 1e6)
        failed += not answer.startswith(b"HTTP/1.1 200 ")
    for connection in connections:
        connection.close()
    return latencies, failed


def go_first():
    """Asks for this process to be run when it wants to, for the timetable's sake; not for those that it starts."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))


def measure(arguments, folder, count):
    """p50, p99 and p99.9 in µs, failures, and slow sockets cut off, beside so many slow ones."""
    task = Task("hello", machine.free_port(), folder)
    with machine.running(Server(serve), arguments, task):
        ready, done, cut = multiprocessing.Event(), multiprocessing.Event(), multiprocessing.Value("L", 0)
        slow = multiprocessing.Process(target=be_slow, args=(task.port, count, ready, done, cut), daemon=True)
        slow.start()
        if not ready.wait(60):
            raise SystemExit(f"the server does not take {count} connections")
        ask_by_timetable(task.port, arguments, WARM_UP_SECONDS)
        latencies, failed = ask_by_timetable(task.port, arguments, arguments.seconds)
        done.set()
        slow.join()
        return *(percentile(latencies, part) for part in (0.5, 0.99, 0.999)), failed, cut.value


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=pathlib.Path, required=True, help="folder of supervisor and worker")
    parser.add_argument("--slow", type=int, default=5000, help="slow sockets (default: %(default)s)")
    parser.add_argument("--connections", type=int, default=8, help="good connections (default: %(default)s)")
    parser.add_argument("--rate", type=int, default=1000, help="good requests per second (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=10, help="length of a phase (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often both are measured (default: %(default)s)")
    arguments = parser.parse_args()
    arguments.programs = arguments.programs.resolve()
    machine.allow_descriptors()
    os.sched_setaffinity(0, {os.cpu_count() - 1})
    go_first()
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < arguments.slow + OTHER_DESCRIPTORS:
        parser.error(f"this shell may open {resource.getrlimit(resource.RLIMIT_NOFILE)[0]} files: ulimit -n")
    measured = {0: [], arguments.slow: []}
    with machine.folder_of_apps() as folder:
        for _ in range(arguments.rounds):
            for count in measured:
                measured[count].append(measure(arguments, folder, count))
    print(f"{'slow sockets':>12} {'p50 µs':>8} {'p99 µs':>8} {'p99.9 µs':>8} {'failed':>7} {'cut off':>8}")
    medians = {count: [statistics.median(column) for column in zip(*rounds)] for count, rounds in measured.items()}
    for count, (p50, p99, p999, failed, cut) in medians.items():
        print(f"{count:12} {p50:8.0f} {p99:8.0f} {p999:8.0f} {failed:7.0f} {cut:8.0f}")
    alone, beside = medians.values()
    ratios = [after / before for before, after in zip(alone[:3], beside[:3])]
    print(f"{'ratio':>12} {ratios[0]:8.2f} {ratios[1]:8.2f} {ratios[2]:8.2f}")


if __name__ == "__main__":
    main()
