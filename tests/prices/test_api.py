"""POST /billing/v1/quote and GET /billing/v1/prices: exact strings, a customer's own terms, refusals by field."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from accounts.models import Customer
from accounts.services import create_api_key, create_customer
from billing.services.margins import set_margin
from catalog.models import Model
from catalog.services import announce_price, replay_prices
from tests.billing.factories import ACTOR
from tests.billing.month import DOLLAR, NOW, open_house
from tests.catalog.listings import entry, sync
from tests.prices.histories import REAL, day, per_token, real_snapshots
from tests.shared import shared_data

pytestmark = pytest.mark.django_db

QUOTE, PRICES = "/billing/v1/quote", "/billing/v1/prices"
AT = "2026-11-02T10:00:00+09:00"


def call(method: str, path: str, *, customer: Customer | None = None, body: Any = None, **query: str) -> Any:
    """(status, JSON); with an ingest key unless a customer is named."""
    secret = create_api_key(customer=customer, name="test", actor=ACTOR).secret
    client = Client(raise_request_exception=False)
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = client.generic(
        method,
        path,
        raw if method == "POST" else b"",
        "application/json",
        headers={"Authorization": f"Bearer {secret}"},
        query_params=query,
    )
    content_type = "application/json" if response.status_code == 200 else "application/problem+json"
    assert response["Content-Type"] == content_type
    return response.status_code, response.json()


def quote(customer: Customer | None = None, **changes: Any) -> Any:
    usage = {"prompt_tokens": DOLLAR, "completion_tokens": 0}
    body = {"model": "acme/dollar", "usage": usage, "dialect": "openai_chat", "at": AT} | changes
    return call("POST", QUOTE, customer=customer, body={k: v for k, v in body.items() if v is not None})


def price(model: str, at: str | None = None) -> Any:
    return call("GET", PRICES, model=model, **({} if at is None else {"at": at}))


def test_a_quote_is_strings_with_their_currency() -> None:
    open_house()
    assert quote() == (
        200,
        {
            "model": "acme/dollar",
            "at": "2026-11-02T01:00:00+00:00",
            "cost": {"amount": "1", "currency": "USD"},
            "supply": {"amount": "1647", "currency": "KRW"},
            "vat": {"amount": "165", "currency": "KRW"},
            "total": {"amount": "1812", "currency": "KRW"},
            "rate": "1400",
            "rate_source": "test 2026-10-30",
            "margin": "0.15",
            "basis": "catalog",
            "flags": [],
            "components": [
                {
                    "key": "prompt",
                    "quantity": 1_000_000,
                    "unit_price": {"amount": "0.000001", "currency": "USD"},
                    "amount": {"amount": "1", "currency": "USD"},
                }
            ],
        },
    )


def test_a_customers_key_is_quoted_by_its_contract() -> None:
    open_house()
    fixed = create_customer(
        slug="fixed",
        name="f",
        actor=ACTOR,
        exchange_rule="fixed",
        fixed_rate_krw_per_usd=Decimal(1234),
        rounding="down",
    )
    plain = create_customer(slug="plain", name="p", actor=ACTOR)
    set_margin(customer=fixed, margin=Decimal("0.2"), effective_from=date(2026, 1, 1), actor=ACTOR)

    _, own = quote(fixed)
    assert [own[name]["amount"] for name in ("supply", "vat", "total")] == ["1542", "154", "1696"]
    assert (own["rate"], own["rate_source"], own["margin"]) == ("1234", "contract", "0.2")
    _, others = quote(plain)
    assert [others[name]["amount"] for name in ("supply", "vat", "total")] == ["1647", "165", "1812"]
    _, given = quote(fixed, rate="1000")
    assert (given["supply"]["amount"], given["rate_source"]) == ("1250", "given")


@pytest.mark.parametrize(
    ("changes", "status", "code", "field"),
    [
        ({"model": "acme/router"}, 422, "variable_price", "model"),
        ({"model": "acme/none"}, 404, "unknown_model", "model"),
        ({"model": "a" * 10_000}, 404, "unknown_model", "model"),
        ({"model": "a\u0000b"}, 400, "invalid_input", "model"),
        ({"model": None}, 400, "invalid_input", "model"),
        ({"model": 7}, 400, "invalid_input", "model"),
        ({"dialect": None}, 400, "invalid_input", "dialect"),
        ({"dialect": "claude"}, 400, "invalid_input", "dialect"),
        ({"usage": None}, 400, "invalid_input", "usage"),
        ({"usage": []}, 400, "invalid_input", "usage"),
        ({"usage": {"prompt_tokens": -1, "completion_tokens": 0}}, 400, "invalid_input", "usage.prompt_tokens"),
        ({"usage": {"prompt_tokens": 1.5, "completion_tokens": 0}}, 400, "invalid_input", "usage.prompt_tokens"),
        ({"usage": {"prompt_tokens": "1,000", "completion_tokens": 0}}, 400, "invalid_input", "usage.prompt_tokens"),
        ({"usage": {"prompt_tokens": 1, "note": "x" * 300}}, 400, "invalid_input", "usage.note"),
        ({"at": "2026-11-02T10:00:00"}, 400, "invalid_input", "at"),
        ({"at": 7}, 400, "invalid_input", "at"),
        ({"at": "9999-12-31T23:59:59Z"}, 400, "invalid_input", "at"),
        ({"at": "0001-01-01T00:00:00Z"}, 400, "invalid_input", "at"),
        ({"at": "2025-12-31T23:59:59Z"}, 422, "unpriced", "model"),
        ({"at": "2030-01-01T00:00:00Z"}, 409, "no_exchange_rate", "rate"),
        ({"rate": "0"}, 400, "invalid_input", "rate"),
        ({"rate": "99.9999"}, 400, "invalid_input", "rate"),
        ({"rate": "-1400"}, 400, "invalid_input", "rate"),
        ({"rate": 1400}, 400, "invalid_input", "rate"),
        ({"margin": "0"}, 400, "invalid_input", "margin"),
    ],
)
def test_what_cannot_be_quoted_is_named(changes: dict[str, Any], status: int, code: str, field: str) -> None:
    open_house()
    answered, body = quote(**changes)
    assert (answered, body["code"], body["errors"][0]["field"]) == (status, code, field)
    assert "supply" not in body


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b" ", 400, "body"),
        (b"[]", 400, "body"),
        (b"\xff", 400, "body"),
        (b"[" * 30_000, 400, "body"),
        (b'{"model": "a", "model": "b"}', 400, "model"),
        (b'{"model": "a", "usage": {"prompt_tokens": NaN}}', 400, "usage.prompt_tokens"),
        (b'{"usage": {"prompt_tokens": ' + b"9" * 5_000 + b"}}", 400, "usage.prompt_tokens"),
    ],
)
def test_bodies_that_are_no_request(body: bytes, status: int, field: str) -> None:
    answered, problem = call("POST", QUOTE, body=body)
    assert (answered, problem["errors"][0]["field"]) == (status, field)


def test_a_body_has_its_size_and_type() -> None:
    assert call("POST", QUOTE, body=b" " * 65_537)[0] == 413
    secret = create_api_key(customer=None, name="test", actor=ACTOR).secret
    headers = {"Authorization": f"Bearer {secret}"}
    assert Client().post(QUOTE, "a=b", "application/x-www-form-urlencoded", headers=headers).status_code == 415


@pytest.mark.parametrize(("method", "path"), [("POST", QUOTE), ("GET", PRICES)])
def test_nobody_asks_without_a_key(method: str, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer sk-jeongsan-" + "x" * 32}):
        response = Client().generic(method, path, b"{}", "application/json", headers=headers)
        assert (response.status_code, response["Content-Type"]) == (401, "application/problem+json")


def test_a_price_of_the_past_and_the_announced_one() -> None:
    sync(entry("a/x", "0.00000008333333333333334"), entry("a/auto", "-1", "-1"))
    since = datetime(2099, 1, 1, tzinfo=UTC)
    announce_price(
        model=Model.objects.get(model_id="a/x"),
        components={"prompt": "0.0000001", "completion": "0.000015"},
        overrides=[{"min_prompt_tokens": 200_000, "prompt": "0.0000002"}],
        effective_from=since,
        actor=ACTOR,
        reason="letter",
        now=NOW,
    )

    assert price("a/x:nitro", "2026-11-02T00:00:00+09:00") == (
        200,
        {
            "model": "a/x",
            "at": "2026-11-01T15:00:00+00:00",
            "kind": "listed",
            "currency": "USD",
            "components": {"prompt": "0.00000008333333333333334", "completion": "0.000015"},
            "overrides": [],
            "effective_from": "2026-05-12T00:00:00+00:00",
            "effective_to": "2099-01-01T00:00:00+00:00",
            "source": "test",
        },
    )
    _, announced = price("a/x", "2099-01-01T00:00:00Z")
    assert (announced["components"]["prompt"], announced["overrides"], announced["effective_to"]) == (
        "0.0000001",
        [{"min_prompt_tokens": 200_000, "prompt": "0.0000002"}],
        None,
    )
    assert announced["source"] == "announcement"
    _, variable = price("a/auto")
    assert (variable["kind"], variable["components"]) == ("variable", {})


def test_the_real_history_is_asked_for_any_day() -> None:
    replay_prices(body=shared_data(REAL).read_bytes(), source=REAL, actor=ACTOR, now=NOW)
    prices = {at: listed for at, listed in real_snapshots() if "openai/gpt-4o" in listed}
    asked = [at for at in prices if at.month in {5, 10}]
    assert len(asked) >= 4
    for at in asked:
        prompt, completion = prices[at]["openai/gpt-4o"]
        _, answer = price("openai/gpt-4o", at.isoformat())
        assert answer["components"] == {"prompt": per_token(prompt), "completion": per_token(completion)}
        assert answer["source"] == f"price history: {REAL}"
    first = min(prices)
    status, problem = price("openai/gpt-4o", day("2023-07-26").isoformat())
    assert (status, problem["code"], first > day("2023-07-26")) == (404, "no_price_then", True)


@pytest.mark.parametrize(
    ("query", "status", "code", "field"),
    [
        ({}, 400, "invalid_input", "model"),
        ({"model": ""}, 400, "invalid_input", "model"),
        ({"model": "a/none"}, 404, "unknown_model", "model"),
        ({"model": "a\u0000b"}, 404, "unknown_model", "model"),
        ({"model": "a/x", "at": "yesterday"}, 400, "invalid_input", "at"),
        ({"model": "a/x", "at": ""}, 400, "invalid_input", "at"),
        ({"model": "a/x", "at": "0001-01-01T00:00:00Z"}, 404, "no_price_then", "at"),
    ],
)
def test_what_has_no_price_is_named(query: dict[str, str], status: int, code: str, field: str) -> None:
    sync(entry("a/x"))
    answered, problem = call("GET", PRICES, **query)
    assert (answered, problem["code"], problem["errors"][0]["field"]) == (status, code, field)
