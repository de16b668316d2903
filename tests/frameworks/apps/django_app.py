"""The tour in Django, in one file: views, signed sessions, FileResponse, streaming, its middleware."""

import hashlib
import json
import os

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, HttpResponseRedirect, JsonResponse, StreamingHttpResponse
from django.urls import path, re_path, reverse
from django.views.decorators.http import require_GET, require_POST
from django.views.static import serve

HERE = os.path.dirname(os.path.abspath(__file__))

settings.configure(
    SECRET_KEY="of the tests",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.http.ConditionalGetMiddleware",
    ],
    FILE_UPLOAD_MAX_MEMORY_SIZE=64 * 1024,
)
django.setup()


@require_GET
def index(request):
    return HttpResponse("<p>django</p>")


def away(request):
    return HttpResponseRedirect(reverse("index"))


def absolute(request):
    return HttpResponse(request.build_absolute_uri(reverse("index")))


@require_POST
def form(request):
    return HttpResponse(f"{request.POST['name']} {request.POST.getlist('colour')} {request.GET['q']}")


@require_POST
def upload(request):
    file = request.FILES["file"]
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    return HttpResponse(f"{file.name} {file.size} {digest.hexdigest()}")


def echo(request):
    return JsonResponse({"got": json.loads(request.body)})


def count(request):
    request.session["count"] = request.session.get("count", 0) + 1
    return HttpResponse(str(request.session["count"]))


def stream(request):
    return StreamingHttpResponse((f"{number}\n" for number in range(3)), content_type="text/plain")


def boom(request):
    raise RuntimeError("of the application")


urlpatterns = [
    path("", index, name="index"),
    path("redirect", away),
    path("absolute", absolute),
    path("form", form),
    path("upload", upload),
    path("json", echo),
    path("count", count),
    path("stream", stream),
    path("boom", boom),
    re_path(r"^public/(?P<path>.*)$", serve, {"document_root": os.path.join(HERE, "public")}),
]

app = get_wsgi_application()
