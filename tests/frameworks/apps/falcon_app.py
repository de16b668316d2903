"""The tour in Falcon: resources, its media handlers, cookies, a static route."""

import hashlib
import os

import falcon

HERE = os.path.dirname(os.path.abspath(__file__))


class Index:
    def on_get(self, req, resp):
        resp.content_type = falcon.MEDIA_HTML
        resp.text = "<p>falcon</p>"


class Away:
    def on_get(self, req, resp):
        raise falcon.HTTPFound("/")


class Absolute:
    def on_get(self, req, resp):
        resp.text = f"{req.prefix}/"


class Form:
    def on_post(self, req, resp):
        form = req.get_media()
        colours = form["colour"] if isinstance(form["colour"], list) else [form["colour"]]
        resp.text = f"{form['name']} {colours} {req.get_param('q')}"


class Upload:
    def on_post(self, req, resp):
        for part in req.get_media():
            if part.name == "file":
                data = part.stream.read()
                resp.text = f"{part.filename} {len(data)} {hashlib.sha256(data).hexdigest()}"


class Json:
    def on_post(self, req, resp):
        resp.media = {"got": req.get_media()}


class Count:
    def on_get(self, req, resp):
        count = int(req.cookies.get("count", "0")) + 1
        resp.set_cookie("count", str(count), secure=False)
        resp.text = str(count)


class Stream:
    def on_get(self, req, resp):
        resp.content_type = falcon.MEDIA_TEXT
        resp.stream = (f"{number}\n".encode() for number in range(3))


class Boom:
    def on_get(self, req, resp):
        raise RuntimeError("of the application")


app = falcon.App()
app.req_options.auto_parse_form_urlencoded = False
app.req_options.media_handlers[falcon.MEDIA_MULTIPART].parse_options.max_body_part_buffer_size = 1 << 22
for path, resource in [
    ("/", Index()),
    ("/redirect", Away()),
    ("/absolute", Absolute()),
    ("/form", Form()),
    ("/upload", Upload()),
    ("/json", Json()),
    ("/count", Count()),
    ("/stream", Stream()),
    ("/boom", Boom()),
]:
    app.add_route(path, resource)
app.add_static_route("/public", os.path.join(HERE, "public"))
