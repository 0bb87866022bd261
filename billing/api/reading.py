"""Reading what a request says, with refusals that name the field."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import UnreadablePostError
from django.utils import timezone
from rest_framework.request import Request

from accounts.errors import InvalidInput
from usage.errors import PayloadTooLarge, UnsupportedMedia
from usage.events import EventRefused, parse_object
from usage.periods import parse_instant

MAX_BODY_BYTES = 65_536


def read_json_object(request: Request, *, fields: frozenset[str]) -> dict[str, Any]:
    """The JSON object of a small body, read as strictly as a usage event; only `fields` may stand in it."""
    if request.content_type.partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedMedia("send application/json", field="Content-Type")
    try:
        body: bytes = request.read(MAX_BODY_BYTES + 1)
    except UnreadablePostError:
        raise InvalidInput("the body broke off", field="body") from None
    if len(body) > MAX_BODY_BYTES:
        raise PayloadTooLarge(f"a body has at most {MAX_BODY_BYTES} bytes")
    try:
        found = parse_object(body)
    except EventRefused as refused:
        field = "body" if refused.field == "event" else refused.field
        raise InvalidInput(f"{field} {refused.reason}", field=field) from None
    for name in found:
        if name not in fields:
            raise InvalidInput(f"{name[:60]}: not a field that is known here", field=name[:60])
    return found


def read_text(value: Any, *, field: str) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value:
        raise InvalidInput(f"{field}: a text is needed", field=field)
    return value


def read_instant(value: Any, *, field: str) -> datetime:
    """An RFC 3339 instant with its time zone; now where there is none."""
    if value is None:
        return timezone.now()
    try:
        return parse_instant(value, field=field)
    except ValueError as error:
        raise InvalidInput(str(error), field=field) from None
