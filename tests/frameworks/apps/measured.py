"""A site that is measured by prometheus_client in its multiprocess mode, as its documentation has it."""

import atexit
import os

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

REQUESTS = Counter("shop_requests", "Requests.", ["path"])
SECONDS = Histogram("shop_seconds", "Time of a request.")
ALIVE = Gauge("shop_alive", "Workers.", multiprocess_mode="livesum")

ALIVE.set(1)
# What is said of processes that are gone: counters stay, gauges of the living do not.
atexit.register(multiprocess.mark_process_dead, os.getpid())


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/metrics":
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
        start_response("200 OK", [("Content-Type", CONTENT_TYPE_LATEST)])
        return [generate_latest(registry)]
    with SECONDS.time():
        REQUESTS.labels(path=path).inc()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
