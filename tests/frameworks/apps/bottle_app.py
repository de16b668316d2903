"""The tour in Bottle: routes, signed cookies, static_file, a generator for an answer."""

import hashlib
import os

from bottle import Bottle, redirect, request, response, static_file

HERE = os.path.dirname(os.path.abspath(__file__))
SECRET = "of the tests"
app = Bottle()


@app.get("/")
def index():
    return "<p>bottle</p>"


@app.get("/redirect")
def away():
    redirect("/", 302)


@app.get("/absolute")
def absolute():
    return "{0.scheme}://{0.netloc}/".format(request.urlparts)


@app.post("/form")
def form():
    return f"{request.forms.getunicode('name')} {request.forms.getall('colour')} {request.query.q}"


@app.post("/upload")
def upload():
    file = request.files.get("file")
    data = file.file.read()
    return f"{file.raw_filename} {len(data)} {hashlib.sha256(data).hexdigest()}"


@app.post("/json")
def echo():
    return {"got": request.json}


@app.get("/count")
def count():
    count = (request.get_cookie("count", secret=SECRET) or 0) + 1
    response.set_cookie("count", count, secret=SECRET)
    return str(count)


@app.get("/stream")
def stream():
    response.content_type = "text/plain"
    for number in range(3):
        yield f"{number}\n"


@app.get("/public/<name>")
def public(name):
    return static_file(name, root=os.path.join(HERE, "public"))


@app.get("/boom")
def boom():
    raise RuntimeError("of the application")
