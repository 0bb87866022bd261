"""Customers, prices and events to meter. Prices are round, so that costs can be checked in the head."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from django.db import connection

from accounts.models import Customer
from accounts.services import create_customer
from catalog.models import Model, Price, Provider
from usage.audit import CheckResult, check_usage
from usage.models import BillingPeriod
from usage.periods import BillingMonth
from usage.services.ingesting import ItemResult, ingest_events

ACTOR = "tests"
#: Saturday, 21 November 2026, noon in Korea.
NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
SEPTEMBER, OCTOBER, NOVEMBER = BillingMonth(2026, 9), BillingMonth(2026, 10), BillingMonth(2026, 11)
MODEL = "anthropic/claude-sonnet-4.5"
#: USD 3 and 15 per million tokens, 0.30 from the cache.
COMPONENTS = {"prompt": "0.000003", "completion": "0.000015", "input_cache_read": "0.0000003"}
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def customer(slug: str = "hanbit") -> Customer:
    """A customer without anything else."""
    return create_customer(slug=slug, name=slug, actor=ACTOR)


def model(
    model_id: str = MODEL,
    components: dict[str, str] | None = None,
    *,
    kind: str = "listed",
    at: datetime = LONG_AGO,
    until: datetime | None = None,
    **fields: Any,
) -> Price:
    """A model (made when it is new) with one price interval; the price."""
    provider, _ = Provider.objects.get_or_create(slug=model_id.partition("/")[0], defaults={"name": "Provider"})
    defaults = {"provider": provider, "canonical_slug": model_id, "name": model_id}
    sold, _ = Model.objects.get_or_create(model_id=model_id, defaults=defaults)
    if components is None:
        components = COMPONENTS if kind == "listed" else {}
    return Price.objects.create(
        model=sold,
        kind=kind,
        components=components,
        effective_from=at,
        effective_to=until,
        source="tests",
        created_by=ACTOR,
        **fields,
    )


def event(event_id: str = "gen-1", **changes: Any) -> dict[str, Any]:
    """An event of `hanbit` in October that costs USD 0.000345 at COMPONENTS: 100 prompt and 3 completion tokens."""
    body: dict[str, Any] = {
        "id": event_id,
        "customer": "hanbit",
        "model": MODEL,
        "occurred_at": "2026-10-05T12:00:00+09:00",
        "dialect": "openai_chat",
        "usage": {"prompt_tokens": 100, "completion_tokens": 3, "total_tokens": 103},
    }
    return body | changes


def line(event_id: str = "gen-1", **changes: Any) -> bytes:
    """The same as one line of NDJSON."""
    return json.dumps(event(event_id, **changes)).encode()


def ingest(*lines: bytes, now: datetime = NOW) -> list[ItemResult]:
    """Meter these lines as one batch."""
    return ingest_events(lines=lines, now=now, actor=ACTOR)


def close_period(owner: Customer, month: BillingMonth, *, now: datetime = NOW) -> BillingPeriod:
    """What the close leaves behind for a month without a charge."""
    return BillingPeriod.objects.create(
        customer=owner,
        month=month.first_on,
        start_at=month.start_at,
        end_at=month.end_at,
        status=BillingPeriod.Status.CLOSED,
        outcome=BillingPeriod.Outcome.NO_USAGE,
        closed_at=now,
    )


def counted(*tables: str) -> tuple[int, ...]:
    """How many rows these tables have."""
    with connection.cursor() as cursor:
        counts = []
        for table in tables:
            cursor.execute(f"SELECT count(*) FROM {table}")
            counts.append(cursor.fetchone()[0])
    return tuple(counts)


def violations(results: list[CheckResult] | None = None) -> list[str]:
    """Every violation that `check_usage` finds."""
    return [f"{result.name}: {text}" for result in results or check_usage() for text in result.violations]
