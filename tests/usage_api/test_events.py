"""GET /billing/v1/usage/events: a customer's own events, each with arithmetic that leads to its cost."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from accounts.models import Customer
from accounts.services import create_api_key
from catalog.pricing import CostComponent
from tests.usage.factories import ACTOR, MODEL, NOW, OCTOBER, SEPTEMBER, close_period, customer, ingest, line, model
from tests.usage_api.asking import asked, get, key_of, refused
from usage.api.events import arithmetic_text
from usage.models import QuarantinedEvent, UsageApp
from usage.services import attribution
from usage.services.quarantine import exclude_quarantined
from usage.services.rerating import rate_quarantined

pytestmark = pytest.mark.django_db

EVENTS = "/billing/v1/usage/events"
FULL = {
    "prompt_tokens": 12_345,
    "completion_tokens": 1_000,
    "total_tokens": 13_345,
    "prompt_tokens_details": {"cached_tokens": 2_000},
    "cost": 0.0123,
}


@pytest.fixture
def hanbit() -> Customer:
    model()
    customer("gaon")
    return customer()


@pytest.fixture
def secret(hanbit: Customer) -> str:
    return key_of(hanbit)[0]


def ids(body: dict[str, Any]) -> list[str]:
    return [row["id"] for row in body["rows"]]


def test_an_event_with_its_arithmetic_and_nothing_of_the_upstreams_charge(hanbit: Customer, secret: str) -> None:
    _, prefix = key_of(hanbit, "robot")
    app = {"title": "Help desk", "referer": "https://desk.example"}
    ingest(line("gen-7", dialect="openrouter", usage=FULL, api_key=prefix, requested_model="auto", app=app))

    body = asked(secret, EVENTS, id="gen-7")

    assert body == {
        "rows": [
            {
                "id": "gen-7",
                "occurred_at": "2026-10-05T03:00:00Z",
                "billing_month": "2026-10",
                "status": "priced",
                "requested_model": "auto",
                "served_model": MODEL,
                "model": MODEL,
                "api_key": prefix,
                "prompt_tokens": 12_345,
                "completion_tokens": 1_000,
                "cache_read_tokens": 2_000,
                "cache_write_tokens": 0,
                "cache_write_1h_tokens": 0,
                "reasoning_tokens": 0,
                "audio_input_tokens": 0,
                "audio_output_tokens": 0,
                "image_output_tokens": 0,
                "images": 0,
                "web_searches": 0,
                "flags": [],
                "app": UsageApp.objects.get().pk,
                "app_title": "Help desk",
                "app_referer": "https://desk.example",
                "cost_usd": "0.046635",
                "components": [
                    {"key": "prompt", "quantity": 10_345, "unit_price_usd": "0.000003", "amount_usd": "0.031035"}
                    | {"text": "10,345 tok x $3.00/M"},
                    {"key": "input_cache_read", "quantity": 2_000, "unit_price_usd": "0.0000003"}
                    | {"amount_usd": "0.0006", "text": "2,000 tok x $0.30/M"},
                    {"key": "completion", "quantity": 1_000, "unit_price_usd": "0.000015", "amount_usd": "0.015"}
                    | {"text": "1,000 tok x $15.00/M"},
                ],
                "quarantine": None,
                "exclusion": None,
            }
        ],
        "next_cursor": None,
    }
    assert "0.0123" not in str(body)


def test_a_tier_of_long_prompts_is_the_one_that_is_shown(hanbit: Customer, secret: str) -> None:
    model("a/tiered", overrides=[{"min_prompt_tokens": 99, "prompt": "0.0000021"}])
    ingest(line("long", model="a/tiered"))
    [row] = asked(secret, EVENTS, id="long")["rows"]
    assert [one["text"] for one in row["components"]] == ["100 tok x $2.10/M", "3 tok x $15.00/M"]
    assert row["cost_usd"] == "0.000255"
    assert sum(Decimal(one["amount_usd"]) for one in row["components"]) == Decimal(row["cost_usd"])


@pytest.mark.parametrize(
    ("key", "quantity", "price", "text"),
    [
        ("prompt", 12_345, "0.0000025", "12,345 tok x $2.50/M"),
        ("prompt", 1, "0.00000008333333333333334", "1 tok x $0.08333333333333334/M"),
        ("completion", 5, "0.0015", "5 tok x $1,500.00/M"),
        ("completion", 5, "0", "5 tok x $0.00/M"),
        ("web_search", 3, "0.01", "3 search x $0.01"),
        ("image", 1, "0.001", "1 image x $0.001"),
        ("request", 1, "0.1", "1 request x $0.10"),
    ],
)
def test_arithmetic_in_words(key: str, quantity: int, price: str, text: str) -> None:
    assert arithmetic_text(CostComponent(key, quantity, Decimal(price), Decimal(price) * quantity)) == text


def test_what_was_decided_later_is_told(hanbit: Customer, secret: str) -> None:
    ingest(line("good"), line("held", model="x/new"), line("waiting", model="x/never"), line("out", model="x/never"))
    price = model("x/new")
    rate_quarantined(actor=ACTOR, now=NOW)
    held = QuarantinedEvent.objects.get(event_id="out")
    exclude_quarantined(event=held, actor=ACTOR, reason="a test of the upstream's", now=NOW)

    rows = {row["id"]: row for row in asked(secret, EVENTS, month="2026-10")["rows"]}

    assert {event_id: (row["status"], row["model"], row["cost_usd"]) for event_id, row in rows.items()} == {
        "good": ("priced", MODEL, "0.000345"),
        "held": ("priced", price.model.model_id, "0.000345"),
        "waiting": ("quarantined", None, None),
        "out": ("excluded", None, None),
    }
    assert rows["waiting"]["quarantine"] == {"code": "unknown_model", "detail": "no model is called x/never"}
    assert [len(rows[name]["components"] or ()) for name in ("good", "held", "waiting")] == [2, 2, 0]
    for status, expected in {"priced": ["held", "good"], "quarantined": ["waiting"], "excluded": ["out"]}.items():
        assert ids(asked(secret, EVENTS, month="2026-10", status=status)) == expected
    assert ids(asked(secret, EVENTS, month="2026-10", model="x/new")) == ["held"]
    assert ids(asked(secret, EVENTS, month="2026-10", model=MODEL)) == ["good"]


def test_time_keys_and_billing_month(hanbit: Customer, secret: str) -> None:
    _, prefix = key_of(hanbit, "robot")
    close_period(hanbit, SEPTEMBER)
    ingest(
        line("late", occurred_at="2026-09-30T23:59:59+09:00"),
        line("first", occurred_at="2026-10-01T00:00:00+09:00"),
        line("keyed", occurred_at="2026-10-31T23:59:59+09:00", api_key=prefix),
        line("next", occurred_at="2026-11-01T00:00:00+09:00"),
    )
    assert ids(asked(secret, EVENTS, month=str(OCTOBER))) == ["keyed", "first"]
    assert ids(asked(secret, EVENTS, billing_month=str(OCTOBER))) == ["keyed", "first", "late"]
    assert ids(asked(secret, EVENTS, month=str(OCTOBER), api_key=prefix)) == ["keyed"]
    span = {"from": "2026-09-30T14:59:59Z", "to": "2026-09-30T15:00:00Z"}
    assert ids(asked(secret, EVENTS, **span)) == ["late"]


def test_events_of_an_app_of_none_and_of_all_others(
    hanbit: Customer, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attribution, "MAX_APPS", 2)
    names = {
        "a": ("Chat", ""),
        "b": ("Chat", "https://b.example"),
        "c": ("Third", ""),
        "d": ("Fourth", ""),
        "e": ("", ""),
    }
    for name, (title, referer) in names.items():
        ingest(line(name, app={"title": title, "referer": referer}))
    apps = {(app.title, app.referer): str(app.pk) for app in UsageApp.objects.all()}
    found = {app: ids(asked(secret, EVENTS, month=str(OCTOBER), app=pk)) for app, pk in apps.items()}
    assert found == {("Chat", ""): ["a"], ("Chat", "https://b.example"): ["b"], ("(others)", ""): ["d", "c"]}
    assert ids(asked(secret, EVENTS, month=str(OCTOBER), app="0")) == ["e"]
    rows = asked(secret, EVENTS, month=str(OCTOBER))["rows"]
    assert [str(row["app"]) for row in rows] == [
        "0",
        apps["(others)", ""],
        apps["(others)", ""],
        *list(apps.values())[1::-1],
    ]
    customer("another")
    ingest(line("f", customer="another", app={"title": "Chat"}))
    foreign = str(UsageApp.objects.get(customer__slug="another").pk)
    assert refused(secret, EVENTS, app=foreign) == (404, "not_found", "app")


def test_pages_by_time_and_id_hold_every_event_once(hanbit: Customer, secret: str) -> None:
    ingest(*(line(f"gen-{number}", occurred_at=f"2026-10-05T12:00:0{number // 3}Z") for number in range(8)))
    pages, cursor = [], {}
    while True:
        body = asked(secret, EVENTS, month="2026-10", limit="3", **cursor)
        pages.append(ids(body))
        if body["next_cursor"] is None:
            break
        cursor = {"cursor": body["next_cursor"]}
    assert pages == [["gen-7", "gen-6", "gen-5"], ["gen-4", "gen-3", "gen-2"], ["gen-1", "gen-0"]]


def test_others_events_and_keys_are_not_there(hanbit: Customer, secret: str) -> None:
    ingest(line("theirs", customer="gaon"))
    foreign = key_of(Customer.objects.get(slug="gaon"))[1]
    assert refused(secret, EVENTS, id="theirs") == (404, "not_found", "id")
    assert refused(secret, EVENTS, id="nothing") == (404, "not_found", "id")
    assert refused(secret, EVENTS, api_key=foreign) == (404, "not_found", "api_key")
    assert asked(secret, EVENTS, month="2026-10") == {"rows": [], "next_cursor": None}


def test_an_ingest_key_hands_in_and_a_customers_key_reads(hanbit: Customer, secret: str) -> None:
    ingest_key = create_api_key(customer=None, name="ingest", actor=ACTOR).secret
    assert refused(ingest_key, EVENTS)[:2] == (403, "permission_denied")
    assert get(secret, EVENTS).status_code == 200


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"status": "open"}, "status"),
        ({"id": "x", "month": "2026-10"}, "id"),
        ({"from": "2026-10-01"}, "from"),
        ({"to": "2026-10-01T00:00:00Z"}, "from"),
        ({"from": "2026-10-01T00:00:00Z", "to": "2026-10-01T00:00:00Z"}, "to"),
        ({"from": "2026-10-01T00:00:00Z", "billing_month": "2026-10"}, "from"),
        ({"month": "2026-1"}, "month"),
        ({"cursor": "WyJ4IiwgInkiXQ"}, "cursor"),
        ({"cursor": "W10"}, "cursor"),
        ({"limit": "-1"}, "limit"),
        ({"id": "a\0"}, "id"),
        ({"group_by": "day"}, "group_by"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(secret: str, params: dict[str, str], field: str) -> None:
    assert refused(secret, EVENTS, **params) == (400, "invalid_input", field)
