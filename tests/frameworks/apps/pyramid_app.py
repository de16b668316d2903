"""The tour in Pyramid: routes, view predicates, its signed session, a static view; and a factory for an ini file."""

import hashlib
import os

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPFound
from pyramid.response import Response
from pyramid.session import SignedCookieSessionFactory

HERE = os.path.dirname(os.path.abspath(__file__))


def index(request):
    return Response(request.registry.settings.get("greeting", "<p>pyramid</p>"))


def away(request):
    return HTTPFound(request.route_path("index"))


def absolute(request):
    return Response(request.route_url("index"))


def form(request):
    return Response(f"{request.POST['name']} {request.POST.getall('colour')} {request.GET['q']}")


def upload(request):
    file = request.POST["file"]
    data = file.file.read()
    return Response(f"{file.filename} {len(data)} {hashlib.sha256(data).hexdigest()}")


def echo(request):
    return {"got": request.json_body}


def count(request):
    request.session["count"] = request.session.get("count", 0) + 1
    return Response(str(request.session["count"]))


def stream(request):
    return Response(app_iter=(f"{number}\n".encode() for number in range(3)), content_type="text/plain")


def boom(request):
    raise RuntimeError("of the application")


def main(global_config, **settings):
    with Configurator(settings=settings) as config:
        config.set_session_factory(SignedCookieSessionFactory("of the tests"))
        views = [index, away, absolute, form, upload, count, stream, boom]
        for view in views:
            name = view.__name__
            path = {"index": "/", "away": "/redirect"}.get(name, f"/{name}")
            config.add_route(name, path)
            config.add_view(view, route_name=name)
        config.add_route("json", "/json")
        config.add_view(echo, route_name="json", renderer="json", request_method="POST")
        config.add_static_view("public", os.path.join(HERE, "public"))
        return config.make_wsgi_app()


app = main({})
