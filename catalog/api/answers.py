"""How this edge says yes and no: JSON with an ETag, errors in the one shape that both families of clients read."""

from __future__ import annotations

import gzip
import hashlib
import logging
import re
from collections.abc import Callable, Iterable
from functools import lru_cache, wraps
from typing import Any

import msgspec
from django.core.exceptions import TooManyFieldsSent
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import get_conditional_response, patch_vary_headers
from django.views.decorators.csrf import csrf_exempt

from accounts.errors import DomainError

logger = logging.getLogger(__name__)

_METHODS = ("GET", "HEAD")
_ACCEPTS_GZIP = re.compile(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))")
#: Below this an answer fits a few packets and compressing it saves nothing.
_COMPRESSED_FROM_BYTES = 4096
_SHOWN_CHARS = 100

Json = dict[str, Any]


class ApiError(Exception):
    """A refusal: HTTP status, OpenRouter's name of the error type, a sentence, and the parameter that is to blame."""

    def __init__(self, status: int, kind: str, message: str, *, param: str | None = None, **metadata: Any) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message
        self.param = param
        self.metadata = metadata


def bad_parameter(name: str, value: str, *, allowed: Iterable[str] = (), expected: str = "") -> ApiError:
    """400 for a query parameter, with the values that it may have (`allowed`) or what it should be (`expected`)."""
    values = list(allowed)
    wanted = expected or f"one of {', '.join(values)}"
    metadata = {"allowed": values} if values else {}
    return ApiError(400, "invalid_request", f"{name}: {shown(value)} is not {wanted}.", param=name, **metadata)


def unauthorized(message: str) -> ApiError:
    """401: the same for a key that is unknown, revoked or expired."""
    return ApiError(401, "authentication", message)


def shown(text: str) -> str:
    """What a caller sent, cut to a length that can be repeated in a message."""
    return repr(text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…")


def encode(body: Any) -> bytes:
    """A JSON document in bytes."""
    return msgspec.json.encode(body)


def error_answer(error: ApiError) -> HttpResponse:
    """`{"error": {...}}`: an int code for OpenRouter's clients, type and param for OpenAI's."""
    body = {
        "error": {
            "message": error.message,
            "type": error.kind,
            "code": error.status,
            "param": error.param,
            "metadata": {"error_type": error.kind, **error.metadata},
        }
    }
    response = HttpResponse(encode(body), status=error.status, content_type="application/json")
    response["Cache-Control"] = "no-store"
    if error.status == 401:
        response["WWW-Authenticate"] = "Bearer"
    if error.status == 405:
        response["Allow"] = ", ".join(_METHODS)
    return response


def json_answer(request: HttpRequest, body: bytes) -> HttpResponseBase:
    """200 with the body, compressed where the caller takes that, or 304 where it has this very body already.

    The ETag is strong: a digest of the body, so it changes with the catalog, the query, what the key may see, and with our
    own program, and is the same in every process. A key's answer is asked for anew each time, a public one each minute.
    """
    etag = hashlib.sha256(body).hexdigest()[:32]
    compressed = len(body) >= _COMPRESSED_FROM_BYTES and _ACCEPTS_GZIP.search(
        request.headers.get("Accept-Encoding", "")
    )
    etag = f'"{etag}-gzip"' if compressed else f'"{etag}"'
    response = HttpResponse(_compressed(body) if compressed else body, content_type="application/json")
    if compressed:
        response["Content-Encoding"] = "gzip"
    response["ETag"] = etag
    response["Cache-Control"] = "private, no-cache" if "Authorization" in request.headers else "public, max-age=60"
    patch_vary_headers(response, ["Authorization", "Accept-Encoding"])
    return get_conditional_response(request, etag=etag, response=response) or response


@lru_cache(maxsize=8)
def _compressed(body: bytes) -> bytes:
    return gzip.compress(body, compresslevel=6, mtime=0)


def machine_edge(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """A view for machines: whatever goes wrong in it is answered in the error shape, never as a page."""

    @csrf_exempt
    @wraps(view)
    def answered(request: HttpRequest, *args: Any, **options: Any) -> HttpResponseBase:
        try:
            return view(request, *args, **options)
        except ApiError as error:
            return error_answer(error)
        except DomainError as error:
            return error_answer(ApiError(error.http_status, error.code, error.message, param=error.field))
        except TooManyFieldsSent:
            return error_answer(ApiError(400, "invalid_request", "The query has too many parameters."))
        except Exception:
            logger.exception("%s %s failed", request.method, request.path)
            return error_answer(ApiError(500, "server", "Something went wrong on our side; it has been logged."))

    return answered


def read_only(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """A `machine_edge` that can be read and nothing else."""

    @wraps(view)
    def read(request: HttpRequest, *args: Any, **options: Any) -> HttpResponseBase:
        if request.method not in _METHODS:
            raise ApiError(405, "method_not_allowed", f"{request.method} is not possible here; use GET.")
        return view(request, *args, **options)

    return machine_edge(read)
