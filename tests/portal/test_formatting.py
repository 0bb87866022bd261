"""How amounts, times and bars are written."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.utils.translation import override

from portal import formatting
from portal.templatetags.charts import bar_height, daily_chart, scale_top
from portal.templatetags.portal import usd_figure
from usage.periods import BillingMonth
from usage.selectors import Consumption, DayUsage


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "$0.00"),
        ("2", "$2.00"),
        ("1234567.5", "$1,234,567.50"),
        ("0.0096", "$0.0096"),
        ("0.0000004", "$0.000000"),
        ("0.0000005", "$0.000001"),
        ("259.3230314999", "$259.323031"),
    ],
)
def test_dollars(amount: str, text: str) -> None:
    assert formatting.usd(Decimal(amount)) == text


def test_the_digits_below_the_cent_are_set_back() -> None:
    assert usd_figure(Decimal("1234.567891")) == '$1,234.56<span class="rest">7891</span>'


def test_columns_share_their_decimals_and_their_total() -> None:
    days = [Decimal("0.0000083"), Decimal("2"), Decimal("3.6933693")]
    models = [Decimal("2.0000083"), Decimal("3.6933693")]
    (day_cells, day_total), (model_cells, model_total) = formatting.usd_columns(days, models)
    assert day_cells == ["0.000009", "2.000000", "3.693369"]
    assert model_cells == ["2.000009", "3.693369"]
    assert day_total == model_total == "5.693378"
    assert formatting.usd_columns([Decimal("1.5"), Decimal("1.5")], [Decimal("3")]) == [
        (["1.50", "1.50"], "3.00"),
        (["3.00"], "3.00"),
    ]
    assert formatting.usd_columns([Decimal("1.1234"), Decimal("0.1")], [Decimal("1.2234")]) == [
        (["1.1234", "0.1000"], "1.2234"),
        (["1.2234"], "1.2234"),
    ]
    assert formatting.usd_columns([], []) == [([], "0.00"), ([], "0.00")]


def test_won_and_rate_follow_the_language() -> None:
    with override("ko"):
        assert formatting.won(1_811_764) == "1,811,764원"
        assert formatting.rate(Decimal("1443.2000")) == "1,443.20원"
        assert formatting.month(BillingMonth(2026, 10)) == "2026년 10월"
        assert formatting.day(date(2026, 11, 10)) == "2026년 11월 10일"
    with override("en"):
        assert formatting.won(1_811_764) == "₩1,811,764"
        assert formatting.rate(Decimal("1443.2000")) == "₩1,443.20"
        assert formatting.month(date(2026, 10, 1)) == "October 2026"
        assert formatting.day(date(2026, 11, 10)) == "10 November 2026"


def test_times_are_korean_and_labelled() -> None:
    assert formatting.kst(datetime(2026, 10, 31, 15, 0, tzinfo=UTC)) == "2026-11-01 00:00 KST"


@pytest.mark.parametrize(
    ("highest", "top"),
    [("0", "1"), ("1", "1"), ("1.01", "2"), ("34", "50"), ("0.00021", "0.00025"), ("99.9", "1E+2"), ("260", "5E+2")],
)
def test_the_scale_ends_at_a_round_number_above_the_highest_bar(highest: str, top: str) -> None:
    assert scale_top(Decimal(highest)) == Decimal(top)


def test_a_bar_is_as_high_as_its_share_and_never_invisible() -> None:
    assert bar_height(Decimal(25), Decimal(50)) == Decimal("50.0")
    assert bar_height(Decimal("0.000001"), Decimal(50)) == Decimal("1.5")
    assert bar_height(Decimal(0), Decimal(50)) == 0


@pytest.mark.parametrize(("month", "days"), [("2026-02", 28), ("2028-02", 29), ("2026-04", 30), ("2026-12", 31)])
def test_the_chart_has_a_place_for_every_day(month: str, days: int) -> None:
    last = BillingMonth.parse(month).last_on
    chart = daily_chart(BillingMonth.parse(month), [DayUsage(last, Consumption(cost_usd=Decimal(3)))])
    assert len(chart["bars"]) == days
    assert chart["width"] == days * 10
    assert chart["scale"] == ["$5.00", "$2.50", "$0.00"]
    assert [bar.at for bar in chart["bars"] if bar.height] == [last]
    assert (chart["bars"][-1].x, chart["bars"][-1].y) == ((days - 1) * 10 + 1, Decimal("40.0"))
    assert chart["highest_at"] == last
