"""Quick requests beside slow ones: what a call of half a second does to those whose connections its worker keeps.

Four workers of one thread each serve. Quick clients keep their connections and ask by a timetable, alone and then beside a few that ask for
what takes half a second, one request after the other. An answer is late from when it was to be asked for. The rounds alternate, and the
medians of all are printed.
"""

import argparse
import collections
import contextlib
import pathlib
import selectors
import socket
import statistics
import threading
import time

import machine
from apps import HELLO
from servers import OURS, SERVERS, Task

QUICK = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
SLOW = b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n"
WORKERS = 4
# uWSGI is none of them: each of its processes serves one connection until that is closed.
DEFAULT = f"{OURS},granian,gthread"
# How long what was asked last may take.
LAST_SECONDS = 5
PATIENCE_SECONDS = 30


def connected(port):
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)


def ask_slowly(port, done):
    """One slow request after the other."""
    connection = connected(port)
    while not done.is_set():
        # Where it waits in vain, there is nothing to slow down.
        with contextlib.suppress(TimeoutError):
            connection.sendall(SLOW)
            if not connection.recv(65536):
                connection = connected(port)


class Quick:
    """A client that keeps its connection, and when each of its requests was due that is not answered."""

    def __init__(self, port):
        self.port, self.connection, self.due = port, connected(port), collections.deque()

    def ask(self, due):
        self.due.append(due)
        if len(self.due) == 1:
            self.connection.sendall(QUICK)

    def hear(self, selector):
        """The latency of what is answered; asks for the next that is due already."""
        answer = self.connection.recv(65536)
        if answer and not answer.endswith(HELLO):
            # A server may send the head by itself.
            return None
        if not answer:
            selector.unregister(self.connection)
            self.connection = connected(self.port)
            selector.register(self.connection, selectors.EVENT_READ, self)
            self.connection.sendall(QUICK)
            return None
        latency = time.perf_counter() - self.due.popleft()
        if self.due:
            self.connection.sendall(QUICK)
        return latency


def ask_by_timetable(clients, arguments, seconds):
    """The latency in ms of each request from when it was to be asked."""
    selector, latencies = selectors.DefaultSelector(), []
    for client in clients:
        selector.register(client.connection, selectors.EVENT_READ, client)
    began, asked, total = time.perf_counter(), 0, int(arguments.rate * seconds)
    while len(latencies) < total and time.perf_counter() < began + seconds + LAST_SECONDS:
        due = began + asked / arguments.rate
        if asked < total and due <= time.perf_counter():
            clients[asked % len(clients)].ask(due)
            asked += 1
            continue
        wait = max(0, due - time.perf_counter()) if asked < total else 1
        for key, _ in selector.select(wait):
            latency = key.data.hear(selector)
            if latency is not None:
                latencies.append(latency * 1000)
    return latencies + [LAST_SECONDS * 1000] * (total - len(latencies))


def measure(name, arguments, folder, slow):
    """p50, p99 and the longest in ms, beside so many slow clients."""
    task = Task("neighbours", machine.free_port(), folder, workers=WORKERS)
    with machine.running(SERVERS[name], arguments, task):
        clients = [Quick(task.port) for _ in range(arguments.connections)]
        ask_by_timetable(clients, arguments, 1)
        done = threading.Event()
        threads = [threading.Thread(target=ask_slowly, args=(task.port, done), daemon=True) for _ in range(slow)]
        for thread in threads:
            thread.start()
        latencies = sorted(ask_by_timetable(clients, arguments, arguments.seconds))
        done.set()
        for thread in threads:
            thread.join()
        for client in clients:
            client.connection.close()
    return [latencies[int(len(latencies) * part)] for part in (0.5, 0.99)] + [latencies[-1]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=pathlib.Path, required=True, help="folder of supervisor and worker")
    parser.add_argument("--rivals", type=pathlib.Path, required=True, help="virtual environment of the other servers")
    parser.add_argument("--servers", default=DEFAULT, help="which of them (default: %(default)s)")
    parser.add_argument("--slow", type=int, default=2, help="slow clients (default: %(default)s)")
    parser.add_argument("--connections", type=int, default=32, help="quick clients (default: %(default)s)")
    parser.add_argument("--rate", type=int, default=500, help="quick requests per second (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=4, help="length of a phase (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (default: %(default)s)")
    arguments = parser.parse_args()
    arguments.programs, arguments.rivals = arguments.programs.resolve(), arguments.rivals.resolve()
    names = arguments.servers.split(",")
    measured = collections.defaultdict(list)
    with machine.folder_of_apps() as folder:
        for _ in range(arguments.rounds):
            for name in names:
                for slow in (0, arguments.slow):
                    measured[name, slow].append(measure(name, arguments, folder, slow))
    print(f"{'server':12} {'slow clients':>12} {'p50 ms':>8} {'p99 ms':>8} {'longest':>8}")
    for (name, slow), rounds in measured.items():
        p50, p99, longest = (statistics.median(column) for column in zip(*rounds))
        print(f"{name:12} {slow:12} {p50:8.1f} {p99:8.1f} {longest:8.1f}")


if __name__ == "__main__":
    main()
