"""How machines prove who they are, and how every API says no."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import TooManyFieldsSent
from django.http import Http404
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import exceptions, permissions
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.errors import DomainError, InvalidInput
from accounts.models import ApiKey
from accounts.selectors import authenticate_api_key

PROBLEM_JSON = "application/problem+json"

logger = logging.getLogger(__name__)


class KeyPrincipal:
    """The caller behind an API key, in the place where Django expects a user."""

    is_authenticated = True

    def __init__(self, key: ApiKey) -> None:
        self.key = key
        self.customer = key.customer

    def __str__(self) -> str:
        return f"key {self.key.prefix}"


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer sk-jeongsan-...`. Missing, unknown, revoked and expired keys get the same answer."""

    def authenticate(self, request: Request) -> tuple[KeyPrincipal, ApiKey] | None:
        scheme, _, secret = get_authorization_header(request).partition(b" ")
        if scheme.lower() != b"bearer" or not secret:
            return None
        key = authenticate_api_key(secret.decode("latin-1"), at=timezone.now())
        if key is None:
            raise exceptions.AuthenticationFailed("The API key is missing or can't be used.")
        return KeyPrincipal(key), key

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class ApiKeyScheme(OpenApiAuthenticationExtension):
    """The bearer key in the OpenAPI document."""

    target_class = ApiKeyAuthentication
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "sk-jeongsan-..."}


class IsIngestKey(permissions.BasePermission):
    """Only an operator's ingest key may post events; a customer's key may not meter anybody, itself included."""

    message = "This needs an operator's ingest key."

    def has_permission(self, request: Request, view: Any) -> bool:
        return isinstance(request.auth, ApiKey) and request.auth.scope == ApiKey.Scope.INGEST


class IsCustomerKey(permissions.BasePermission):
    """A customer's own key: every row it sees is that customer's."""

    message = "This needs a customer's API key."

    def has_permission(self, request: Request, view: Any) -> bool:
        return isinstance(request.auth, ApiKey) and request.auth.scope == ApiKey.Scope.CUSTOMER


def problem(*, status: int, code: str, detail: str, errors: list[dict[str, Any]] | None = None) -> Response:
    """An RFC 9457 problem document; `code` is the stable name, `errors` name the fields."""
    body: dict[str, Any] = {"type": "about:blank", "title": code.replace("_", " "), "status": status, "code": code}
    body["detail"] = detail
    if errors:
        body["errors"] = errors
    return Response(body, status=status, content_type=PROBLEM_JSON)


def problem_response(error: Exception, context: dict[str, Any]) -> Response:
    """DRF's exception handler: refusals become problem+json, and so does what nobody foresaw, after it is logged."""
    # Here, because the module reads this one's classes while it is imported.
    from rest_framework.views import set_rollback

    if isinstance(error, TooManyFieldsSent):
        error = InvalidInput("the query has too many parameters")
    if isinstance(error, DomainError):
        set_rollback()
        errors = [{"field": error.field, "code": error.code, "detail": error.message}] if error.field else None
        response = problem(status=error.http_status, code=error.code, detail=error.message, errors=errors)
        if error.data:
            response.data["data"] = error.data
        return response
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    set_rollback()
    if not isinstance(error, exceptions.APIException):
        logger.error("unforeseen error in the API", exc_info=error)
        return problem(status=500, code="internal_error", detail="Something went wrong here; it has been logged.")
    errors = None
    detail = str(error.detail)
    if isinstance(error, exceptions.ValidationError) and isinstance(error.detail, dict):
        errors = [
            {"field": field, "code": "invalid", "detail": str(messages[0] if isinstance(messages, list) else messages)}
            for field, messages in error.detail.items()
        ]
        detail = f"{errors[0]['field']}: {errors[0]['detail']}"
    code = error.default_code if not isinstance(error, exceptions.ValidationError) else "invalid_input"
    response = problem(status=error.status_code, code=code, detail=detail, errors=errors)
    if isinstance(error, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
        response["WWW-Authenticate"] = "Bearer"
    return response
