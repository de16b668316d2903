"""`/wait` waits until somebody asks for `/open`; `/waiting` says how many do."""

import os
import threading

opened = threading.Event()
lock = threading.Lock()
waiting = 0


def application(environ, start_response):
    global waiting
    path = environ["PATH_INFO"]
    if path == "/wait":
        with lock:
            waiting += 1
        opened.wait()
        with lock:
            waiting -= 1
    elif path == "/open":
        opened.set()
    answer = str(os.getpid() if path == "/pid" else waiting).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(answer)))])
    return [answer]
