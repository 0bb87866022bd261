"""Sums on any clock equal what the single events add up to, also where hours of UTC lie in two days."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from accounts.models import Customer
from tests.usage.factories import MODEL, OCTOBER, SEPTEMBER, close_period, customer, ingest, line, model
from tests.usage_api.asking import asked, key_of, refused
from usage.models import UsageApp, UsageEvent
from usage.services.archiving import archive_month
from usage.services.rerating import rate_quarantined
from usage.zones import day_start, find_zone, has_whole_hours, hour_starts

pytestmark = pytest.mark.django_db

USAGE = "/billing/v1/usage"
ZONES = (
    "Asia/Seoul",
    "UTC",
    "America/New_York",  # its clock goes back on 1 November
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "America/St_Johns",
    "Australia/Lord_Howe",  # its clock goes forward by half an hour on 4 October
)


@pytest.fixture
def secret() -> str:
    """Events every seven hours and some minutes of October, in two models, three apps, one of them priced late."""
    owner = customer()
    model()
    model("x/two", {"prompt": "0.000001", "completion": "0.000001"})
    apps: tuple[dict[str, Any], ...] = (
        {},
        {"app": {"title": "Chat", "referer": "https://chat.example.com"}},
        {"app": {"title": "Bot"}},
    )
    first = datetime(2026, 9, 30, 3, 29, 59, tzinfo=UTC)
    lines = []
    for number in range(100):
        at = (first + number * timedelta(hours=7, minutes=13, seconds=7)).isoformat()
        name = (MODEL, "x/two", "x/late")[number % 3]
        lines.append(line(f"e{number}", occurred_at=at, model=name, **apps[number % 7 % 3]))
    ingest(*lines)
    model("x/late")
    rate_quarantined(actor="tests", now=datetime(2026, 11, 21, tzinfo=UTC))
    return key_of(owner)[0]


def place_of(event: UsageEvent, name: str, zone: ZoneInfo) -> Any:
    local = event.occurred_at.astimezone(zone)
    if name == "hour":
        return local.replace(minute=0, second=0, microsecond=0)
    if name == "app":
        return event.app_title
    return {"day": f"{local:%Y-%m-%d}", "month": f"{local:%Y-%m}", "model": event.served_model}[name]


def shown(row: dict[str, Any], name: str) -> Any:
    if name == "hour":
        return datetime.fromisoformat(row["hour"])
    return row["app_title"] if name == "app" else row[name]


def every_row(secret: str, **query: str) -> list[dict[str, Any]]:
    """All pages."""
    rows: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        body = asked(secret, USAGE, **query, **cursor)
        rows += body["rows"]
        if body["next_cursor"] is None:
            return rows
        cursor = {"cursor": body["next_cursor"]}


@pytest.mark.parametrize("tz", ZONES)
def test_every_grouping_equals_the_events_on_that_clock(secret: str, tz: str) -> None:
    zone = ZoneInfo(tz)
    events = [
        event
        for event in UsageEvent.objects.all()
        if "2026-10-02" <= f"{event.occurred_at.astimezone(zone):%Y-%m-%d}" <= "2026-10-31"
    ]
    times, things = ("hour", "day", "month"), ("model", "app")
    for by in [*((name,) for name in times + things), *product(times, things), *product(things, times)]:
        rows = every_row(secret, tz=tz, group_by=",".join(by), limit="50", **{"from": "2026-10-02", "to": "2026-10-31"})
        expected = Counter(tuple(place_of(event, name, zone) for name in by) for event in events)
        assert Counter({tuple(shown(row, name) for name in by): row["requests"] for row in rows}) == expected
        assert len(rows) == len(expected)


def test_hours_stand_on_the_clock_that_was_asked_for(secret: str) -> None:
    span = {"from": "2026-10-04", "to": "2026-10-04", "group_by": "hour"}
    assert [row["hour"] for row in every_row(secret, **span)][:2] == [
        "2026-10-04T03:00:00+09:00",
        "2026-10-04T10:00:00+09:00",
    ]
    assert every_row(secret, tz="Asia/Kathmandu", **span)[0]["hour"].endswith("+05:45")


def test_what_a_month_bills_is_the_same_on_every_clock(secret: str) -> None:
    close_period(Customer.objects.get(), OCTOBER)
    ingest(line("later", occurred_at="2026-10-31T23:59:59+09:00"), line("now", occurred_at="2026-11-01T00:00:00+09:00"))
    for tz, by in product(("Asia/Seoul", "UTC", "America/New_York"), ("hour", "day", "month", "app", "model")):
        assert asked(secret, USAGE, billing_month="2026-11", tz=tz)["total"]["requests"] == 2
        rows = every_row(secret, billing_month="2026-11", tz=tz, group_by=by)
        assert sum(row["requests"] for row in rows) == 2
    days = every_row(secret, billing_month="2026-11", tz="UTC", group_by="day")
    assert [(row["day"], row["requests"]) for row in days] == [("2026-10-31", 2)]
    assert asked(secret, USAGE, billing_month="2030-01", tz="UTC")["rows"] == []


@pytest.mark.django_db(transaction=True)
def test_an_archived_month_has_its_sums_on_every_clock_but_those_of_half_hours(secret: str, tmp_path: Path) -> None:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    for month in (SEPTEMBER, OCTOBER):
        close_period(Customer.objects.get(), month)
    archive_month(month=OCTOBER, directory=tmp_path, actor="tests", clock=lambda: now)
    span = {"from": "2026-10-05", "to": "2026-10-09"}
    assert asked(secret, USAGE, **span)["total"]["requests"] > 10
    assert asked(secret, USAGE, tz="UTC", group_by="hour,app", **span)["total"]["requests"] > 10
    assert refused(secret, USAGE, tz="Asia/Kolkata", **span)[:2] == (410, "events_archived")


def test_apps_are_filtered_by_number(secret: str) -> None:
    chat, october = UsageApp.objects.get(title="Chat"), {"month": "2026-10"}
    rows = every_row(secret, group_by="app", **october)
    assert [(row["app"], row["app_title"], row["app_referer"]) for row in rows][:1] == [(0, "", "")]
    found = {row["app"]: row["requests"] for row in rows}
    assert asked(secret, USAGE, app=str(chat.pk), **october)["total"]["requests"] == found[chat.pk]
    assert asked(secret, USAGE, app="0", **october)["total"]["requests"] == found[0]
    foreign = key_of(customer("another"))[0]
    assert refused(foreign, USAGE, app=str(chat.pk)) == (404, "not_found", "app")


def test_a_cursor_of_another_clock_or_grouping_is_none(secret: str) -> None:
    cursor = asked(secret, USAGE, month="2026-10", limit="1")["next_cursor"]
    assert refused(secret, USAGE, month="2026-10", cursor=cursor, tz="UTC") == (400, "invalid_input", "cursor")
    assert refused(secret, USAGE, month="2026-10", cursor=cursor, group_by="hour") == (400, "invalid_input", "cursor")


def test_midnights_that_a_clock_skips_or_repeats() -> None:
    beirut, havana = ZoneInfo("Asia/Beirut"), ZoneInfo("America/Havana")
    assert day_start(beirut, date(2024, 3, 31)) == datetime(2024, 3, 30, 22, tzinfo=UTC)
    assert day_start(havana, date(2024, 11, 3)) == datetime(2024, 11, 3, 4, tzinfo=UTC)
    assert find_zone("Asia/Seoul") == ZoneInfo("Asia/Seoul")
    assert find_zone("Factory") is find_zone("asia/seoul") is find_zone("") is None


def test_whole_hours_and_the_others() -> None:
    october = date(2026, 10, 1), date(2026, 10, 31)
    assert [name for name in ZONES if has_whole_hours(ZoneInfo(name), *october)] == list(ZONES[:3])
    lord_howe = ZoneInfo("Australia/Lord_Howe")
    assert has_whole_hours(lord_howe, date(2026, 11, 1), date(2026, 11, 30))
    start = day_start(lord_howe, date(2026, 10, 4))
    starts = hour_starts(lord_howe, start, start + timedelta(hours=5))
    assert [f"{one.astimezone(lord_howe):%H:%M}" for one in starts] == ["00:00", "01:00", "03:00", "04:00", "05:00"]
