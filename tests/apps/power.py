"""What this process may do: each path answers with what a try came to."""

import os
import pathlib
import subprocess

HERE = pathlib.Path(__file__).parent


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(globals()[environ["PATH_INFO"].strip("/")]()).encode()]


def status():
    return pathlib.Path("/proc/self/status").read_text()


def variables():
    return "\n".join(f"{name}={os.environ.get(name)}" for name in ("HOME", "USER", "LOGNAME"))


def pid():
    return os.getpid()


def become_root():
    try:
        os.setuid(0)
    except PermissionError:
        return "refused"
    return "done"


def touch():
    """A file as the application makes it."""
    made = pathlib.Path("/tmp") / f"monoceros-power-{os.getpid()}"
    try:
        made.touch()
        return oct(made.stat().st_mode & 0o777)
    finally:
        made.unlink(missing_ok=True)


def child():
    """The status of a program that the application starts."""
    return subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True, check=True).stdout


def core():
    """Whether the kernel would write a core: /proc belongs to the process's own user then."""
    return os.stat("/proc/self/status").st_uid == os.getuid()
