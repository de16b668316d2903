"""Builds a wheel or a source archive of Monoceros: what pip calls (PEP 517), with nothing but the standard library.

A wheel has the two programs as scripts, which pip puts side by side into the environment's bin, and the module that
`python -m monoceros` runs. It is tagged for the one CPython that the worker was built for.

Settings, by `pip … --config-settings NAME=VALUE`:

    profile     cargo's profile, `release` unless it is said
    programs    a folder with both programs, instead of a build; they must be for this Python
"""

import base64
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
# A checkout, or an unpacked source archive, which is laid out as one.
SOURCE = HERE.parent.parent
PROGRAMS = ("supervisor", "worker")


def version():
    text = (SOURCE / "Cargo.toml").read_text(encoding="utf-8")
    return re.search(r'^version = "([^"]+)"$', text, re.MULTILINE).group(1)


NAME = f"monoceros-{version()}"


# What pip calls.


def get_requires_for_build_wheel(config_settings=None):
    return []


def get_requires_for_build_sdist(config_settings=None):
    return []


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    # Of any Python: pip reads in it which it is for, and says so in its own way.
    folder = Path(metadata_directory) / f"{NAME}.dist-info"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in metadata_files().items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return folder.name


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    expect_fitting_python()
    settings = config_settings or {}
    folder = built(settings["programs"]) if "programs" in settings else cargo_build(settings.get("profile", "release"))
    name = f"{NAME}-{tag()}.whl"
    with tempfile.TemporaryDirectory() as scratch, Wheel(Path(wheel_directory) / name) as wheel:
        for file in sorted((HERE / "monoceros").glob("*.py")):
            wheel.add(f"monoceros/{file.name}", file.read_bytes())
        for program in PROGRAMS:
            wheel.add(f"{NAME}.data/scripts/{program}", stripped(folder / program, Path(scratch)), 0o755)
        for file, text in metadata_files().items():
            wheel.add(f"{NAME}.dist-info/{file}", text.encode())
    return name


def build_sdist(sdist_directory, config_settings=None):
    name = f"{NAME}.tar.gz"
    project = (HERE / "pyproject.toml").read_text(encoding="utf-8")
    # At the archive's top, where pip looks for it; all else lies as in a checkout.
    project = project.replace('backend-path = ["."]', 'backend-path = ["packaging/python"]')
    project = project.replace('readme = "README.md"', 'readme = "packaging/python/README.md"')
    with tarfile.open(Path(sdist_directory) / name, "w:gz", format=tarfile.PAX_FORMAT) as archive:
        for path in sources():
            archive.add(SOURCE / path, f"{NAME}/{path}", recursive=False, filter=anonymous)
        for path, text in (("pyproject.toml", project), ("PKG-INFO", metadata_files()["METADATA"])):
            entry = anonymous(tarfile.TarInfo(f"{NAME}/{path}"))
            entry.size, entry.mtime = len(text.encode()), timestamp()
            archive.addfile(entry, io.BytesIO(text.encode()))
    return name


# The parts.


def expect_fitting_python():
    """Says in a line what would else be said in a hundred, by a linker or at the first start."""
    running = ".".join(map(str, sys.version_info[:3]))
    if sys.implementation.name != "cpython":
        sys.exit(f"monoceros: the worker embeds CPython, and this is {sys.implementation.name}")
    if sys.version_info < (3, 9):
        sys.exit(f"monoceros: CPython 3.9 or later is needed, and this is {running}")
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        sys.exit(f"monoceros: the worker needs a Python with a GIL, and this is {running} without one (free-threaded)")
    if not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        sys.exit(
            f"monoceros: the worker needs libpython as a shared library, and {sys.executable} came without one: "
            "build it with --enable-shared (pyenv: PYTHON_CONFIGURE_OPTS=--enable-shared)"
        )


def python():
    """The interpreter itself, where this runs in a virtual environment of it: that may be gone when the wheel is used."""
    return getattr(sys, "_base_executable", None) or sys.executable


def built(folder):
    """Programs that are built already, if they are for this Python."""
    said = subprocess.run([Path(folder) / "worker", "--about"], stdout=subprocess.PIPE, universal_newlines=True).stdout
    theirs = re.search(r"^built-for (.+)$", said, re.MULTILINE)
    ours = "%d.%d" % sys.version_info[:2]
    if not theirs or theirs.group(1) != ours:
        of = f"for Python {theirs.group(1)}" if theirs else "none that runs here"
        sys.exit(f"monoceros: the worker in {folder} is {of}, and this is Python {ours}")
    return Path(folder)


