"""A small house for tests of the close: two priced models, a seller, customers, and usage that costs round dollars."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from accounts.models import Customer
from accounts.services import add_tax_profile, create_customer
from billing.models import BillingRun, BillingRunItem
from billing.services.closing import close_customer, finish_run, start_run
from billing.services.exchange import set_rate
from billing.services.margins import set_margin
from catalog.services import sync_catalog
from tests.billing.factories import ACTOR, CORPORATION, seller
from usage.periods import BillingMonth
from usage.services.ingesting import ItemResult, Status, ingest_events

OCTOBER = BillingMonth(2026, 10)
NOVEMBER = BillingMonth(2026, 11)
#: 2 November 2026, 10:00 KST: October has ended, its tax invoices are not late.
NOW = datetime(2026, 11, 2, 1, 0, tzinfo=UTC)
#: 2 December 2026, 10:00 KST.
LATER = datetime(2026, 12, 2, 1, 0, tzinfo=UTC)
IN_OCTOBER = "2026-10-15T12:00:00+09:00"
DOLLAR = 1_000_000  # tokens of acme/dollar that cost USD 1


def listing(**prices: str) -> bytes:
    """A catalog of acme's models; the prompt price of each in USD per token, completions free."""
    models = [
        {
            "id": f"acme/{name}",
            "canonical_slug": f"acme/{name}",
            "name": f"Acme: {name.title()}",
            "created": 1700000000,
            "description": "",
            "context_length": 1000,
            "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
            "pricing": {"prompt": price, "completion": "-1" if price == "-1" else "0"},
            "top_provider": {},
            "supported_parameters": [],
        }
        for name, price in prices.items()
    ]
    return json.dumps({"data": models}).encode()


def open_house(*, margin: str | None = "0.15", rate: str | None = "1400") -> None:
    """Catalog, seller, default margin and a rate published on 30 October 2026 (and 30 November)."""
    sync_catalog(
        body=listing(dollar="0.000001", cent="0.00000001", free="0", router="-1"),
        source="test",
        at=datetime(2026, 1, 1, tzinfo=UTC),
        actor=ACTOR,
        now=NOW,
    )
    seller()
    if margin is not None:
        set_margin(customer=None, margin=Decimal(margin), effective_from=date(2026, 1, 1), actor=ACTOR)
    if rate is not None:
        publish(date(2026, 10, 30), rate)
        publish(date(2026, 11, 30), rate)


def publish(day: date, rate: str) -> None:
    set_rate(rate_on=day, rate=Decimal(rate), source="test", reason="test", actor=ACTOR, now=LATER)


def tenant(slug: str = "gaon", *, profile: bool = True, **policy: Any) -> Customer:
    made = create_customer(slug=slug, name=slug, actor=ACTOR, **policy)
    if profile:
        add_tax_profile(customer=made, valid_from=date(2025, 1, 1), actor=ACTOR, **CORPORATION)
    return made


def use(
    customer: Customer,
    tokens: int,
    *,
    model: str = "acme/dollar",
    at: str = IN_OCTOBER,
    event_id: str | None = None,
    now: datetime = NOW,
) -> ItemResult:
    """Meter one event of so many prompt tokens; it must be accepted."""
    event = {
        "id": event_id or f"{customer.slug}-{model}-{at}-{tokens}",
        "customer": customer.slug,
        "model": model,
        "occurred_at": at,
        "dialect": "openai_chat",
        "usage": {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens},
    }
    (result,) = ingest_events(lines=[json.dumps(event).encode()], now=now, actor=ACTOR)
    assert result.status == Status.ACCEPTED, result
    return result


def close(month: BillingMonth = OCTOBER, *, now: datetime = NOW) -> BillingRun:
    """The whole month, every customer, in this process."""
    run = start_run(month=month, actor=ACTOR, now=now)
    for item in run.items.filter(status=BillingRunItem.Status.PENDING).order_by("pk"):
        close_customer(item_id=item.pk, actor=ACTOR, now=now)
    finish_run(run=run, now=now)
    return run


def outcome(run: BillingRun, customer: Customer) -> tuple[str, str]:
    """Status and reason code of a customer in a run."""
    item = run.items.get(customer=customer)
    return item.status, item.reason_code
