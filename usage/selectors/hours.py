"""A customer's last hours."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import Sum

from accounts.models import Customer
from usage.models import UsageHour
from usage.models.rollups import SUMMED
from usage.selectors.sums import Consumption, consumption_of

_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class HourUsage:
    """One hour of a customer; `hour_at` (UTC) is when it begins."""

    hour_at: datetime
    total: Consumption


def last_hours(customer: Customer, count: int, *, now: datetime) -> list[HourUsage]:
    """The hour that contains `now` and those before it, `count` in all and in order, whether or not they have usage."""
    last = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    hours = [last - (count - 1 - number) * _HOUR for number in range(count)]
    rows = (
        UsageHour.objects.filter(customer=customer, hour_at__range=(hours[0], last))
        .order_by()
        .values_list("hour_at")
        .annotate(**{f"total_{name}": Sum(name) for name in SUMMED})
    )
    totals = {row[0]: consumption_of(row[1:]) for row in rows}
    return [HourUsage(hour_at, totals.get(hour_at, Consumption())) for hour_at in hours]
