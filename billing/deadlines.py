"""When a month's tax invoice is dated and until when it may be issued (월합계, 부가가치세법 §34③).

The invoice of a month carries the last day of the month and may be issued until the 10th of the next one, moved to
the next business day over Saturdays, Sundays and public holidays. Temporary holidays (임시공휴일) are announced at
short notice, so the caller may add and remove days.
"""

from collections.abc import Collection
from datetime import date, timedelta
from functools import lru_cache

import holidays

from usage.periods import BillingMonth

_DEADLINE_DAY = 10
_SATURDAY = 5


def write_date_on(month: BillingMonth) -> date:
    """The 작성일자 of a month's tax invoice: its last day."""
    return month.last_on


def issue_deadline_on(
    month: BillingMonth,
    *,
    extra_holidays: Collection[date] = (),
    removed_holidays: Collection[date] = (),
) -> date:
    """The last day on which a month's tax invoice may be issued: the 10th of the next month, or the next business day.

    `extra_holidays` are days off that the calendar of the library does not know, `removed_holidays` days that it
    wrongly knows. A removed holiday that is a Saturday or Sunday still is no business day.
    """
    day = month.next().first_on.replace(day=_DEADLINE_DAY)
    while not _is_business_day(day, extra_holidays, removed_holidays):
        day += timedelta(days=1)
    return day


def _is_business_day(day: date, extra_holidays: Collection[date], removed_holidays: Collection[date]) -> bool:
    if day.weekday() >= _SATURDAY or day in extra_holidays:
        return False
    return day in removed_holidays or day not in _public_holidays(day.year)


@lru_cache(maxsize=64)
def _public_holidays(year: int) -> frozenset[date]:
    return frozenset(holidays.country_holidays("KR", years=year))
