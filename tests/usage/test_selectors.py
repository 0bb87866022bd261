"""Sums for pages, quotes and the close."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from accounts.selectors import customer_by_slug as customer_called
from tests.usage.factories import MODEL, NOVEMBER, OCTOBER, SEPTEMBER, close_period, customer, ingest, line, model
from usage.errors import UnknownEvent
from usage.selectors import (
    Consumption,
    customers_with_usage,
    month_lines,
    open_quarantine,
    period_status,
    quarantined_event,
    usage_by_day,
    usage_by_model,
    usage_total,
)

pytestmark = pytest.mark.django_db

CHEAP = "a/cheap"
#: One event of the factory at its model's price, and at CHEAP's.
DEAR_USD, CHEAP_USD = Decimal("0.000345"), Decimal("0.000103")


@pytest.fixture(autouse=True)
def _three_days() -> None:
    hanbit = customer()
    customer("gaon")
    model()
    model(CHEAP, {"prompt": "0.000001", "completion": "0.000001"})
    close_period(hanbit, SEPTEMBER)
    ingest(
        line("late", occurred_at="2026-09-30T10:00:00+09:00"),
        line("1", occurred_at="2026-10-01T00:00:00+09:00"),
        line("2", occurred_at="2026-10-01T23:59:59+09:00"),
        line("3", occurred_at="2026-10-02T00:00:00+09:00", model=CHEAP),
        line("4", occurred_at="2026-10-31T23:59:59+09:00"),
        line("5", occurred_at="2026-11-01T00:00:00+09:00"),
        line("foreign", customer="gaon"),
        line("held", model="x/unheard"),
    )


def test_a_month_is_billed_by_month_of_occurrence_and_model() -> None:
    lines = month_lines(customer_called("hanbit"), OCTOBER)
    assert [(each.month, each.model_id, each.total.requests, each.basis_usd_by_day("catalog")) for each in lines] == [
        (SEPTEMBER, MODEL, 1, {date(2026, 9, 30): DEAR_USD}),
        (OCTOBER, CHEAP, 1, {date(2026, 10, 2): CHEAP_USD}),
        (OCTOBER, MODEL, 3, {date(2026, 10, 1): 2 * DEAR_USD, date(2026, 10, 31): DEAR_USD}),
    ]
    assert lines[2].total == Consumption(
        requests=3, prompt_tokens=300, completion_tokens=9, cost_usd=3 * DEAR_USD, upstream_cost_usd=Decimal(0)
    )
    assert month_lines(customer_called("hanbit"), SEPTEMBER) == []


def test_days_and_models_of_one_customer_only() -> None:
    hanbit = customer_called("hanbit")
    first, last = date(2026, 10, 1), date(2026, 10, 31)
    assert [(day.day, day.total.requests, day.total.cost_usd) for day in usage_by_day(hanbit, first, last)] == [
        (date(2026, 10, 1), 2, 2 * DEAR_USD),
        (date(2026, 10, 2), 1, CHEAP_USD),
        (date(2026, 10, 31), 1, DEAR_USD),
    ]
    assert [(used.model_id, used.name, used.total.requests) for used in usage_by_model(hanbit, first, last)] == [
        (MODEL, MODEL, 3),
        (CHEAP, CHEAP, 1),
    ]
    assert usage_total(hanbit, first, last).cost_usd == 3 * DEAR_USD + CHEAP_USD
    assert usage_total(hanbit, date(2025, 1, 1), date(2025, 12, 31)) == Consumption()


def test_counts_are_whole_numbers() -> None:
    total = usage_total(customer_called("hanbit"), date(2026, 10, 1), date(2026, 10, 31))
    assert {type(total.requests), type(total.prompt_tokens), type(total.web_searches)} == {int}


def test_who_has_something_to_close() -> None:
    gaon = customer_called("gaon")
    assert [owner.slug for owner in customers_with_usage(OCTOBER)] == ["gaon", "hanbit"]
    assert [owner.slug for owner in customers_with_usage(NOVEMBER)] == ["hanbit"]
    assert [owner.slug for owner in customers_with_usage(SEPTEMBER)] == []
    close_period(gaon, OCTOBER)
    assert [owner.slug for owner in customers_with_usage(OCTOBER)] == ["hanbit"]
    assert (period_status(gaon, OCTOBER), period_status(gaon, NOVEMBER)) == ("closed", "open")


def test_open_quarantine_alone_is_something_to_close() -> None:
    owner = customer("only-held")
    ingest(line(customer="only-held", model="x/unheard"))
    assert owner in customers_with_usage(OCTOBER)
    assert [held.event_id for held in open_quarantine(owner, OCTOBER)] == ["gen-1"]
    assert list(open_quarantine(owner, NOVEMBER)) == []


def test_a_quarantined_event_is_found_for_its_own_customer_only() -> None:
    assert quarantined_event(customer_called("hanbit"), "held").code == "unknown_model"
    for slug, event_id in (("gaon", "held"), ("hanbit", "1")):
        with pytest.raises(UnknownEvent):
            quarantined_event(customer_called(slug), event_id)
