"""The tour in web.py: classes by URL, its session on the disk, its own middleware for static files."""

import hashlib
import json
import os

import web

web.config.debug = False
urls = (
    "/", "Index",
    "/redirect", "Away",
    "/absolute", "Absolute",
    "/form", "Form",
    "/upload", "Upload",
    "/json", "Json",
    "/count", "Count",
    "/stream", "Stream",
    "/boom", "Boom",
)
application = web.application(urls, globals())
session = web.session.Session(application, web.session.DiskStore("sessions"), initializer={"count": 0})


class Index:
    def GET(self):
        web.header("Content-Type", "text/html; charset=utf-8")
        return "<p>webpy</p>"


class Away:
    def GET(self):
        raise web.found("/")


class Absolute:
    def GET(self):
        return web.ctx.home + "/"


class Form:
    def POST(self):
        form = web.input(colour=[])
        return f"{form.name} {form.colour} {form.q}"


class Upload:
    def POST(self):
        file = web.input(file={}).file
        data = file.file.read()
        return f"{file.filename} {len(data)} {hashlib.sha256(data).hexdigest()}"


class Json:
    def POST(self):
        web.header("Content-Type", "application/json")
        return json.dumps({"got": json.loads(web.data())})


class Count:
    def GET(self):
        session.count += 1
        return str(session.count)


class Stream:
    def GET(self):
        web.header("Content-Type", "text/plain")
        for number in range(3):
            yield f"{number}\n"


class Boom:
    def GET(self):
        raise RuntimeError("of the application")


os.makedirs("sessions", exist_ok=True)
app = application.wsgifunc(lambda app: web.httpserver.StaticMiddleware(app, prefix="/public/"))
