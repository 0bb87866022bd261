"""What all APIs have in common: they speak English, and refuse unknown addresses in their own shape."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils.translation import override
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.views import APIView


@extend_schema(exclude=True)
class UnknownAddress(APIView):
    """404 as problem+json, for any method and without asking for a key."""

    authentication_classes = ()
    permission_classes = ()

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        raise NotFound


API_PREFIXES = ("/billing/v1/", "/v1/", "/api/v1/")


def english_for_machines(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: answers of the APIs are in English, whatever language the caller's browser or the site prefers."""

    def respond(request: HttpRequest) -> HttpResponse:
        if not request.path.startswith(API_PREFIXES):
            return get_response(request)
        with override("en"):
            response = get_response(request)
        response["Content-Language"] = "en"
        return response

    return respond
