"""Reading a price history: what models cost at some days of the past, in USD per million tokens.

    {"source": "...", "snapshots": [{"date": "2026-01-07", "prices": {"openai/gpt-5": [1.25, 10.0], ...}}, ...]}

A pair is the price of input and of output; nothing is said of caches, tiers, or whether a model was on sale. Numbers
are read as the text that stands in the file, so that 0.0375 USD per million is exactly 0.0000000375 per token.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from .listing import MAX_ID_LENGTH, ListingError
from .money import EXACT, decimal_text, parse_decimal

#: How the source of a price begins that was played in from a history. It is less than a listing says: nothing of caches
#: and tiers.
HISTORY_SOURCE = "price history: "

_PER_MILLION_PLACES = 6
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True)
class Snapshot:
    """What models cost from midnight UTC of one day: model id -> {"prompt": ..., "completion": ...} in USD per token."""

    at: datetime
    prices: Mapping[str, Mapping[str, str]]


class _Number(str):
    """A JSON number as the text that stood in the file."""

    __slots__ = ()


def parse_snapshots(body: bytes) -> tuple[Snapshot, ...]:
    """Read a whole price history, oldest day first.

    Raises ListingError with one of the codes not_json, duplicate_key, no_snapshots, bad_date, bad_id and bad_price;
    nothing of a history that has one wrong price may be used.
    """
    try:
        document = json.loads(
            body.decode(), parse_int=_Number, parse_float=_Number, parse_constant=_Number, object_pairs_hook=_object
        )
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ListingError("not_json", f"The price history is not JSON: {str(error)[:200]}.") from None
    entries = document.get("snapshots") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not entries:
        raise ListingError("no_snapshots", "The file has no `snapshots` list; a price history was expected.")
    snapshots = tuple(sorted((_snapshot(entry) for entry in entries), key=lambda snapshot: snapshot.at))
    for earlier, later in pairwise(snapshots):
        if earlier.at == later.at:
            raise ListingError("bad_date", f"The price history has {later.at:%Y-%m-%d} twice.")
    return snapshots


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ListingError("duplicate_key", "An object in the price history has a key twice.")
    return document


def _snapshot(entry: Any) -> Snapshot:
    if not isinstance(entry, dict) or not isinstance(entry.get("prices"), dict):
        raise ListingError("no_snapshots", "A snapshot is an object with a `date` and `prices`.")
    date = entry.get("date")
    try:
        if not isinstance(date, str) or not _DAY.fullmatch(date):
            raise ValueError
        at = datetime.fromisoformat(date).replace(tzinfo=UTC)
    except ValueError:
        raise ListingError("bad_date", f"Not a day written as YYYY-MM-DD: {str(date)[:40]!r}.") from None
    return Snapshot(at, {_model_id(name): _per_token(name, pair) for name, pair in entry["prices"].items()})


def _model_id(name: str) -> str:
    if not 1 <= len(name) <= MAX_ID_LENGTH or not name.isprintable() or " " in name:
        raise ListingError("bad_id", f"Not a model's id: {name[:60]!r}.")
    return name


def _per_token(name: str, pair: Any) -> Mapping[str, str]:
    if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(price, _Number) for price in pair):
        raise ListingError("bad_price", f"{name[:60]}: a price is a pair of numbers, input and output.")
    try:
        per_million = [parse_decimal(str(price), field=name[:60]) for price in pair]
        prompt, completion = (decimal_text(EXACT.scaleb(price, -_PER_MILLION_PLACES)) for price in per_million)
        parse_decimal(prompt, field=name[:60]), parse_decimal(completion, field=name[:60])
    except ValueError as error:
        raise ListingError("bad_price", f"{error}.") from None
    return {"prompt": prompt, "completion": completion}
