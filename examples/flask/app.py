"""A page, JSON, an answer without an end in sight, and a file taken in."""

import hashlib

from flask import Flask, jsonify, request

app = Flask(__name__)

PAGE = """<!doctype html>
<title>Flask on Monoceros</title>
<h1>How long is it, and what is its SHA-256?</h1>
<form method="post" action="/upload" enctype="multipart/form-data">
  <input type="file" name="file" required>
  <button>Tell me</button>
</form>
"""


@app.get("/")
def index():
    return PAGE


@app.get("/hello/<name>")
def hello(name):
    return jsonify(hello=name, method=request.method, query=request.args)


@app.get("/count")
def count():
    """Streams the numbers from 1 to `to`; no more of them are made than the client takes."""
    to = request.args.get("to", default=10, type=int)
    return (f"{number}\n" for number in range(1, to + 1)), {"Content-Type": "text/plain"}


@app.post("/upload")
def upload():
    """Reads the uploaded file in pieces, so that its size costs no memory."""
    file = request.files["file"]
    digest, size = hashlib.sha256(), 0
    while piece := file.stream.read(64 * 1024):
        digest.update(piece)
        size += len(piece)
    return jsonify(name=file.filename, size=size, sha256=digest.hexdigest())
