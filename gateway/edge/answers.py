"""How the gateway itself answers: errors that the OpenAI, OpenRouter and Anthropic clients each understand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.calls import CallRefused

from .asgi import Headers, Send

#: Anthropic's names of error types, by status; what is not here is an api_error.
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def error_body(route: str, refused: CallRefused, *, call_id: str | None = None) -> bytes:
    """The error object in the shape of the route's own clients; `code` is the HTTP status as a number."""
    metadata = dict(refused.metadata)
    param = metadata.pop("param", None)
    if route == "messages":
        error: dict[str, Any] = {
            "type": _ANTHROPIC_TYPES.get(
                refused.status, "api_error" if refused.status >= 500 else "invalid_request_error"
            ),
            "message": refused.message,
        }
        if metadata:
            error["metadata"] = metadata
        return msgspec.json.encode({"type": "error", "error": error, "request_id": call_id})
    body = {
        "error": {
            "message": refused.message,
            "type": refused.type,
            "code": refused.status,
            "param": param,
            "metadata": {"error_type": refused.type, **metadata},
        },
        "request_id": call_id,
    }
    return msgspec.json.encode(body)


async def send_refusal(send: Send, route: str, refused: CallRefused, *, call_id: str | None = None) -> None:
    """Answer with an error."""
    headers: Headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    if refused.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    headers += encoded(refused.headers)
    if call_id is not None:
        headers += call_headers(call_id)
    await send_whole(send, refused.status, headers, error_body(route, refused, call_id=call_id))


async def send_whole(send: Send, status: int, headers: Headers, body: bytes) -> None:
    """Send an answer in one piece."""
    headers = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def call_headers(call_id: str) -> Headers:
    """What every answer to a call carries."""
    name = call_id.encode()
    return [(b"x-generation-id", name), (b"x-request-id", name)]


def encoded(headers: Mapping[str, str]) -> Headers:
    """Headers as ASGI wants them."""
    return [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]


def failure_in_stream(route: str, *, status: int, message: str) -> bytes:
    """What ends a stream that the upstream cut: an error where the client looks for one, and the stream's end."""
    if route == "messages":
        kind = _ANTHROPIC_TYPES.get(status, "api_error")
        body: dict[str, Any] = {"type": "error", "error": {"type": kind, "message": message}}
        return b"event: error\ndata: " + msgspec.json.encode(body) + b"\n\n"
    error = {"code": status, "message": message, "type": "provider_unavailable", "metadata": {}}
    if route in {"chat/completions", "completions"}:
        choice = {"index": 0, "delta": {"content": ""}, "text": "", "finish_reason": "error"}
        del choice["text" if route == "chat/completions" else "delta"]
        body = {"error": error, "choices": [choice]}
        return b"data: " + msgspec.json.encode(body) + b"\n\ndata: [DONE]\n\n"
    body = {"type": "error", "code": str(status), "message": message, "param": None, "error": error}
    return b"event: error\ndata: " + msgspec.json.encode(body) + b"\n\n"


def scrubbed_error(body: bytes, *, secrets: tuple[str, ...]) -> bytes | None:
    """An upstream's error as the client may see it: JSON, without the name of our account there; None for anything else."""
    try:
        error = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(error, dict) or any(secret and secret.encode() in body for secret in secrets):
        return None
    if "user_id" not in error:
        return body
    del error["user_id"]
    return json.dumps(error, ensure_ascii=False).encode("utf-8", "replace")
