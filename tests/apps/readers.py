"""Reads `wsgi.input` by a list of calls and says where it differs from an io.BytesIO over the same bytes.

The body begins with the calls as a line of JSON, `[["read", 5], ["readline"], …]`; the rest is what is read.
"""

import io
import json


def application(environ, start_response):
    stream = environ["wsgi.input"]
    first = stream.readline()
    calls = json.loads(first)
    oracle = io.BytesIO(body(int(environ["HTTP_X_LENGTH"])))
    differences = []
    for number, (name, *arguments) in enumerate(calls):
        got, expected = call(stream, name, arguments), call(oracle, name, arguments)
        if got != expected:
            differences.append(f"{number}: {name}{tuple(arguments)}: {short(got)} instead of {short(expected)}")
    rest = stream.read()
    if rest != oracle.read():
        differences.append(f"the rest differs: {short(rest)}")
    answer = "\n".join(differences).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(answer)))])
    return [answer]


def body(length):
    """Lines of growing length, some empty, the last without an end; the test sends the same."""
    lines, total, number = [], 0, 0
    while total < length:
        line = b"%d " % number * (number % 50) + b"\n"
        lines.append(line)
        total += len(line)
        number += 1
    return b"".join(lines)[:length]


def call(stream, name, arguments):
    if name == "iterate":
        return [line for line, _ in zip(stream, range(*arguments))]
    if name == "readinto":
        buffer = bytearray(*arguments)
        return stream.readinto(buffer), bytes(buffer)
    return getattr(stream, name)(*arguments)


def short(value):
    text = repr(value)
    return text if len(text) < 100 else f"{text[:60]}… ({len(text)} characters)"
