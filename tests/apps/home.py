"""Where an application lives: what it sees of its interpreter, its process, and the children that it starts."""

import os
import pathlib
import subprocess
import sys
import threading

HERE = pathlib.Path(__file__).parent


def beat():
    """Writes a line now and then, whether anybody asks for anything or not."""
    never = threading.Event()
    number = 0
    while not never.wait(0.01):
        number += 1
        (HERE / "beat").write_text(str(number))


threading.Thread(target=beat, daemon=True).start()


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [globals()[environ["PATH_INFO"].strip("/")]().encode()]


def interpreter():
    return "\n".join([sys.executable, sys.prefix, os.getcwd(), *sys.path])


def variable():
    return os.environ.get("GREETING", "")


def main_thread():
    return str(threading.current_thread() is threading.main_thread())


def child():
    """What a child that is started as one does see of itself."""
    script = "cat /proc/self/status; ls -l /proc/self/fd"
    return subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True).stdout


def import_from_path():
    import beside

    return beside.WORD
