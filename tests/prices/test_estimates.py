"""The monthly calculator: the engine's own arithmetic on two token counts, and no number where there is none."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from accounts.errors import DomainError
from accounts.services import create_customer
from billing.selectors.quotes import Quote, monthly_estimate
from billing.services.margins import set_margin
from tests.billing.factories import ACTOR
from tests.billing.month import NOW, open_house
from tests.usage.factories import model

pytestmark = pytest.mark.django_db

NIGHT = {"utc_start": 1630, "utc_end": 30, "prompt": "0.000001"}
TIER = {"min_prompt_tokens": 200_000, "prompt": "0.000006", "completion": "0.00003"}


def estimate(name: str, input_tokens: Any = 1_000_000, output_tokens: Any = 0, **more: Any) -> Quote:
    return monthly_estimate(model=name, input_tokens=input_tokens, output_tokens=output_tokens, at=NOW, **more)


def won(quote: Quote) -> tuple[int, int, int]:
    return quote.totals.supply_krw, quote.totals.vat_krw, quote.totals.total_krw


def test_a_month_of_one_dollar() -> None:
    open_house()
    quote = estimate("acme/dollar")
    assert won(quote) == (1647, 165, 1812)
    assert (quote.rate, quote.rate_source, quote.margin, quote.flags) == (
        Decimal(1400),
        "test 2026-10-30",
        Decimal("0.15"),
        (),
    )
    assert won(estimate("acme/dollar", 0, 0)) == (0, 0, 0)
    assert won(estimate("acme/free", 10**15, 10**15)) == (0, 0, 0)
    # USD 1,000,000,000
    assert won(estimate("acme/dollar", 10**15)) == (1_647_058_823_529, 164_705_882_353, 1_811_764_705_882)


def test_a_customers_own_terms() -> None:
    open_house()
    fixed = create_customer(
        slug="fixed",
        name="fixed",
        actor=ACTOR,
        exchange_rule="fixed",
        fixed_rate_krw_per_usd=Decimal(1234),
        rounding="down",
    )
    set_margin(customer=fixed, margin=Decimal("0.2"), effective_from=date(2026, 1, 1), actor=ACTOR)

    quote = estimate("acme/dollar", customer=fixed)

    # 1,234 / 0.8 = 1,542.5 and a tenth of 1,542 is 154.2, both cut.
    assert won(quote) == (1542, 154, 1696)
    assert (quote.rate, quote.rate_source, quote.margin) == (Decimal(1234), "contract", Decimal("0.2"))


def test_a_month_is_no_single_long_request() -> None:
    open_house(rate="1000", margin="0")
    model("a/tiers", {"prompt": "0.000003", "completion": "0.000015"}, overrides=[TIER])

    quote = estimate("a/tiers", 300_000_000, 1_000_000)

    assert quote.cost.total_usd == Decimal(915)
    assert won(quote) == (915_000, 91_500, 1_006_500)
    assert quote.flags == ("long_prompts_cost_more",)


def test_the_hour_of_the_visit_makes_no_difference() -> None:
    open_house(rate="1000", margin="0")
    model("a/night", {"prompt": "0.000002", "completion": "0.000008"}, overrides=[NIGHT])

    for hour in (1, 16, 17, 23):
        at = datetime(2026, 11, 2, hour, 30, tzinfo=UTC)
        quote = monthly_estimate(model="a/night", input_tokens=1_000_000, output_tokens=0, at=at)
        assert (quote.cost.total_usd, quote.flags) == (Decimal(2), ("hours_cost_differently",))


def test_a_fee_per_request_is_not_in_it_and_said() -> None:
    open_house(rate="1000", margin="0")
    model("a/fee", {"prompt": "0.000001", "completion": "0.000001", "request": "0.01"})

    quote = estimate("a/fee", 1_000_000, 1_000_000)

    assert (quote.cost.total_usd, quote.flags) == (Decimal(2), ("request_fee_not_included",))


@pytest.mark.parametrize(("name", "code"), [("acme/router", "variable_price"), ("acme/none", "unknown_model")])
def test_no_number_without_a_price(name: str, code: str) -> None:
    open_house()
    with pytest.raises(DomainError) as refusal:
        estimate(name)
    assert (refusal.value.code, refusal.value.field) == (code, "model")


@pytest.mark.parametrize("count", [-1, 10**15 + 1, 1.5, "1", True, None])
def test_absurd_counts_are_named(count: Any) -> None:
    open_house()
    for field, counts in (("input_tokens", (count, 0)), ("output_tokens", (0, count))):
        with pytest.raises(DomainError) as refusal:
            estimate("acme/dollar", *counts)
        assert (refusal.value.code, refusal.value.field) == ("invalid_input", field)
