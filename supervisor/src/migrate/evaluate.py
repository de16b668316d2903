"""Runs a gunicorn config file, which is a program, and prints what it sets, as one JSON object on what was standard output.

Started by `supervisor migrate` as `python -c THIS LOCATION`; LOCATION as gunicorn's `-c` takes it. gunicorn itself is not needed.
"""

import ast
import importlib
import importlib.machinery
import importlib.util
import json
import os
import sys
import traceback
import types

# What the file prints must not be taken for ours.
answer = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

MODULE = "__config__"
asked = []


class Noting(type(os.environ)):
    """The environment, which notes what the file asks it for."""

    def __getitem__(self, name):
        frame = sys._getframe(1)
        while frame and frame.f_globals.get("__name__") in ("os", "_collections_abc", "collections.abc"):
            frame = frame.f_back
        if frame and frame.f_globals.get("__name__") == MODULE and name not in asked:
            asked.append(name)
        return super().__getitem__(name)


def execute(location):
    """The module, and the path of its source."""
    if location.startswith("python:"):
        module = importlib.import_module(location[len("python:"):])
        return module, module.__file__
    path = location[len("file:"):] if location.startswith("file:") else location
    loader = importlib.machinery.SourceFileLoader(MODULE, path)
    spec = importlib.util.spec_from_file_location(MODULE, path, loader=loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = module
    loader.exec_module(module)
    return module, path


# Lists in lists, and maps: what is deeper is no setting's value, and may be its own part.
DEPTH_MAX = 8


def plain(value, depth=0):
    """The value as JSON has it, or what it is."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        # A name of a file that is not UTF-8 has halves of characters, which JSON has not.
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and value == value and abs(value) != float("inf"):
        return value
    if isinstance(value, os.PathLike):
        return plain(os.fspath(value))
    if isinstance(value, (list, tuple, set, frozenset)) and depth < DEPTH_MAX:
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, dict) and depth < DEPTH_MAX:
        return {plain(str(key)): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, type):
        return {"__class__": value.__module__ + "." + value.__qualname__}
    if callable(value):
        code = getattr(value, "__code__", None)
        return {
            "__function__": getattr(value, "__module__", "") + "." + getattr(value, "__qualname__", type(value).__name__),
            "line": code.co_firstlineno if code else None,
            "file": code.co_filename if code else None,
        }
    return {"__repr__": what_it_is(value)}


def what_it_is(value):
    try:
        return plain(repr(value)[:200])
    except Exception:
        return "an object of type " + type(value).__name__


def seen(value):
    try:
        return plain(value)
    except Exception:  # A value may be of any class, whose methods may raise anything.
        return {"__repr__": "an object of type " + type(value).__name__}


def statements(body):
    """Every statement outside functions and classes."""
    for node in body:
        yield node
        for name in ("body", "orelse", "finalbody", "handlers"):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                yield from statements(getattr(node, name, None) or [])


def names_of(target):
    if isinstance(target, ast.Name):
        yield target.id
    for item in getattr(target, "elts", ()):
        yield from names_of(item)


def is_literal(node):
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        return False
    return True


def places(source):
    """For each name its last line, and the expression if it is no literal."""
    lines, computed = {}, {}
    for node in statements(ast.parse(source).body):
        targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        if not isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)) or value is None:
            continue
        for name in (name for target in targets for name in names_of(target)):
            lines[name] = node.lineno
            computed.pop(name, None)
            if isinstance(node, ast.AugAssign) or not is_literal(value):
                computed[name] = " ".join((ast.get_source_segment(source, value) or "").split())
    return lines, computed


def fault(path, error):
    """Where in the file it went wrong, and how."""
    line = None
    if isinstance(error, SyntaxError) and error.filename == path:
        line = error.lineno
    for frame, number in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename == path:
            line = number
    text = "".join(traceback.format_exception_only(type(error), error)).strip().splitlines()[-1]
    return {"line": line, "text": text}


def main(location):
    os.environ.__class__ = Noting
    path = location.split(":", 1)[1] if location.startswith("file:") else location
    try:
        module, path = execute(location)
    except BaseException as error:  # A file may raise anything, SystemExit too.
        return {"fault": fault(path, error)}
    values = {
        name: seen(value)
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    try:
        with open(path, encoding="utf-8") as file:
            lines, computed = places(file.read())
    except (OSError, SyntaxError, ValueError):
        lines, computed = {}, {}
    return {"file": path, "values": values, "lines": lines, "computed": computed, "environment": asked}


json.dump(main(sys.argv[1]), answer)
answer.flush()
# Threads that the file has started must not keep us.
os._exit(0)
