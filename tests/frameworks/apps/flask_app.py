"""The tour in Flask: views, its session, send_file's kin, url_for."""

import hashlib

from flask import Flask, Response, redirect, request, session, url_for

app = Flask(__name__, static_folder="public", static_url_path="/public")
app.secret_key = "of the tests"


@app.get("/")
def index():
    return "<p>flask</p>"


@app.get("/redirect")
def away():
    return redirect(url_for("index"))


@app.get("/absolute")
def absolute():
    return url_for("index", _external=True)


@app.post("/form")
def form():
    return f"{request.form['name']} {request.form.getlist('colour')} {request.args['q']}"


@app.post("/upload")
def upload():
    file = request.files["file"]
    data = file.read()
    return f"{file.filename} {len(data)} {hashlib.sha256(data).hexdigest()}"


@app.post("/json")
def echo():
    return {"got": request.get_json()}


@app.get("/count")
def count():
    session["count"] = session.get("count", 0) + 1
    return str(session["count"])


@app.get("/stream")
def stream():
    return Response((f"{number}\n" for number in range(3)), mimetype="text/plain")


@app.get("/boom")
def boom():
    raise RuntimeError("of the application")
