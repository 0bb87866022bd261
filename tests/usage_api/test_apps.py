"""GET /billing/v1/usage/apps: the ranking of a customer's own apps."""

from __future__ import annotations

import pytest

from tests.usage.factories import customer, ingest, line, model
from tests.usage_api.asking import asked, key_of, refused
from usage.models import UsageApp

pytestmark = pytest.mark.django_db

APPS = "/billing/v1/usage/apps"


@pytest.fixture
def secret() -> str:
    owner = customer()
    customer("another")
    model()
    ingest(
        line("a", app={"title": "Chat"}),
        line("b", app={"title": "Bot", "referer": "https://bot.example"}),
        line("c", app={"title": "Bot", "referer": "https://bot.example"}),
        line("d"),
        line("late", app={"title": "Chat"}, occurred_at="2026-11-01T00:00:00+09:00"),
        line("theirs", app={"title": "Theirs"}, customer="another"),
    )
    return key_of(owner)[0]


def test_the_most_expensive_app_stands_first(secret: str) -> None:
    pks = dict(UsageApp.objects.values_list("title", "pk"))
    one = {"requests": 1, "prompt_tokens": 100, "completion_tokens": 3, "cost_usd": "0.000345"}
    assert asked(secret, APPS, month="2026-10") == {
        "month": "2026-10",
        "rows": [
            {"rank": 1, "app": pks["Bot"], "app_title": "Bot", "app_referer": "https://bot.example"}
            | {"requests": 2, "prompt_tokens": 200, "completion_tokens": 6, "cost_usd": "0.00069"},
            {"rank": 2, "app": 0, "app_title": "", "app_referer": "", **one},
            {"rank": 3, "app": pks["Chat"], "app_title": "Chat", "app_referer": "", **one},
        ],
        "next_cursor": None,
    }
    assert asked(secret, APPS, month="2025-01")["rows"] == []


def test_pages_go_on_where_the_one_before_ended(secret: str) -> None:
    ranks: list[list[int]] = []
    cursor: dict[str, str] = {}
    while True:
        body = asked(secret, APPS, month="2026-10", limit="2", **cursor)
        ranks.append([row["rank"] for row in body["rows"]])
        if body["next_cursor"] is None:
            break
        cursor = {"cursor": body["next_cursor"]}
    assert ranks == [[1, 2], [3]]
    assert refused(secret, APPS, month="2026-11", **cursor) == (400, "invalid_input", "cursor")
    assert refused(secret, APPS, month="2026-13") == (400, "invalid_input", "month")
    assert refused(secret, APPS, app="1") == (400, "invalid_input", "app")
