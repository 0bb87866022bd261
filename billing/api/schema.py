"""The REST API's description of itself."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.utils import translation
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import (
    OpenApiJsonRenderer,
    OpenApiJsonRenderer2,
    OpenApiYamlRenderer,
    OpenApiYamlRenderer2,
)
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import PROBLEM_JSON

#: What every refusal looks like (`accounts.api.problem`, RFC 9457); views document only when they refuse.
PROBLEM: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string", "const": "about:blank"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "The stable name of the refusal."},
        "detail": {"type": "string", "description": "One sentence for a person."},
        "errors": {
            "type": "array",
            "description": "The fields that are to blame.",
            "items": {
                "type": "object",
                "required": ["field", "code", "detail"],
                "properties": {name: {"type": "string"} for name in ("field", "code", "detail")},
            },
        },
        "data": {"type": "object", "description": "Details of this code, where it has some."},
    },
}


class ApiSchema(APIView):
    """`GET /billing/v1/schema`: OpenAPI 3.1, as JSON or (Accept or `?format=yaml`) as YAML. Public, like any manual."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    renderer_classes = (OpenApiJsonRenderer2, OpenApiJsonRenderer, OpenApiYamlRenderer2, OpenApiYamlRenderer)

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        return Response(api_schema())


@lru_cache(maxsize=1)
def api_schema() -> dict[str, Any]:
    """The document, made once a process: it depends on the code alone."""
    with translation.override("en"):
        schema: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    schema["components"]["schemas"]["Problem"] = PROBLEM
    for item in schema["paths"].values():
        for operation in item.values():
            for status, response in operation["responses"].items():
                if status.startswith(("4", "5")):
                    response.setdefault("content", {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}})
    return schema
