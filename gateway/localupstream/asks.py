"""What a request asks for, whichever route it came by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from typing import Any

import orjson

from .knobs import Knobs, UnknownKnob, read_knobs

FRAME_TOKENS = 8
BYTES_PER_TOKEN = 4
AUDIO_BYTES_PER_TOKEN = 320
_DEFAULT_COMPLETION = 16
_COMPLETION_SPREAD = 17

#: Where a route's texts stand.
_TEXT_KEYS: Mapping[str, tuple[str, ...]] = {
    "chat/completions": ("messages",),
    "completions": ("prompt",),
    "responses": ("instructions", "input"),
    "messages": ("system", "messages"),
    "embeddings": ("input",),
    "images/generations": ("prompt",),
    "audio/transcriptions": ("prompt",),
}
ROUTES = tuple(_TEXT_KEYS)
_LIMIT_KEYS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
#: Values of these keys are no text of the prompt.
_NO_TEXT = frozenset({"role", "type", "id", "name", "detail", "format", "tool_call_id", "cache_control"})


class BadAsk(ValueError):
    """A request that a real upstream refuses with 400; the message says why."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request that was understood. `body` is its JSON (of a form, its fields)."""

    route: str
    body: Mapping[str, Any]
    knobs: Knobs
    model: str
    fallbacks: tuple[str, ...]
    is_stream: bool
    wants_usage: bool
    prompt_tokens: int
    audio_bytes: int
    max_tokens: int | None
    n: int

    @property
    def completion_tokens(self) -> int:
        """Tokens of one answer, by the stated rule, inside the limit that was asked for."""
        knobs = self.knobs
        if knobs.empty:
            return 0
        wished = knobs.completion
        if wished is None:
            wished = _DEFAULT_COMPLETION + self.prompt_tokens % _COMPLETION_SPREAD
        return wished if self.max_tokens is None else min(wished, self.max_tokens)

    @property
    def is_limited(self) -> bool:
        """Whether the limit ends the answer."""
        return self.max_tokens is not None and self.completion_tokens == self.max_tokens


def read_ask(route: str, content_type: str, raw: bytes) -> Ask:
    """Read a request's body. Raises BadAsk."""
    audio_bytes = 0
    if content_type.startswith("multipart/form-data"):
        body, audio_bytes = _read_form(content_type, raw)
    else:
        body = _read_json(raw)
    try:
        knobs = read_knobs(raw)
    except UnknownKnob as error:
        raise BadAsk(str(error)) from None
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadAsk("model: is missing")
    is_stream = body.get("stream") in (True, "true")
    options = body.get("stream_options")
    if options and not is_stream:
        raise BadAsk("The 'stream_options' parameter is only allowed when 'stream' is enabled.")
    text_bytes, ids = _size(value for key in _TEXT_KEYS[route] if (value := body.get(key)) is not None)
    audio_tokens = -(-audio_bytes // AUDIO_BYTES_PER_TOKEN)
    limits = [body[key] for key in _LIMIT_KEYS if isinstance(body.get(key), int)]
    if route == "messages" and not limits:
        raise BadAsk("max_tokens: Field required")
    fallbacks = body.get("models")
    return Ask(
        route=route,
        body=body,
        knobs=knobs,
        model=model,
        fallbacks=tuple(str(name) for name in fallbacks) if isinstance(fallbacks, list) else (),
        is_stream=is_stream,
        wants_usage=isinstance(options, dict) and options.get("include_usage") is True,
        prompt_tokens=FRAME_TOKENS + -(-text_bytes // BYTES_PER_TOKEN) + ids + audio_tokens,
        audio_bytes=audio_bytes,
        max_tokens=min(limits) if limits else None,
        n=max(1, int(body.get("n") or 1)),
    )


def _read_json(raw: bytes) -> dict[str, Any]:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadAsk(f"The body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise BadAsk("The body is no JSON object.")
    audio = body.get("input_audio")
    return body | {"prompt": audio} if isinstance(audio, dict) else body


def _size(values: Iterator[Any]) -> tuple[int, int]:
    """Bytes of all texts, and how many numbers (token ids) there are, under `values`."""
    text_bytes = numbers = 0
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            text_bytes += len(value.encode())
        elif isinstance(value, dict):
            waiting += [entry for key, entry in value.items() if key not in _NO_TEXT]
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, int | float) and not isinstance(value, bool):
            numbers += 1
    return text_bytes, numbers


def _read_form(content_type: str, raw: bytes) -> tuple[dict[str, Any], int]:
    """Text fields of a form, and the size of its file."""
    document: Message = BytesParser().parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + raw)
    if not document.is_multipart():
        raise BadAsk("The body is no form.")
    fields: dict[str, Any] = {}
    file_bytes = 0
    for part in document.get_payload():
        if not isinstance(part, Message):
            continue
        content = part.get_payload(decode=True)
        content = content if isinstance(content, bytes) else b""
        if part.get_filename() is not None:
            file_bytes += len(content)
        else:
            fields[str(part.get_param("name", header="content-disposition"))] = content.decode(errors="replace")
    return fields, file_bytes