def cargo_build(profile):
    cargo = shutil.which("cargo") or str(Path.home() / ".cargo/bin/cargo")
    if not os.access(cargo, os.X_OK):
        sys.exit("monoceros: cannot find cargo, which builds it: install Rust, see https://rustup.rs")
    # Apart from the programs that a developer builds there, which are for another Python.
    target = Path(os.environ.get("CARGO_TARGET_DIR", SOURCE / "target")) / "python"
    command = [cargo, "build", "--locked", "--workspace", "--bins", "--profile", profile, "--target-dir", str(target)]
    # What would be stripped is not made: it takes a fifth of the time.
    environment = {**os.environ, "PYO3_PYTHON": python(), "CARGO_PROFILE_RELEASE_DEBUG": "0"}
    subprocess.run(command, cwd=SOURCE, check=True, env=environment)
    return target / ("debug" if profile == "dev" else profile)


def stripped(program, scratch):
    """A program's bytes, without what only a debugger reads, if there is a tool that takes it out."""
    if shutil.which("strip"):
        copy = scratch / program.name
        subprocess.run(["strip", "--strip-unneeded", "-o", str(copy), str(program)], check=True)
        program = copy
    return program.read_bytes()


def tag():
    """One version of CPython, on this platform: the library is not in the wheel, so it can be no manylinux (PEP 600)."""
    interpreter = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    return f"{interpreter}-{interpreter}-{platform}"


def project_value(key):
    text = (HERE / "pyproject.toml").read_text(encoding="utf-8")
    return re.search(rf'^{key} = "([^"]+)"$', text, re.MULTILINE).group(1)


def metadata_files():
    header = [
        "Metadata-Version: 2.1",
        "Name: monoceros",
        f"Version: {version()}",
        f"Summary: {project_value('description')}",
        f"Requires-Python: {project_value('requires-python')}",
        "License: MIT",
        "Classifier: Environment :: Web Environment",
        "Classifier: Operating System :: POSIX :: Linux",
        "Classifier: Programming Language :: Python :: Implementation :: CPython",
        "Classifier: Topic :: Internet :: WWW/HTTP :: WSGI :: Server",
        "Description-Content-Type: text/markdown",
    ]
    readme = (HERE / "README.md").read_text(encoding="utf-8")
    return {
        "METADATA": "\n".join(header) + "\n\n" + readme,
        "WHEEL": f"Wheel-Version: 1.0\nGenerator: monoceros\nRoot-Is-Purelib: false\nTag: {tag()}\n",
        "licenses/LICENSE": (SOURCE / "LICENSE").read_text(encoding="utf-8"),
    }


def timestamp():
    return int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))


class Wheel:
    """A zip that keeps the list of what is in it (the binary distribution format, RECORD)."""

    def __init__(self, path):
        self.zip = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED)
        self.record = []

    def __enter__(self):
        return self

    def __exit__(self, failed, *_):
        if not failed:
            name = f"{NAME}.dist-info/RECORD"
            self.write(name, "".join([*self.record, f"{name},,\n"]).encode(), 0o644)
        self.zip.close()

    def add(self, name, data, mode=0o644):
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        self.record.append(f"{name},sha256={digest},{len(data)}\n")
        self.write(name, data, mode)

    def write(self, name, data, mode):
        # Zip knows no year before 1980.
        date = time.gmtime(max(timestamp(), 315532800))[:6]
        entry = zipfile.ZipInfo(name, date)
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.external_attr = (0o100000 | mode) << 16
        self.zip.writestr(entry, data)


def sources():
    """What git does not ignore; in a source archive, which has no git, all that lies there but what was built."""
    if (SOURCE / ".git").exists():
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=SOURCE, check=True, stdout=subprocess.PIPE).stdout.decode()
        return sorted(path for path in set(listed.split("\0")) if path and (SOURCE / path).exists())
    files = (path.relative_to(SOURCE) for path in SOURCE.rglob("*") if path.is_file() or path.is_symlink())
    made = ("target", "PKG-INFO", "pyproject.toml")
    return sorted(str(path) for path in files if path.parts[0] not in made and "__pycache__" not in path.parts)


def anonymous(entry):
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry
