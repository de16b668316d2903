"""`/fork` leaves a child behind that does nothing but stay, and answers with its number."""

import os
import signal


def application(environ, start_response):
    child = 0
    if environ["PATH_INFO"] == "/fork":
        child = os.fork()
        if child == 0:
            while True:
                signal.pause()
    answer = str(child).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(answer)))])
    return [answer]
