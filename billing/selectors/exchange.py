"""Which published exchange rate holds for a day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from billing.models import ExchangeRate

#: The longest Korean holidays close the market for ten days; a rate older than this says that nobody entered new ones.
LOOKBACK_DAYS = 14


@dataclass(frozen=True, slots=True)
class PublishedRate:
    """Won per one USD, the day it was published for (고시일) and who published it."""

    rate: Decimal
    rate_on: date
    source: str


def rate_in_force(*, on: date) -> PublishedRate | None:
    """The rate last published on or before the day, at most 14 days back; of several for one day the newest row.

    None when there is none: whoever asks must refuse, never assume a rate.
    """
    row = (
        ExchangeRate.objects.filter(rate_on__lte=on, rate_on__gte=on - timedelta(days=LOOKBACK_DAYS))
        .order_by("-rate_on", "-pk")
        .first()
    )
    return PublishedRate(row.rate, row.rate_on, row.source) if row is not None else None


def newest_rate_for(day: date) -> ExchangeRate | None:
    """The row that counts for exactly this day, without looking back."""
    return ExchangeRate.objects.filter(rate_on=day).order_by("-pk").first()
