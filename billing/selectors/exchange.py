"""Which published exchange rate holds for a day."""

from __future__ import annotations

from collections.abc import Iterable
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


class RateBook:
    """Published rates of some days, to ask which holds on a day."""

    def __init__(self, rates: Iterable[PublishedRate]) -> None:
        """`rates` in the order in which they were published; of several for one day the last counts."""
        self._by_day = {rate.rate_on: rate for rate in rates}

    def in_force(self, on: date) -> PublishedRate | None:
        """The rate last published on or before the day, at most 14 days back. None when there is none: whoever asks must
        refuse, never assume a rate.
        """
        for back in range(LOOKBACK_DAYS + 1):
            rate = self._by_day.get(on - timedelta(days=back))
            if rate is not None:
                return rate
        return None


def rate_book(first_on: date, last_on: date) -> RateBook:
    """The rates that may hold on the days from `first_on` to `last_on`, in one query."""
    rows = ExchangeRate.objects.filter(rate_on__range=(first_on - timedelta(days=LOOKBACK_DAYS), last_on))
    published = rows.order_by("rate_on", "pk").values_list("rate", "rate_on", "source")
    return RateBook(PublishedRate(rate, rate_on, source) for rate, rate_on, source in published)


def rate_in_force(*, on: date) -> PublishedRate | None:
    """The rate that holds on one day, or None."""
    return rate_book(on, on).in_force(on)


def newest_rate_for(day: date) -> ExchangeRate | None:
    """The row that counts for exactly this day, without looking back."""
    return ExchangeRate.objects.filter(rate_on=day).order_by("-pk").first()
