"""Reading one usage event from JSON, strictly: what is odd is refused with the field's name, never repaired or dropped.

Bytes in, `EventDraft` out; who the customer is and what the tokens cost is decided elsewhere. An event carries counts
and names only: strings inside `usage` are short and the whole of it is small, so that no prompt or answer is ever stored.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NoReturn

import msgspec

from .periods import parse_instant

MAX_EVENT_BYTES = 1_000_000
MAX_USAGE_BYTES = 16_384
MAX_USAGE_TEXT_CHARS = 256
MAX_NAME_CHARS = 200
MAX_APP_CHARS = 300
MAX_DEPTH = 64
MAX_INTEGER_DIGITS = 18
MAX_DECIMAL_CHARS = 64
MAX_AHEAD = timedelta(seconds=60)  # clocks of honest senders differ
EARLIEST_AT = datetime(2020, 1, 1, tzinfo=UTC)

_FIELDS = frozenset(
    {"id", "customer", "api_key", "requested_model", "model", "occurred_at", "dialect", "usage", "app", "flags"}
)
#: What no usage object says and the event's sender has seen; values of `usage.dialects.Flag`.
DECLARED_FLAGS = ("estimated", "zero_completion")
_APP_FIELDS = frozenset({"title", "referer"})
_UNSTORABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_ENCODER = msgspec.json.Encoder(order="sorted", decimal_format="number")


class EventRefused(ValueError):
    """An event that cannot be taken. `field` is the path of what is wrong ("event" for the line as a whole),
    `event_id` the event's id where that much was readable. Refused values are not repeated: they may be anything.
    """

    def __init__(self, field: str, reason: str, event_id: str | None = None) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason
        self.event_id = event_id


@dataclass(frozen=True, slots=True)
class EventDraft:
    """One event as its sender states it. At least one of `customer` (slug) and `api_key` (whole or its prefix) is there.

    `usage_json` is the canonical form of `usage`: sorted keys, no spaces, numbers as they were written.
    """

    event_id: str
    customer: str | None
    api_key: str | None = field(repr=False)
    requested_model: str
    served_model: str
    occurred_at: datetime
    dialect: str
    usage: Mapping[str, Any] = field(repr=False)
    usage_json: str = field(repr=False)
    app_title: str
    app_referer: str
    flags: tuple[str, ...] = ()

    def body_hash(self, *, customer_id: int, api_key_id: int | None) -> bytes:
        """`hash_body` of this event for its payer."""
        return hash_body(
            customer_id=customer_id,
            api_key_id=api_key_id,
            requested_model=self.requested_model,
            served_model=self.served_model,
            occurred_at=self.occurred_at.isoformat(),
            dialect=self.dialect,
            usage_json=self.usage_json.encode(),
            app_title=self.app_title,
            app_referer=self.app_referer,
            flags=self.flags,
        )


def hash_body(
    *,
    customer_id: int,
    api_key_id: int | None,
    requested_model: str,
    served_model: str,
    occurred_at: str,
    dialect: str,
    usage_json: bytes,
    app_title: str,
    app_referer: str,
    flags: tuple[str, ...],
) -> bytes:
    """SHA-256 of what an event says. Spaces, key order, the spelling of a default, and a time's zone do not matter; every
    value does. `occurred_at` is the instant in UTC in ISO form, `usage_json` canonical.
    """
    body = _ENCODER.encode(
        [
            customer_id,
            api_key_id,
            requested_model,
            served_model,
            occurred_at,
            dialect,
            msgspec.Raw(usage_json),
            app_title,
            app_referer,
            *flags,
        ]
    )
    return hashlib.sha256(body).digest()


def parse_event_line(raw: bytes, *, now: datetime) -> EventDraft:
    """The event that one JSON object states. `now` (aware) bounds `occurred_at`. Raises EventRefused, nothing else."""
    event = _read_json(raw)
    if not isinstance(event, dict):
        raise EventRefused("event", "must be a JSON object")
    try:
        return _draft(event, now)
    except EventRefused as refused:
        refused.event_id = _readable_id(event)
        raise


def parse_usage(raw: bytes) -> dict[str, Any]:
    """A usage object on its own, read as strictly as inside an event. Raises EventRefused, nothing else."""
    try:
        usage = _read_json(raw)
    except EventRefused as refused:
        field = "usage" if refused.field == "event" else f"usage.{refused.field}"
        raise EventRefused(field, refused.reason) from None
    if not isinstance(usage, dict):
        raise EventRefused("usage", "must be an object")
    _check_tree({"usage": usage})
    return usage


def parse_object(raw: bytes) -> dict[str, Any]:
    """Any JSON object, read as strictly as an event; paths in refusals begin with its own fields. Raises EventRefused."""
    found = _read_json(raw)
    if not isinstance(found, dict):
        raise EventRefused("event", "must be a JSON object")
    _check_tree(found)
    return found


def _draft(event: dict[str, Any], now: datetime) -> EventDraft:
    _check_tree(event)
    _refuse_unknown(event, _FIELDS, "")
    event_id = _text(event, "id", MAX_NAME_CHARS)
    customer = _optional_text(event, "customer", MAX_NAME_CHARS)
    api_key = _optional_text(event, "api_key", MAX_NAME_CHARS)
    if customer is None and api_key is None:
        raise EventRefused("customer", "is missing: name the customer or one of its API keys")
    served_model = _text(event, "model", MAX_NAME_CHARS)
    usage = event.get("usage")
    if not isinstance(usage, dict):
        raise EventRefused("usage", "is missing" if usage is None else "must be an object")
    usage_json = _ENCODER.encode(usage)
    if len(usage_json) > MAX_USAGE_BYTES:
        raise EventRefused("usage", f"has more than {MAX_USAGE_BYTES} bytes: it holds counts, never prompts or answers")
    app_title, app_referer = _read_app(event.get("app"))
    return EventDraft(
        event_id=event_id,
        customer=customer,
        api_key=api_key,
        requested_model=_optional_text(event, "requested_model", MAX_NAME_CHARS) or served_model,
        served_model=served_model,
        occurred_at=_read_instant(event.get("occurred_at"), now),
        dialect=_text(event, "dialect", MAX_NAME_CHARS),
        usage=usage,
        usage_json=usage_json.decode(),
        app_title=app_title,
        app_referer=app_referer,
        flags=_read_flags(event.get("flags")),
    )


def _read_instant(value: Any, now: datetime) -> datetime:
    if not isinstance(value, str):
        raise EventRefused("occurred_at", "is missing" if value is None else "must be text")
    try:
        instant = parse_instant(value, field="occurred_at")
    except ValueError as error:
        raise EventRefused("occurred_at", str(error).removeprefix("occurred_at: ")) from None
    if instant > now + MAX_AHEAD:
        raise EventRefused("occurred_at", f"lies in the future (it is {now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ} now)")
    if instant < EARLIEST_AT:
        raise EventRefused("occurred_at", f"lies before {EARLIEST_AT:%Y-%m-%d}")
    return instant


def _read_app(app: Any) -> tuple[str, str]:
    if app is None:
        return "", ""
    if not isinstance(app, dict):
        raise EventRefused("app", "must be an object")
    _refuse_unknown(app, _APP_FIELDS, "app.")
    texts = []
    for name in ("title", "referer"):
        text = app.get(name)
        if text is not None and not isinstance(text, str):
            raise EventRefused(f"app.{name}", "must be text")
        if text and len(text) > MAX_APP_CHARS:
            raise EventRefused(f"app.{name}", f"has more than {MAX_APP_CHARS} characters")
        texts.append(text or "")
    return texts[0], texts[1]


def _read_flags(flags: Any) -> tuple[str, ...]:
    """The declared flags in the order of their list, each once."""
    if flags is None:
        return ()
    if not isinstance(flags, list) or not all(isinstance(flag, str) for flag in flags):
        raise EventRefused("flags", "must be a list of texts")
    if not set(flags) <= set(DECLARED_FLAGS):
        raise EventRefused("flags", f"can be {' and '.join(DECLARED_FLAGS)}; others are found in the usage object")
    return tuple(flag for flag in DECLARED_FLAGS if flag in flags)


def _optional_text(event: dict[str, Any], name: str, max_chars: int) -> str | None:
    return None if event.get(name) is None else _text(event, name, max_chars)


def _text(event: dict[str, Any], name: str, max_chars: int) -> str:
    text = event.get(name)
    if text is None:
        raise EventRefused(name, "is missing")
    if not isinstance(text, str):
        raise EventRefused(name, "must be text")
    if not 1 <= len(text) <= max_chars:
        raise EventRefused(name, f"must have 1 to {max_chars} characters")
    if not text.isprintable():
        raise EventRefused(name, "has a character that cannot be printed")
    return text


def _refuse_unknown(values: dict[str, Any], known: frozenset[str], prefix: str) -> None:
    for name in values:
        if name not in known:
            raise EventRefused(f"{prefix}{_shown(name)}", "is not a field that is known here")


def _readable_id(event: dict[str, Any]) -> str | None:
    try:
        return _text(event, "id", MAX_NAME_CHARS)
    except EventRefused:
        return None


# -- JSON --------------------------------------------------------------------------------------------------------------
class _Unusable:
    """Stands in the parsed tree where a value is legal for the parser and not for us; the walk knows its path."""

    def __init__(self, reason: str, name: str = "") -> None:
        self.reason = reason
        self.name = name


def _read_json(raw: bytes) -> Any:
    if len(raw) > MAX_EVENT_BYTES:
        raise EventRefused("event", f"has more than {MAX_EVENT_BYTES} bytes")
    try:
        tree = _DECODER.decode(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise EventRefused("event", f"is not UTF-8 (byte {error.start})") from None
    except json.JSONDecodeError as error:
        raise EventRefused("event", f"is not JSON: {error.msg} (character {error.pos})") from None
    except RecursionError:
        raise EventRefused("event", "is nested too deeply") from None
    if isinstance(tree, _Unusable):
        raise EventRefused(tree.name or "event", tree.reason)
    return tree


def _read_object(pairs: list[tuple[str, Any]]) -> Any:
    values = dict(pairs)
    if len(values) == len(pairs):
        return values
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            break
        seen.add(name)
    return _Unusable("is given twice", _shown(name))


def _read_integer(text: str) -> Any:
    digits = len(text.removeprefix("-"))
    return int(text) if digits <= MAX_INTEGER_DIGITS else _Unusable(f"is a number of {digits} digits")


def _read_decimal(text: str) -> Any:
    exponent = text.lower().partition("e")[2].lstrip("+-0")
    if len(text) > MAX_DECIMAL_CHARS or len(exponent) > 2:
        return _Unusable("is a number out of all bounds")
    return Decimal(text)


# strict=False: control characters inside strings are found by the walk, which can name the field.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_read_object,
    parse_int=_read_integer,
    parse_float=_read_decimal,
    parse_constant=lambda name: _Unusable(f"is {name}, which is no number"),
    strict=False,
)


def _check_tree(event: dict[str, Any]) -> None:
    """Refuse what no field may hold: unusable numbers, doubled keys, unstorable characters, endless nesting."""
    for name, value in event.items():
        _check_name(name, "")
        _check_value(value, _shown(name), 1, MAX_USAGE_TEXT_CHARS if name == "usage" else MAX_EVENT_BYTES)


def _check_value(value: Any, path: str, depth: int, max_chars: int) -> None:
    if isinstance(value, str):
        if _UNSTORABLE.search(value):
            raise EventRefused(path, "has a control character or half a surrogate pair")
        if len(value) > max_chars:
            raise EventRefused(path, f"is a text of more than {max_chars} characters: prompts and answers are not kept")
    elif isinstance(value, dict):
        _check_depth(path, depth)
        for name, inner in value.items():
            _check_name(name, path + ".")
            _check_value(inner, f"{path}.{name}", depth + 1, max_chars)
    elif isinstance(value, list):
        _check_depth(path, depth)
        for index, inner in enumerate(value):
            _check_value(inner, f"{path}[{index}]", depth + 1, max_chars)
    elif isinstance(value, _Unusable):
        _refuse_unusable(value, path)


def _check_name(name: str, prefix: str) -> None:
    if len(name) > MAX_USAGE_TEXT_CHARS or not name.isprintable():
        raise EventRefused(f"{prefix}{_shown(name)}"[:MAX_NAME_CHARS], "is not a name that is taken here")


def _check_depth(path: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise EventRefused(path[:MAX_NAME_CHARS], "is nested too deeply")


def _refuse_unusable(value: _Unusable, path: str) -> NoReturn:
    where = f"{path}.{value.name}" if value.name else path
    raise EventRefused(where[:MAX_NAME_CHARS], value.reason)


def _shown(name: str) -> str:
    """A field name that may be anything, short and printable."""
    return name if len(name) <= 60 and name.isprintable() else ascii(name[:60])
