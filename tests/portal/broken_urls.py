"""The site with pages that fail, to see what a visitor gets."""

from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import path

from config.urls import urlpatterns as site


def broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("a secret detail")


def forbidden(request: HttpRequest) -> HttpResponse:
    raise PermissionDenied("a secret detail")


def unreadable(request: HttpRequest) -> HttpResponse:
    raise BadRequest("a secret detail")


urlpatterns = [path("broken/", broken), path("forbidden/", forbidden), path("unreadable/", unreadable), *site]
