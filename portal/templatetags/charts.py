"""Charts made on the server as SVG: no script, no inline style, and the numbers stand in a table beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django import template

from portal import formatting
from usage.periods import KST, BillingMonth
from usage.selectors import Consumption, DayUsage
from usage.selectors.hours import HourUsage
from usage.zones import days_between

register = template.Library()

#: The drawing's own units: a day or hour is ten wide, the highest line of the scale a hundred high.
BAR_PLACE, BAR_WIDTH, HEIGHT = 10, 8, 100
_LEAST_BAR = Decimal("1.5")
_STEPS = (Decimal(1), Decimal(2), Decimal("2.5"), Decimal(5), Decimal(10))
_LABELLED_DAYS = (1, 8, 15, 22, 29)


@dataclass(frozen=True, slots=True)
class Bar:
    """One day or hour: where its bar stands, what is said of it, and what stands below it on the axis, if anything."""

    at: date | datetime
    name: str
    label: str
    total: Consumption
    x: int
    height: Decimal

    @property
    def y(self) -> Decimal:
        return HEIGHT - self.height


@register.inclusion_tag("portal/_daily_chart.html")
def daily_chart(month: BillingMonth, days: Sequence[DayUsage]) -> dict[str, Any]:
    """Bars of USD for every day of a month; `days` are those that have usage."""
    all_days = days_between(month.first_on, month.last_on)
    names = [(day, formatting.day(day), str(day.day) if day.day in _LABELLED_DAYS else "") for day in all_days]
    return {"month": month} | _chart(names, {one.day: one.total for one in days})


@register.inclusion_tag("portal/_hourly_chart.html")
def hourly_chart(hours: Sequence[HourUsage]) -> dict[str, Any]:
    """Bars of USD for these hours, on the Korean clock; the axis tells noons, and midnights by their dates."""
    names = [(one.hour_at, formatting.kst(one.hour_at), _hour_label(one.hour_at)) for one in hours]
    return {"count": len(hours)} | _chart(names, {one.hour_at: one.total for one in hours if one.total.requests})


def _hour_label(hour_at: datetime) -> str:
    local = hour_at.astimezone(KST)
    return {0: f"{local:%m-%d}", 12: "12:00"}.get(local.hour, "")


def _chart(
    names: Sequence[tuple[date | datetime, str, str]], totals: Mapping[date | datetime, Consumption]
) -> dict[str, Any]:
    """The drawing: a bar for each place, in the scale of the highest."""
    highest_at = max(totals, key=lambda at: totals[at].cost_usd, default=None)
    highest = Decimal(0) if highest_at is None else totals[highest_at].cost_usd
    top = scale_top(highest)
    bars = []
    for index, (at, name, label) in enumerate(names):
        total = totals.get(at, Consumption())
        bars.append(Bar(at, name, label, total, index * BAR_PLACE + 1, bar_height(total.cost_usd, top)))
    return {
        "bars": bars,
        "width": len(bars) * BAR_PLACE,
        "height": HEIGHT,
        "bar_width": BAR_WIDTH,
        "scale": [formatting.usd(amount) for amount in (top, top / 2, Decimal(0))],
        "highest_at": highest_at,
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
