#!/bin/sh
# In the place of pip: makes sure that what it is to install is in the tests' own environment, and installs the two programs.
exec "$(dirname "$0")/python" - "$@" <<'END'
import importlib.metadata, os, pathlib, re, shutil, sys

words = [word for word in sys.argv[1:] if word != "--quiet"]
assert words[0] == "install", words
wanted = words[1:]
if wanted[0] in ("-r", "--requirement"):
    lines = pathlib.Path(wanted[1]).read_text().splitlines()
    wanted = [line for line in lines if line and line[0] != "#"]
for word in wanted:
    if word.endswith("packaging/python"):
        for name in ("supervisor", "worker"):
            # Copies, as pip makes them: a worker finds the environment by where it lies.
            shutil.copy(pathlib.Path(os.environ["PROGRAMS"], name), pathlib.Path(sys.prefix, "bin", name))
    else:
        importlib.metadata.version(re.split("[=<>~]", word)[0].strip())
END
