"""A statement: every event that one invoice bills, and the hash chain over them that the invoice prints.

The file is text, one JSON value a line: a head, one array an event (columns as the head names them, in the order of
time and id), and a foot with the digest. Whoever holds the file and the paper can check them without us:

    chain_0 = ""                                       (no bytes)
    chain_n = SHA-256(chain_(n-1) + bytes of the n-th event's line)
    digest  = SHA-256(bytes of the head's line + chain_last)

Bytes of a line are UTF-8 without the line break. One changed digit, one event more or less, or another order of them
gives another digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from catalog.money import ZERO, decimal_text, exact_sum

FORMAT = 1
COLUMNS = (
    "id",
    "occurred_at",
    "model",
    "prompt_tokens",
    "completion_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "image_output_tokens",
    "images",
    "web_searches",
    "cost_usd",
)
#: Behind them where some model is sold on another amount than list price: the USD that an event was sold on.
SOLD = "sold_usd"
_HEAD = frozenset({"jeongsan_statement", "customer", "month", "events", "cost_usd", "columns"})
_MAX_LINE_BYTES = 65_536


class StatementError(ValueError):
    """A file that is no whole statement, or does not hold what it says. The text names the line."""


@dataclass(frozen=True, slots=True)
class StatementHead:
    """Whose events these are; `cost_usd` is their sum at list price, `sold_usd` the sum of what they were sold on where some
    were sold on anything else.
    """

    customer: str
    month: str
    events: int
    cost_usd: Decimal
    sold_usd: Decimal | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """What the arrays hold."""
        return COLUMNS if self.sold_usd is None else (*COLUMNS, SOLD)

    def line(self) -> str:
        """The head's line as it is hashed."""
        head = {
            "jeongsan_statement": FORMAT,
            "customer": self.customer,
            "month": self.month,
            "events": self.events,
            "cost_usd": decimal_text(self.cost_usd),
            **({} if self.sold_usd is None else {SOLD: decimal_text(self.sold_usd)}),
            "columns": list(self.columns),
        }
        return json.dumps(head, ensure_ascii=False, separators=(",", ":"))

    def digest(self, chain: bytes) -> str:
        """64 hexadecimal digits over the head and the chain of all events."""
        return hashlib.sha256(self.line().encode() + chain).hexdigest()


@dataclass(slots=True)
class Statement:
    """A statement that was read and found whole: the digest was computed from the events, never taken from the foot."""

    head: StatementHead
    digest: str
    cost_usd_by_model: dict[str, Decimal] = field(default_factory=dict)
    #: What its margin is reckoned on, by model; empty where all of it is list price.
    sold_usd_by_model: dict[str, Decimal] = field(default_factory=dict)


def foot_line(digest: str) -> str:
    """The last line."""
    return json.dumps({"digest": digest}, separators=(",", ":"))


def read_statement(lines: Iterable[bytes]) -> Statement:
    """Check a statement line by line, in the memory of one line. Raises StatementError for the first thing wrong."""
    source = enumerate((line.rstrip(b"\r\n") for line in lines), start=1)
    head_line, head = _head(next(source, (1, b""))[1])
    chain, events, last = b"", 0, ("", "")
    costs, sold = dict[str, Decimal](), dict[str, Decimal]()
    foot: str | None = None
    for number, line in source:
        if foot is not None:
            raise StatementError(f"line {number}: something follows the foot")
        value = _json(line, number)
        if isinstance(value, dict):
            foot = _foot(value, number)
            continue
        event = _event(value, number, head.columns)
        if (event["occurred_at"], event["id"]) <= last:
            raise StatementError(f"line {number}: not in the order of time and id")
        last = event["occurred_at"], event["id"]
        chain = hashlib.sha256(chain + line).digest()
        events += 1
        costs[event["model"]] = exact_sum((costs.get(event["model"], ZERO), _cost(event["cost_usd"], number)))
        if head.sold_usd is not None:
            sold[event["model"]] = exact_sum((sold.get(event["model"], ZERO), _cost(event[SOLD], number)))
    if foot is None:
        raise StatementError("the file ends without its foot: a part is missing")
    if events != head.events:
        raise StatementError(f"the head names {head.events} events, the file has {events}")
    if exact_sum(costs.values()) != head.cost_usd:
        raise StatementError(f"the events cost USD {exact_sum(costs.values())}, the head says {head.cost_usd}")
    if head.sold_usd not in (None, exact_sum(sold.values())):
        raise StatementError(f"the events were sold on USD {exact_sum(sold.values())}, the head says {head.sold_usd}")
    digest = hashlib.sha256(head_line + chain).hexdigest()
    if digest != foot:
        raise StatementError("the events do not give the digest in the foot: something was changed")
    return Statement(head, digest, costs, sold)


def _head(line: bytes) -> tuple[bytes, StatementHead]:
    found = _json(line, 1)
    if not isinstance(found, dict) or found.get("jeongsan_statement") != FORMAT or set(found) - {SOLD} != _HEAD:
        raise StatementError("line 1: not the head of a statement")
    head = StatementHead(
        str(found["customer"]),
        str(found["month"]),
        found["events"],
        _cost(found["cost_usd"], 1),
        _cost(found[SOLD], 1) if SOLD in found else None,
    )
    if found["columns"] != list(head.columns) or not isinstance(found["events"], int):
        raise StatementError("line 1: not the head of a statement that is known here")
    return line, head


def _foot(value: dict[str, Any], number: int) -> str:
    if set(value) != {"digest"}:
        raise StatementError(f"line {number}: neither an event nor the foot")
    return str(value["digest"])


def _event(value: Any, number: int, columns: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, list) or len(value) != len(columns):
        raise StatementError(f"line {number}: not an event of {len(columns)} columns")
    event = dict(zip(columns, value, strict=True))
    if not all(isinstance(event[name], str) for name in ("id", "occurred_at", "model", "cost_usd")):
        raise StatementError(f"line {number}: not an event")
    return event


def _cost(text: Any, number: int) -> Decimal:
    try:
        cost = Decimal(text) if isinstance(text, str) else None
    except InvalidOperation:
        cost = None
    if cost is None or not cost.is_finite():
        raise StatementError(f"line {number}: its cost is no amount")
    return cost


def _json(line: bytes, number: int) -> Any:
    if len(line) > _MAX_LINE_BYTES:
        raise StatementError(f"line {number}: longer than any line of a statement")
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        raise StatementError(f"line {number}: not JSON") from None
