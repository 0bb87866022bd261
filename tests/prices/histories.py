"""Price histories: small ones, and the real one with an arithmetic of its own to compare with."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from catalog.services import ReplayReport, replay_prices
from tests.catalog.listings import NOW
from tests.shared import shared_data

REAL = "openrouter-price-history-2023-2026.json"

Snapshots = list[tuple[datetime, dict[str, list[str]]]]


def day(text: str) -> datetime:
    """Midnight UTC of a day."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def real_snapshots() -> Snapshots:
    """Days and prices of the real history; prices are the texts that stand in the file, USD per million."""
    document = json.loads(shared_data(REAL).read_bytes(), parse_float=str, parse_int=str)
    return [(day(snapshot["date"]), snapshot["prices"]) for snapshot in document["snapshots"]]


def history_file(snapshots: Snapshots) -> bytes:
    """The same shape as the real one, numbers written as given."""
    parts = []
    for at, prices in snapshots:
        pairs = ", ".join(f"{json.dumps(name)}: [{prompt}, {output}]" for name, (prompt, output) in prices.items())
        parts.append(f'{{"date": "{at:%Y-%m-%d}", "prices": {{{pairs}}}}}')
    return f'{{"snapshots": [{", ".join(parts)}]}}'.encode()


def replay(*snapshots: tuple[str, dict[str, list[str]]], now: datetime = NOW) -> ReplayReport:
    """Play in a small history."""
    body = history_file([(day(date), prices) for date, prices in snapshots])
    return replay_prices(body=body, source="small.json", actor="tester", now=now)


def per_token(per_million: str) -> str:
    """USD per token as plain text, by shifting digits."""
    whole, _, fraction = per_million.partition(".")
    digits = whole.rjust(7, "0") + fraction
    point = len(digits) - len(fraction) - 6
    text = f"{digits[:point].lstrip('0') or '0'}.{digits[point:]}".rstrip("0")
    return text.removesuffix(".")


def won_of(pair: list[str], *, prompt_tokens: int, completion_tokens: int) -> tuple[Fraction, int, int]:
    """USD and won (supply, VAT) of a usage at 1,400 and margin 0.15, in fractions."""
    usd = (Fraction(pair[0]) * prompt_tokens + Fraction(pair[1]) * completion_tokens) / 1_000_000
    supply = int(usd * 1400 / Fraction(85, 100) + Fraction(1, 2))
    return usd, supply, int(Fraction(supply, 10) + Fraction(1, 2))


def as_listing(prices: dict[str, list[str]]) -> bytes:
    """A snapshot as the `/models` answer that it was taken from."""
    models: list[dict[str, Any]] = [
        {"id": name, "name": name, "pricing": {"prompt": per_token(prompt), "completion": per_token(output)}}
        for name, (prompt, output) in prices.items()
    ]
    return json.dumps({"data": models}).encode()
