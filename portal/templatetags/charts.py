"""Charts made on the server as SVG: no script, no inline style, and the numbers stand in a table beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django import template

from portal import formatting
from usage.periods import BillingMonth
from usage.selectors import Consumption, DayUsage

register = template.Library()

#: The drawing's own units: a day is ten wide, the highest line of the scale a hundred high.
DAY_WIDTH, BAR_WIDTH, HEIGHT = 10, 8, 100
_LEAST_BAR = Decimal("1.5")
_STEPS = (Decimal(1), Decimal(2), Decimal("2.5"), Decimal(5), Decimal(10))
_LABELLED_DAYS = (1, 8, 15, 22, 29)


@dataclass(frozen=True, slots=True)
class Bar:
    """One day: where its bar stands and what is said of it."""

    day: date
    total: Consumption
    x: int
    height: Decimal
    is_labelled: bool

    @property
    def y(self) -> Decimal:
        return HEIGHT - self.height


@register.inclusion_tag("portal/_daily_chart.html")
def daily_chart(month: BillingMonth, days: Sequence[DayUsage]) -> dict[str, Any]:
    """Bars of USD for every day of a month; `days` are those that have usage."""
    totals = {one.day: one.total for one in days}
    highest = max((total.cost_usd for total in totals.values()), default=Decimal(0))
    top = scale_top(highest)
    count = (month.last_on - month.first_on).days + 1
    bars = []
    for index in range(count):
        day = month.first_on + timedelta(days=index)
        total = totals.get(day, Consumption())
        bars.append(
            Bar(
                day,
                total,
                index * DAY_WIDTH + 1,
                bar_height(total.cost_usd, top),
                is_labelled=day.day in _LABELLED_DAYS,
            )
        )
    return {
        "month": month,
        "bars": bars,
        "count": count,
        "width": count * DAY_WIDTH,
        "height": HEIGHT,
        "bar_width": BAR_WIDTH,
        "scale": [formatting.usd(amount) for amount in (top, top / 2, Decimal(0))],
        "highest_day": max(totals, key=lambda day: totals[day].cost_usd, default=None),
        "highest": highest,
    }


def scale_top(highest: Decimal) -> Decimal:
    """The next round number (1, 2, 2.5 or 5 times a power of ten) that is not below the highest bar; 1 for none."""
    if highest <= 0:
        return Decimal(1)
    power = Decimal(1).scaleb(highest.adjusted())
    return next(step * power for step in _STEPS if step * power >= highest)


def bar_height(cost_usd: Decimal, top: Decimal) -> Decimal:
    """Height in the drawing's units, to a tenth; something that costs anything at all can be seen."""
    if cost_usd <= 0:
        return Decimal(0)
    return max(_LEAST_BAR, (cost_usd * HEIGHT / top).quantize(Decimal("0.1")))
