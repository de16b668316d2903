"""The addresses of the project."""

from django.contrib import admin
from django.urls import path

from notes.views import index

urlpatterns = [
    path("", index),
    path("admin/", admin.site.urls),
]
