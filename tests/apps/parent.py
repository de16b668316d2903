"""Starts programs that outlive it: `/child` in its own process group, `/deaf` one that hears no TERM, `/daemon` in a session of its own,
`/orphan` one whose parent is gone already. Each answers with the program's number."""

import os
import subprocess

STAY = ["sh", "-c", "exec tail -f /dev/null"]
DEAF = ["sh", "-c", "trap '' TERM; while :; do tail -f /dev/null; done"]


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(globals()[environ["PATH_INFO"].strip("/")]()).encode()]


def pid():
    return os.getpid()


def child():
    return subprocess.Popen(STAY).pid


def deaf():
    return subprocess.Popen(DEAF).pid


def daemon():
    return subprocess.Popen(STAY, start_new_session=True).pid


def orphan():
    script = "tail -f /dev/null >/dev/null 2>&1 & echo $!"
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.strip()


def short():
    """An orphan that ends at once: a zombie, if nobody reaps it."""
    return subprocess.run(["sh", "-c", "sh -c : & echo $!"], capture_output=True, text=True, check=True).stdout.strip()
