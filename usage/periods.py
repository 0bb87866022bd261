"""Billing months in Korean time, and reading instants from text.

A billing month is `[1st 00:00, next 1st 00:00)` in Asia/Seoul, whatever the server's time zone is: in UTC it
begins at 15:00 on the last day of the month before.
"""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Self
from zoneinfo import ZoneInfo

KST = ZoneInfo("Asia/Seoul")

_MONTH = re.compile(r"([0-9]{4})-([0-9]{2})")
_INSTANT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)
#: Keeps the end of every month, and each of its instants in any zone, inside what datetime can hold.
_FIRST_YEAR, _LAST_YEAR = 2000, 9998


@dataclass(frozen=True, order=True)
class BillingMonth:
    """One calendar month in Korea. Raises ValueError for a month outside 1-12 or a year before 2000."""

    year: int
    month: int

    def __post_init__(self) -> None:
        if not (_FIRST_YEAR <= self.year <= _LAST_YEAR and 1 <= self.month <= 12):
            raise ValueError(f"month: no such billing month: {self.year:04d}-{self.month:02d}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """From "2026-10", ASCII digits only. Raises ValueError otherwise."""
        match = _MONTH.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ValueError(f"month: not a month written as YYYY-MM: {str(text)[:40]!r}")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def of(cls, instant: datetime) -> Self:
        """The Korean month that holds an aware instant. Raises ValueError for a naive one."""
        _require_aware(instant)
        local = instant.astimezone(KST)
        return cls(local.year, local.month)

    @property
    def first_on(self) -> date:
        """The first day, in Korea."""
        return date(self.year, self.month, 1)

    @property
    def last_on(self) -> date:
        """The last day, in Korea: the 작성일자 of the month's tax invoice."""
        return date(self.year, self.month, monthrange(self.year, self.month)[1])

    @property
    def start_at(self) -> datetime:
        """The first instant of the month, in UTC."""
        return datetime(self.year, self.month, 1, tzinfo=KST).astimezone(UTC)

    @property
    def end_at(self) -> datetime:
        """The first instant after the month, in UTC."""
        return datetime.combine(self.last_on + timedelta(days=1), time(), KST).astimezone(UTC)

    def next(self) -> Self:
        """The month after."""
        return type(self)(self.year + self.month // 12, self.month % 12 + 1)

    def previous(self) -> Self:
        """The month before."""
        return type(self)(self.year - (self.month == 1), (self.month - 2) % 12 + 1)

    def contains(self, instant: datetime) -> bool:
        """Whether an aware instant lies in the month. Raises ValueError for a naive one."""
        _require_aware(instant)
        return self.start_at <= instant < self.end_at

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"


def parse_instant(text: str, *, field: str) -> datetime:
    """The instant that an RFC 3339 text says, in UTC; digits beyond the microsecond are cut off.

    Raises ValueError that names `field`: no time zone, a day that does not exist, a leap second, digits that
    are not ASCII, or anything but text.
    """
    match = _INSTANT.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{field}: not an RFC 3339 time with a time zone: {str(text)[:60]!r}")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    microsecond = int((match[7] or "0")[:6].ljust(6, "0"))
    try:
        zone = _offset(match[8], match[9], match[10])
        return datetime(year, month, day, hour, minute, second, microsecond, tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{field}: no such time: {text!r} ({error})") from None


def _offset(sign: str | None, hours: str | None, minutes: str | None) -> timezone:
    """The zone of a numeric offset; UTC where the text said Z."""
    if sign is None or hours is None or minutes is None:
        return UTC
    if int(hours) > 23 or int(minutes) > 59:
        raise ValueError("offset out of range")
    distance = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(-distance if sign == "-" else distance)


def _require_aware(instant: datetime) -> None:
    if instant.utcoffset() is None:
        raise ValueError("instant: has no time zone")
