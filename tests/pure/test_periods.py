"""Korean billing months and instants read from text."""

import os
import time
from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage.periods import KST, BillingMonth, parse_instant

months = st.builds(BillingMonth, st.integers(min_value=2000, max_value=2200), st.integers(min_value=1, max_value=12))


def test_a_month_begins_at_midnight_in_korea() -> None:
    month = BillingMonth.parse("2026-10")
    assert month == BillingMonth(2026, 10)
    assert month.first_on == date(2026, 10, 1)
    assert month.last_on == date(2026, 10, 31)
    assert month.start_at == datetime(2026, 9, 30, 15, tzinfo=UTC)
    assert month.end_at == datetime(2026, 10, 31, 15, tzinfo=UTC)
    assert month.start_at.tzinfo is UTC
    assert str(month) == "2026-10"


@pytest.mark.parametrize(
    ("text", "last_on", "before", "after"),
    [
        ("2024-02", date(2024, 2, 29), "2024-01", "2024-03"),
        ("2026-02", date(2026, 2, 28), "2026-01", "2026-03"),
        ("2026-12", date(2026, 12, 31), "2026-11", "2027-01"),
        ("2027-01", date(2027, 1, 31), "2026-12", "2027-02"),
    ],
)
def test_neighbours(text: str, last_on: date, before: str, after: str) -> None:
    month = BillingMonth.parse(text)
    assert month.last_on == last_on
    assert str(month.previous()) == before
    assert str(month.next()) == after


def test_the_last_month_of_all_has_an_end() -> None:
    month = BillingMonth.parse("9998-12")
    assert (month.last_on, month.end_at) == (date(9998, 12, 31), datetime(9998, 12, 31, 15, tzinfo=UTC))


def test_the_last_microsecond_is_inside_and_the_next_month_is_not() -> None:
    month = BillingMonth(2026, 10)
    assert month.contains(datetime(2026, 9, 30, 15, tzinfo=UTC))
    assert not month.contains(datetime(2026, 9, 30, 14, 59, 59, 999999, tzinfo=UTC))
    assert month.contains(datetime(2026, 10, 31, 23, 59, 59, 999999, tzinfo=KST))
    assert not month.contains(datetime(2026, 11, 1, tzinfo=KST))
    assert BillingMonth.of(datetime(2026, 9, 30, 15, tzinfo=UTC)) == month
    assert BillingMonth.of(datetime(2026, 9, 30, 14, 59, 59, tzinfo=UTC)) == BillingMonth(2026, 9)
    assert BillingMonth.of(datetime(2026, 9, 30, 8, tzinfo=ZoneInfo("America/Los_Angeles"))) == month


def test_an_instant_without_time_zone_is_in_no_month() -> None:
    naive = datetime(2026, 10, 1)  # noqa: DTZ001
    with pytest.raises(ValueError, match="no time zone"):
        BillingMonth.of(naive)
    with pytest.raises(ValueError, match="no time zone"):
        BillingMonth(2026, 10).contains(naive)


def test_the_time_zone_of_the_server_changes_nothing() -> None:
    before = os.environ.get("TZ")
    try:
        for zone in ("America/New_York", "Asia/Seoul", "UTC"):
            os.environ["TZ"] = zone
            time.tzset()
            assert BillingMonth(2026, 3).start_at == datetime(2026, 2, 28, 15, tzinfo=UTC)
            assert parse_instant("2026-03-01T00:00:00+09:00", field="at") == datetime(2026, 2, 28, 15, tzinfo=UTC)
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()


@given(months)
def test_months_follow_one_another_without_gap(month: BillingMonth) -> None:
    assert month.next().previous() == month
    assert month.end_at == month.next().start_at
    assert month < month.next()
    assert BillingMonth.parse(str(month)) == month
    assert BillingMonth.of(month.start_at) == month
    assert BillingMonth.of(month.end_at - timedelta(microseconds=1)) == month
    assert (month.end_at - month.start_at).days == month.last_on.day


@pytest.mark.parametrize(
    "text",
    [
        "2026-13",
        "2026-00",
        "2026-1",
        "2026/10",
        "202610",
        "2026-10-01",
        " 2026-10",
        "２０２６-10",
        "1999-12",
        "9999-12",
        "",
        "-2026-10",
        None,
        202610,
    ],
)
def test_what_is_no_month_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"^month: "):
        BillingMonth.parse(text)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-10-31T23:59:59+09:00", datetime(2026, 10, 31, 14, 59, 59, tzinfo=UTC)),
        ("2026-10-31T14:59:59Z", datetime(2026, 10, 31, 14, 59, 59, tzinfo=UTC)),
        ("2026-10-31t14:59:59z", datetime(2026, 10, 31, 14, 59, 59, tzinfo=UTC)),
        ("2026-10-31T14:59:59.5Z", datetime(2026, 10, 31, 14, 59, 59, 500000, tzinfo=UTC)),
        ("2026-10-31T14:59:59.123456Z", datetime(2026, 10, 31, 14, 59, 59, 123456, tzinfo=UTC)),
        ("2026-10-31T14:59:59.999999999Z", datetime(2026, 10, 31, 14, 59, 59, 999999, tzinfo=UTC)),
        ("2026-10-31T09:29:59-05:30", datetime(2026, 10, 31, 14, 59, 59, tzinfo=UTC)),
        ("2024-02-29T00:00:00-00:00", datetime(2024, 2, 29, tzinfo=UTC)),
    ],
)
def test_instants_come_out_in_utc(text: str, instant: datetime) -> None:
    parsed = parse_instant(text, field="occurred_at")
    assert parsed == instant
    assert parsed.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-30T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-10-31T24:00:00Z",
        "2026-12-31T23:59:60Z",
        "2026-10-31T14:60:00Z",
        "2026-10-31T14:59:59",
        "2026-10-31T14:59Z",
        "2026-10-31 14:59:59Z",
        "2026-10-31",
        "2026-10-31T14:59:59+9:00",
        "2026-10-31T14:59:59+0900",
        "2026-10-31T14:59:59+24:00",
        "2026-10-31T14:59:59+09:60",
        "2026-10-31T14:59:59 KST",
        "2026-10-31T14:59:59.Z",
        "2026-10-31T14:59:59.1234567890Z",
        "２０２６-10-31T14:59:59Z",
        "2026-10-31T14:59:59Z\n",
        "0001-01-01T00:00:00+09:00",
        "9999-12-31T23:59:59-01:00",
        "0000-01-01T00:00:00Z",
        "",
        "now",
        None,
        1761922799,
        datetime(2026, 10, 31, tzinfo=timezone(timedelta(hours=9))),
    ],
)
def test_what_is_no_instant_is_refused_with_the_name_of_the_field(text: object) -> None:
    with pytest.raises(ValueError, match=r"^occurred_at: "):
        parse_instant(text, field="occurred_at")  # type: ignore[arg-type]


offsets = st.integers(min_value=-23 * 60, max_value=23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=offsets))  # noqa: DTZ001
def test_what_python_writes_is_read_back(instant: datetime) -> None:
    assert parse_instant(instant.isoformat(), field="at") == instant
