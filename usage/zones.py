"""Days and hours of any time zone, as instants. Pure: what a clock shows comes from the tz database."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

_HOUR = timedelta(hours=1)
_QUARTER = timedelta(minutes=15)


def find_zone(name: str) -> ZoneInfo | None:
    """The zone of an IANA name ("Asia/Seoul", "UTC"), or None: neither offsets nor abbreviations of our own."""
    return ZoneInfo(name) if name in _names() else None


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    # "Factory" is the tz database's word for a clock that nobody has set.
    return frozenset(available_timezones() - {"Factory", "localtime"})


def days_between(first_on: date, last_on: date) -> list[date]:
    """Both included."""
    return [first_on + timedelta(days=number) for number in range((last_on - first_on).days + 1)]


def day_start(zone: ZoneInfo, day: date) -> datetime:
    """The instant (UTC) at which that day begins there, also where the clock skips or repeats the midnight."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def has_whole_hours(zone: ZoneInfo, first_on: date, last_on: date) -> bool:
    """Whether its clock differs from UTC by whole hours on all these days: then no hour of UTC lies in two of its hours."""
    days = days_between(first_on, last_on + timedelta(days=1))
    offsets = (day_start(zone, day).astimezone(zone).utcoffset() for day in days)
    return all(offset is not None and offset % _HOUR == timedelta() for offset in offsets)


def hour_starts(zone: ZoneInfo, start_at: datetime, end_at: datetime) -> list[datetime]:
    """The instants (UTC) in `[start_at, end_at)` at which its clock shows a whole hour, beginning with `start_at`.

    Offsets are whole quarters of an hour. Where a clock is turned by half an hour, an hour lasts as long as it shows it.
    """
    quarters = int((end_at - start_at) / _QUARTER)
    instants = (start_at + number * _QUARTER for number in range(quarters))
    starts = [instant for instant in instants if instant.astimezone(zone).minute == 0]
    return starts if starts[:1] == [start_at] else [start_at, *starts]
