"""An upstream's activity: sums by UTC day, model and endpoint, as OpenRouter's `/activity` lists them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from catalog.money import EXACT, ZERO, decimal_text
from usage.events import EventRefused
from usage.sources.rows import read_count, read_day, read_text, read_usd

#: Korea's month begins at 15:00 UTC: of the UTC day before, 15 hours belong to the old month and 9 to the new one.
_HOURS_BEFORE_BORDER, _HOURS = 15, 24
#: Where the parts of a row stand: in the middle of the day or, where the border cuts it, of the hours on either side.
_NOON, _BEFORE, _AFTER = time(12, tzinfo=UTC), time(7, 30, tzinfo=UTC), time(19, 30, tzinfo=UTC)
_COUNTS = ("prompt_tokens", "completion_tokens", "reasoning_tokens", "cached_tokens")
#: Amounts are cut in whole units of what the database keeps.
_USD_DECIMALS = 28

#: (when, prompt tokens, requests) -> into how many events a share of a row is cut
PartsOf = Callable[[datetime, int, int], int]


@dataclass(frozen=True, slots=True)
class ActivityRow:
    """What one model used at one endpoint on one UTC day. `charged_usd`: to the upstream and, with own keys, to providers.

    `cached_tokens` are inside the prompt, `reasoning_tokens` inside the completion.
    """

    day: date
    model_name: str
    permaslug: str
    provider_name: str
    endpoint_id: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    cached_tokens: int
    charged_usd: Decimal

    @property
    def key(self) -> tuple[date, str, str, str]:
        """What makes it the same row in another list."""
        return self.day, self.permaslug, self.provider_name, self.endpoint_id

    @property
    def start_at(self) -> datetime:
        """The first instant of its day."""
        return datetime.combine(self.day, time(), UTC)

    @property
    def end_at(self) -> datetime:
        """The first instant after its day."""
        return self.start_at + timedelta(days=1)


@dataclass(frozen=True, slots=True)
class EstimatedPart:
    """A share of a row, small enough to be priced as the requests it stands for."""

    occurred_at: datetime
    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    cached_tokens: int
    charged_usd: Decimal


def is_activity(fields: Mapping[str, Any]) -> bool:
    """Whether a row is one of a daily list and not of a list of generations."""
    return "date" in fields and "requests" in fields


def read_activity(fields: Mapping[str, Any]) -> ActivityRow:
    """One row of a daily list. Raises EventRefused naming the field."""
    model_name = read_text(fields, "model", "model_permaslug")
    counts = {name: read_count(fields, name) for name in ("requests", "prompt_tokens", "completion_tokens")}
    for name, count in counts.items():
        if count is None:
            raise EventRefused(name, "is missing")
    row = ActivityRow(
        day=read_day(fields, "date"),
        model_name=model_name,
        permaslug=read_text(fields, "model_permaslug", default=model_name),
        provider_name=read_text(fields, "provider_name", default=""),
        endpoint_id=read_text(fields, "endpoint_id", default=""),
        requests=counts["requests"] or 0,
        prompt_tokens=counts["prompt_tokens"] or 0,
        completion_tokens=counts["completion_tokens"] or 0,
        reasoning_tokens=read_count(fields, "reasoning_tokens", default=0) or 0,
        cached_tokens=read_count(fields, "cached_tokens", default=0) or 0,
        charged_usd=EXACT.add(read_usd(fields, "usage"), read_usd(fields, "byok_usage_inference", default=ZERO)),
    )
    if not row.requests:
        raise EventRefused("requests", "must be at least 1")
    if row.reasoning_tokens > row.completion_tokens:
        raise EventRefused("reasoning_tokens", "is more than completion_tokens")
    if row.cached_tokens > row.prompt_tokens:
        raise EventRefused("cached_tokens", "is more than prompt_tokens")
    return row


def split_row(row: ActivityRow, parts_of: PartsOf) -> list[EstimatedPart]:
    """The row as events in the middle of its day; together they are the row to the token and the last digit.

    The last UTC day of a month lies in two Korean months: 15/24 of everything go before the border and the rest behind it,
    each side in the middle of its own hours. A single request is not cut and stays before it.
    """
    figures = [getattr(row, name) for name in _COUNTS] + [int(row.charged_usd.scaleb(_USD_DECIMALS, EXACT))]
    before_requests = (row.requests * _HOURS_BEFORE_BORDER + _HOURS // 2) // _HOURS
    if (row.day + timedelta(days=1)).day != 1:
        return _parts(datetime.combine(row.day, _NOON), row.requests, figures, parts_of)
    if before_requests == row.requests:
        return _parts(datetime.combine(row.day, _BEFORE), row.requests, figures, parts_of)
    before = [figure * _HOURS_BEFORE_BORDER // _HOURS for figure in figures]
    after = [figure - part for figure, part in zip(figures, before, strict=True)]
    return [
        *_parts(datetime.combine(row.day, _BEFORE), before_requests, before, parts_of),
        *_parts(datetime.combine(row.day, _AFTER), row.requests - before_requests, after, parts_of),
    ]


def parts_needed(prompt_tokens: int, requests: int, *, thresholds: Iterable[int], is_priced_by_request: bool) -> int:
    """Into how many equal events requests are cut so that each is priced as one of them and not as their sum.

    A price for each request wants an event a request. A long-context price holds above a threshold of one request's prompt:
    where the average request is not above it, no event may be either. The fewest events that do so.
    """
    if is_priced_by_request:
        return requests
    reached = [threshold for threshold in thresholds if prompt_tokens <= threshold * requests]
    return max(1, -(-prompt_tokens // min(reached))) if reached and prompt_tokens else 1


def _parts(at: datetime, requests: int, figures: list[int], parts_of: PartsOf) -> list[EstimatedPart]:
    """Equal parts; what does not divide goes to the first ones, one unit each."""
    count = parts_of(at, figures[0], requests)
    shares = [divmod(figure, count) for figure in figures]
    parts = []
    for position in range(count):
        prompt, completion, reasoning, cached, units = (share + (position < rest) for share, rest in shares)
        charged_usd = Decimal(units).scaleb(-_USD_DECIMALS, EXACT)
        parts.append(EstimatedPart(at, prompt, completion, reasoning, cached, charged_usd))
    return parts


def part_id(row: ActivityRow, position: int) -> str:
    """The id of a part's event, the same whenever the row is read."""
    digest = hashlib.sha256("\x1f".join(map(str, row.key)).encode()).hexdigest()[:20]
    return f"activity-{row.day.isoformat()}-{digest}-{position}"


def part_line(row: ActivityRow, part: EstimatedPart, *, event_id: str, customer: str) -> bytes:
    """The event of a part, as the one writer takes it."""
    return msgspec.json.encode(
        {
            "id": event_id,
            "customer": customer,
            "requested_model": row.model_name,
            "model": row.permaslug,
            "occurred_at": part.occurred_at.isoformat(),
            "dialect": "openrouter",
            "flags": ["estimated"],
            "usage": {
                "prompt_tokens": part.prompt_tokens,
                "completion_tokens": part.completion_tokens,
                "total_tokens": part.prompt_tokens + part.completion_tokens,
                "prompt_tokens_details": {"cached_tokens": part.cached_tokens},
                "completion_tokens_details": {"reasoning_tokens": part.reasoning_tokens},
                "cost": msgspec.Raw(decimal_text(part.charged_usd).encode()),
            },
        }
    )
