"""앱별 and the last hours: what a customer's own apps used, and when."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from tests.portal.factories import Cast, make_usage, this_month
from tests.portal.test_dashboard import page
from tests.portal.test_usage import cells
from usage.periods import KST
from usage.services import attribution
from usage.services.ingesting import Status, ingest_events

pytestmark = pytest.mark.django_db


def call(event_id: str, title: str = "", referer: str = "", prompt: int = 1_000_000) -> None:
    """A call of acme's at USD 1 a million tokens, at the beginning of last month, when acme's cast spent USD 2 more."""
    event = {
        "id": event_id,
        "customer": "acme",
        "model": "openai/gpt-5-mini",
        "occurred_at": this_month().previous().start_at.isoformat(),
        "dialect": "openai_chat",
        "usage": {"prompt_tokens": prompt, "completion_tokens": 0, "total_tokens": prompt},
        "app": {"title": title, "referer": referer},
    }
    [result] = ingest_events(lines=[json.dumps(event).encode()], now=timezone.now(), actor="tests")
    assert result.status is Status.ACCEPTED


def ranking(text: str) -> list[list[str]]:
    """Rows of the table of apps: name and cost."""
    table = re.search(r'id="by-app".*?</table>', text)
    assert table
    return [[row[0], row[1], row[-1]] for row in cells(table[0])[1:]]


def test_apps_stand_in_the_order_of_their_cost(cast: Cast, acme: Client) -> None:
    call("a", "Chat", "https://chat.example.com")
    call("b", "Chat", "https://chat.example.com")
    call("c", "Chat", prompt=3_000_000)
    call("d", "", "https://bot.example.com", prompt=500_000)
    call("e", "<b>=1+1</b>", prompt=1)
    text = page(acme, f"/c/acme/usage/?month={this_month().previous()}")
    assert ranking(text) == [
        ["Chat", "1", "3.000000"],
        ["Chat https://chat.example.com", "2", "2.000000"],
        ["앱 이름이 없는 호출", "1", "2.000000"],
        ["https://bot.example.com", "1", "0.500000"],
        ["&lt;b&gt;=1+1&lt;/b&gt;", "1", "0.000001"],
        ["합계", "6", "7.500001"],
    ]


def test_beyond_twenty_and_beyond_the_limit_there_is_one_row(
    cast: Cast, acme: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attribution, "MAX_APPS", 22)
    for number in range(24):
        call(f"a{number}", f"App {number:02}", prompt=(30 - number) * 100_000)
    names = [row[0] for row in ranking(page(acme, f"/c/acme/usage/?month={this_month().previous()}"))]
    first, second, third = (
        [f"App {number:02}" for number in numbers] for numbers in (range(10), range(10, 15), range(15, 18))
    )
    # Equal costs stand in the order of their requests, then of their age.
    assert names == [*first, "앱 이름이 없는 호출", *second, "그 밖의 모든 앱", *third, "그 외 앱 4개", "합계"]


def test_the_last_48_hours_are_drawn_and_tabled(cast: Cast, acme: Client) -> None:
    now = timezone.now()
    make_usage(customer=cast.acme.customer, event_id="hour-now", occurred_at=now)
    make_usage(customer=cast.acme.customer, event_id="hour-then", occurred_at=now - timedelta(hours=30))
    make_usage(customer=cast.acme.customer, event_id="hour-before", occurred_at=now - timedelta(hours=49))
    section = re.search(r'aria-labelledby="hourly">.*?</section>', page(acme))
    assert section
    rows = cells(section[0])[1:]
    hour = now.replace(minute=0, second=0, microsecond=0).astimezone(KST)
    expected = [
        [f"{hour - timedelta(hours=30):%Y-%m-%d %H:%M} KST", "1", "$2.00"],
        [f"{hour:%Y-%m-%d %H:%M} KST", "1", "$2.00"],
    ]
    assert [row for row in rows if row in expected] == expected
    assert section[0].count("<rect ") == len(rows)
    assert "최근 48시간 시간대별 사용액." in section[0]
