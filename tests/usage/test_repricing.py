"""Costs recomputed in sets are those of the events one by one, tiers and hours of the day included."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from catalog.pricing import PriceSheet
from tests.usage.factories import NOVEMBER, NOW, OCTOBER, close_period, customer, ingest, line, model
from usage.selectors.repricing import repriced_sums
from usage.services.replacing import exclude_priced_event
from usage.services.rerating import rate_quarantined

pytestmark = pytest.mark.django_db

#: Above 200,000 tokens twice as dear; from 22:30 to 01:00 UTC, across midnight, the output is cheaper.
TIERED = [
    {"min_prompt_tokens": 200000, "prompt": "0.000006", "completion": "0.00003"},
    {"utc_start": 2230, "utc_end": 100, "completion": "0.000001"},
]
PROMPTS = (0, 1, 199_999, 200_000, 200_001, 999_999)
START = datetime(2026, 10, 5, 22, 0, tzinfo=UTC)


def test_sums_are_what_the_events_add_up_to() -> None:
    customer()
    customer("naru")
    model()
    model("acme/tiered", overrides=TIERED)
    lines = [
        line(
            f"{name}{minutes}-{prompt}",
            customer=owner,
            model=name,
            occurred_at=(START + timedelta(minutes=minutes)).isoformat(),
            usage={
                "prompt_tokens": prompt,
                "completion_tokens": 7,
                "prompt_tokens_details": {"cached_tokens": prompt // 3},
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
        )
        for owner in ("hanbit", "naru")
        for name in ("acme/tiered", "anthropic/claude-sonnet-4.5")
        for minutes in range(0, 240, 15)
        for prompt in PROMPTS
    ]
    assert {answer.status for answer in ingest(*lines)} == {"accepted"}
    found = repriced_sums(OCTOBER)
    assert [row.requests for row in found] == [96, 96, 96, 96]
    assert all(row.stored_usd == row.repriced_usd > 0 for row in found)
    assert {row.stored_usd for row in found if row.model_pk == found[0].model_pk} == {found[0].stored_usd}
    assert len(repriced_sums(OCTOBER, customer_id=found[0].customer_id)) == 2


def test_late_withdrawn_and_rated_events_count_as_they_are_billed() -> None:
    owner = customer()
    model()
    close_period(owner, OCTOBER)
    ingest(line("late"), line("gone"), line("waited", model="acme/new"))
    exclude_priced_event(customer_id=owner.pk, event_id="gone", reason="twice", actor="tests", now=NOW)
    model("acme/new", {"prompt": "0.00001", "completion": "0"})
    rate_quarantined(actor="tests", now=NOW)
    assert repriced_sums(OCTOBER) == []
    assert [(row.month, row.requests, row.stored_usd, row.repriced_usd) for row in repriced_sums(NOVEMBER)] == [
        (OCTOBER, 1, Decimal("0.000345"), Decimal("0.000345")),
        (OCTOBER, 1, Decimal("0.001"), Decimal("0.001")),
    ]


def test_a_corrected_price_says_what_the_month_would_have_cost() -> None:
    customer()
    price = model()
    ingest(line("a"), line("b"))
    corrected = PriceSheet.parse({"prompt": "0.000001", "completion": "0.000015"})
    [row] = repriced_sums(OCTOBER, corrections={price.pk: corrected})
    assert (row.stored_usd, row.repriced_usd) == (Decimal("0.00069"), Decimal("0.00029"))


def test_what_ended_without_an_answer_costs_nothing_at_any_price() -> None:
    owner = customer()
    price = model()
    free = {"flags": ["zero_completion"], "usage": {"prompt_tokens": 100, "completion_tokens": 0, "total_tokens": 100}}
    ingest(line("paid"), line("free", **free), line("gone", **free), line("waited", model="acme/new", **free))
    exclude_priced_event(customer_id=owner.pk, event_id="gone", reason="twice", actor="tests", now=NOW)
    model("acme/new", {"prompt": "0.00001", "completion": "0"})
    rate_quarantined(actor="tests", now=NOW)
    found = repriced_sums(OCTOBER)
    assert [(row.requests, row.stored_usd, row.repriced_usd) for row in found] == [
        (2, Decimal("0.000345"), Decimal("0.000345")),
        (1, Decimal(0), Decimal(0)),
    ]
    dearer = PriceSheet.parse({"prompt": "0.00001", "completion": "0.000015"})
    [row] = repriced_sums(OCTOBER, corrections={price.pk: dearer}, price_id=price.pk)
    assert row.repriced_usd == Decimal("0.001045")
