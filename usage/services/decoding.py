"""One raw line to one event that is read through and through: what it says, what was consumed, and what is wrong with it.

`usage.events` and `usage.dialects` are the rule. Nearly all events are plain, though: known fields in their types, nothing
escaped, nothing odd. Those take a typed shortcut that gives the same event for a fifth of the time; at the first doubt it
gives none, and the rule decides. tests/usage/test_decoding.py holds the two against each other.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from catalog.pricing import Quantities
from usage.dialects import Flag, UsageRefused, read_usage
from usage.dialects.plain import read_plain
from usage.events import (
    EARLIEST_AT,
    MAX_AHEAD,
    MAX_APP_CHARS,
    MAX_NAME_CHARS,
    EventRefused,
    hash_body,
    parse_event_line,
)

#: Decimals of USD that the database keeps; what an upstream reports beyond them cannot be kept exactly.
_KEPT_DECIMALS = 28
#: Below the limit of a usage object, so that a plain line cannot be over it.
_MAX_PLAIN_BYTES = 8_192
_WHITE = b" \t\r\n"
_ODD_BYTES = b"\\\n\t\r\x7f"

_Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARS)]
_AppText = Annotated[str, Meta(max_length=MAX_APP_CHARS)]


class DecodedEvent(Struct, frozen=True, gc=False):
    """One event as its sender states it, with its usage read. At least one of `customer` and `api_key` is there.

    `occurred_text` is `occurred_at` in ISO form (UTC), `usage_json` the canonical usage object. `is_plain`: none of its
    texts has a backslash or a control character. Where the usage cannot be read `refused` says why, and the counts mean
    nothing.
    """

    event_id: str
    customer: str | None
    api_key: str | None
    requested_model: str
    served_model: str
    occurred_at: datetime
    occurred_text: str
    dialect: str
    usage_json: bytes
    app_title: str
    app_referer: str
    declared_flags: tuple[str, ...]
    quantities: Quantities
    upstream_cost_usd: Decimal | None
    flags: tuple[str, ...]
    is_plain: bool
    refused: EventRefused | None = None

    def body_hash(self, *, customer_id: int, api_key_id: int | None) -> bytes:
        """`hash_body` of this event for its payer."""
        return hash_body(
            customer_id=customer_id,
            api_key_id=api_key_id,
            requested_model=self.requested_model,
            served_model=self.served_model,
            occurred_at=self.occurred_text,
            dialect=self.dialect,
            usage_json=self.usage_json,
            app_title=self.app_title,
            app_referer=self.app_referer,
            flags=self.declared_flags,
        )


class _App(Struct, forbid_unknown_fields=True, gc=False):
    title: _AppText | UnsetType | None = UNSET
    referer: _AppText | UnsetType | None = UNSET


class _Line(Struct, forbid_unknown_fields=True, gc=False):
    id: _Name
    model: _Name
    occurred_at: _Name
    dialect: _Name
    usage: Raw
    customer: _Name | UnsetType | None = UNSET
    api_key: _Name | UnsetType | None = UNSET
    requested_model: _Name | UnsetType | None = UNSET
    app: _App | UnsetType | None = UNSET


_LINE = msgspec.json.Decoder(_Line)


def decode_event(raw: bytes, *, now: datetime) -> DecodedEvent:
    """The event that one JSON object states. `now` (aware) bounds `occurred_at`. Raises EventRefused, nothing else.

    A usage object that cannot be read raises nothing: who pays is asked first, and only then is it refused.
    """
    return _decode_plain(raw, now) or _decode_strictly(raw, now)


def _decode_plain(raw: bytes, now: datetime) -> DecodedEvent | None:
    """The event of a plain line, None for every other."""
    line = raw.strip(_WHITE)
    if len(line) > _MAX_PLAIN_BYTES or not _is_plain_text(line):
        return None
    try:
        event = _LINE.decode(line)
    except msgspec.DecodeError:
        return None
    customer, api_key, app = event.customer or None, event.api_key or None, event.app or None
    occurred_at = _plain_instant(event.occurred_at)
    if (customer is None and api_key is None) or occurred_at is None:
        return None
    if occurred_at > now + MAX_AHEAD or occurred_at < EARLIEST_AT:
        return None
    usage = read_plain(event.dialect, event.usage)
    # What is left of a key that was given twice is one key: then there are more in the line than were read.
    if usage is None or line.count(b'":') != _keys(event) + usage.canonical.count(b'":'):
        return None
    return DecodedEvent(
        event.id,
        customer,
        api_key,
        event.requested_model or event.model,
        event.model,
        occurred_at,
        occurred_at.isoformat(),
        event.dialect,
        usage.canonical,
        (app.title or "") if app else "",
        (app.referer or "") if app else "",
        (),
        usage.quantities,
        usage.upstream_cost_usd,
        (),
        True,
    )


def _is_plain_text(line: bytes) -> bool:
    """Whether nothing in a line is escaped or unprintable, and no key is away from its colon.

    Then a quote followed by a colon ends a key (or begins a text with a colon, which only makes a line look less plain).
    Control characters inside texts are left to the decoder, which refuses them.
    """
    if b" :" in line or len(line.translate(None, _ODD_BYTES)) < len(line):
        return False
    if line.isascii():
        return True
    try:
        return line.decode().isprintable()
    except UnicodeDecodeError:
        return False


def _keys(event: _Line) -> int:
    """How many keys the line has outside its usage object."""
    keys = 5 + (event.customer is not UNSET) + (event.api_key is not UNSET) + (event.requested_model is not UNSET)
    if event.app is not UNSET:
        keys += 1
        if event.app is not None:
            keys += (event.app.title is not UNSET) + (event.app.referer is not UNSET)
    return keys


def _plain_instant(text: str) -> datetime | None:
    """The instant of the usual RFC 3339 forms (whole seconds, milli- or microseconds; Z or an offset), None for others."""
    zone = 1 if text[-1] in "Zz" else 6
    if len(text) - zone not in (19, 23, 26) or text[4] != "-" or text[7] != "-" or text[10] != "T":
        return None
    if text[13] != ":" or text[16] != ":" or (zone == 6 and (text[-6] not in "+-" or text[-3] != ":")):
        return None
    if len(text) - zone != 19 and text[19] != ".":
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _decode_strictly(raw: bytes, now: datetime) -> DecodedEvent:
    draft = parse_event_line(raw, now=now)
    quantities, upstream_cost_usd, flags, refused = Quantities(), None, draft.flags, None
    try:
        reading = read_usage(draft.dialect, draft.usage)
    except UsageRefused as error:
        refused = EventRefused(error.field, error.reason, draft.event_id)
    else:
        quantities, upstream_cost_usd = reading.quantities, reading.upstream_cost_usd
        flags = (*reading.flags, *draft.flags)
        if upstream_cost_usd is not None and not _fits(upstream_cost_usd):
            upstream_cost_usd, flags = None, (*flags, Flag.UPSTREAM_COST_UNREADABLE.value)
    return DecodedEvent(
        draft.event_id,
        draft.customer,
        draft.api_key,
        draft.requested_model,
        draft.served_model,
        draft.occurred_at,
        draft.occurred_at.isoformat(),
        draft.dialect,
        draft.usage_json.encode(),
        draft.app_title,
        draft.app_referer,
        draft.flags,
        quantities,
        upstream_cost_usd,
        flags,
        False,
        refused,
    )


def _fits(amount: Decimal) -> bool:
    exponent = amount.as_tuple().exponent
    return isinstance(exponent, int) and -exponent <= _KEPT_DECIMALS
