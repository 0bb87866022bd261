"""The steps of a price over time."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from catalog.pricing import PriceSheet
from portal.selectors.storefront import PriceStep, PriceTag
from portal.templatetags.price_charts import price_chart, step_path

DAYS = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 11, 21, 31)]


def tag(prompt: str, completion: str) -> PriceTag:
    return PriceTag("listed", PriceSheet.parse({"prompt": prompt, "completion": completion}))


def test_two_lines_of_steps() -> None:
    steps = [
        PriceStep(DAYS[0], DAYS[1], tag("0.000001", "0.000004")),
        PriceStep(DAYS[1], DAYS[2], tag("0.000002", "0.000004")),
        PriceStep(DAYS[2], None, tag("0.000001", "0.000005")),
    ]
    chart = price_chart(steps, DAYS[3])
    assert chart["scale"] == ["$5.00", "$2.50", "$0.00"]
    assert chart["prompt_path"] == "M0.0 80.0H333.3V60.0H666.7V80.0H1000.0"
    assert chart["completion_path"] == "M0.0 20.0H333.3V20.0H666.7V0.0H1000.0"
    assert (chart["first"], chart["last"], chart["now_x"], chart["count"]) == (DAYS[0], DAYS[3], None, 3)


def test_a_gap_where_there_is_no_number() -> None:
    steps = [
        PriceStep(DAYS[0], DAYS[1], tag("0.000001", "0.000001")),
        PriceStep(DAYS[1], DAYS[2], PriceTag("variable")),
        PriceStep(DAYS[2], None, tag("0", "0")),
    ]
    chart = price_chart(steps, DAYS[3])
    assert chart["prompt_path"] == "M0.0 0.0H333.3M666.7 100.0H1000.0"


def test_a_hole_in_time_is_a_gap_too() -> None:
    steps = [
        PriceStep(DAYS[0], DAYS[1], tag("0.000001", "0")),
        PriceStep(DAYS[2], None, tag("0.000001", "0")),
    ]
    assert price_chart(steps, DAYS[3])["prompt_path"] == "M0.0 0.0H333.3M666.7 0.0H1000.0"


def test_an_announced_price_stands_after_now() -> None:
    steps = [PriceStep(DAYS[0], DAYS[2], tag("0.000001", "0")), PriceStep(DAYS[2], None, tag("0.000002", "0"))]
    chart = price_chart(steps, DAYS[1])
    assert chart["last"] == datetime(2026, 1, 23, tzinfo=UTC)
    assert chart["now_x"] == Decimal("454.5")
    assert chart["prompt_path"] == "M0.0 50.0H909.1V0.0H1000.0"


def test_nothing_but_variable_prices() -> None:
    chart = price_chart([PriceStep(DAYS[0], None, PriceTag("variable"))], DAYS[0])
    assert (chart["prompt_path"], chart["completion_path"]) == ("", "")
    assert step_path([], Decimal(1)) == ""
