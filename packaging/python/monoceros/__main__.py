"""Becomes the `supervisor` that was installed with this package, with the arguments of this process."""

import os
import sys
import sysconfig
from importlib import metadata


def candidates():
    """Where it may lie: where pip says that it put it, in the environment's bin, beside a folder of `pip install --target`."""
    try:
        for file in metadata.files("monoceros") or ():
            path = os.path.realpath(file.locate())
            # `pip install --target` moves it and leaves its list as it was: what lies there may be somebody else's.
            if file.name == "supervisor" and os.path.exists(path) and os.path.getsize(path) == file.size:
                yield path
    except metadata.PackageNotFoundError:
        pass
    yield os.path.join(sysconfig.get_path("scripts"), "supervisor")
    yield os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "bin", "supervisor")


def main():
    tried = list(dict.fromkeys(candidates()))
    for program in tried:
        if os.access(program, os.X_OK):
            os.execv(program, [program, *sys.argv[1:]])
    sys.exit(f"monoceros: cannot find the supervisor: looked for {', '.join(tried)}: install the package anew")


if __name__ == "__main__":
    main()
