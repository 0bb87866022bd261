"""JSON out of answers that may be broken, and usage objects fit to be kept."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_ENCODER = msgspec.json.Encoder(decimal_format="number")
#: Words of a usage object are tiers, regions and model names; anything longer has no business there and is not kept.
MAX_WORD_CHARS = 100
MAX_USAGE_DEPTH = 6
MAX_USAGE_MEMBERS = 60
_LATE_USAGE = re.compile(rb'(?<!\\)"usage"\s*:\s*(?=\{)')


def parse(raw: bytes) -> Any:
    """A JSON value, floats as Decimal; None where it can't be read. Invalid UTF-8 is replaced, a lone surrogate taken."""
    try:
        return _DECODER.decode(raw)
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(raw.decode("utf-8", "replace"), parse_float=Decimal)
    except (ValueError, RecursionError):
        return None


def kept_usage(usage: Any) -> dict[str, Any] | None:
    """The numbers and names of a usage object; None where it is none, or states no number at all.

    Long texts, deep nesting and floods of members are left out: what is kept of an answer are counts.
    """
    if not isinstance(usage, dict):
        return None
    kept = _kept(usage, MAX_USAGE_DEPTH)
    return kept if _has_number(kept) else None


def usage_text(usage: Mapping[str, Any]) -> str:
    """A usage object as JSON text, numbers as they were written."""
    return _ENCODER.encode(usage).decode()


def usage_near_the_end(tail: bytes) -> dict[str, Any] | None:
    """The last usage object in the end of a JSON text whose beginning is gone.

    Inside a JSON string the quotes of `"usage":` would be escaped, so that generated text can't pass for one.
    """
    for found in reversed(list(_LATE_USAGE.finditer(tail))):
        text = tail[found.end() :].decode("utf-8", "replace")
        try:
            usage, _ = json.JSONDecoder(parse_float=Decimal).raw_decode(text)
        except (ValueError, RecursionError):
            continue
        kept = kept_usage(usage)
        if kept is not None:
            return kept
    return None


def _kept(value: Mapping[str, Any], depth: int) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, member in value.items():
        if len(kept) >= MAX_USAGE_MEMBERS or len(name) > MAX_WORD_CHARS:
            continue
        if member is None or isinstance(member, bool | int | float | Decimal):
            kept[name] = member
        elif isinstance(member, str):
            if len(member) <= MAX_WORD_CHARS and member.isprintable():
                kept[name] = member
        elif depth > 1 and isinstance(member, dict):
            kept[name] = _kept(member, depth - 1)
        elif depth > 1 and isinstance(member, list):
            entries = member[:MAX_USAGE_MEMBERS]
            kept[name] = [_kept(entry, depth - 1) for entry in entries if isinstance(entry, dict)]
    return kept


def _has_number(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_number(member) for member in value.values())
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)
