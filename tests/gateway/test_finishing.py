"""The shortcut of a settlement beside its rule: the same rows, to the last column, and nothing where anything is odd."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from catalog.models import Price
from gateway.calls import Attempt, Settled
from gateway.services.settling import settle_calls
from tests.gateway.money import (
    COMPONENTS,
    MODEL,
    NOW,
    admitted,
    caller,
    finish_calls,
    held_and_unbilled,
    limit_key,
    outcome,
    settle,
    shop,
    usage,
)
from tests.usage.factories import line, model, violations
from usage.models import UsageEvent
from usage.services.attribution import app_ids
from usage.services.ingesting import ingest_events
from usage.services.rating import current_catalog

pytestmark = pytest.mark.django_db

SETTLED_AT = NOW + timedelta(seconds=3)


def rows() -> dict[str, Any]:
    """What a settlement writes, without what numbers it."""
    found = {}
    with connection.cursor() as cursor:
        for table, order in (
            ("gateway_call", "call_id"),
            ("gateway_callattempt", "call_id, number"),
            ("gateway_keymeter", "api_key_id"),
            ("billing_spendingaccount", "customer_id"),
            ("usage_event", "event_id"),
            ("usage_event_alias", "event_id"),
            ("usage_usagerollup", "customer_id, model_id, app_id"),
            ("usage_usagehour", "customer_id, model_id, app_id"),
        ):
            cursor.execute(f"SELECT to_jsonb(kept) - 'id' - 'seq' FROM {table} AS kept ORDER BY {order}")
            found[table] = cursor.fetchall()
    return found


def settled_by(settlement: Callable[[], list[Settled] | None]) -> tuple[list[Settled] | None, dict[str, Any]]:
    """Answers and rows of a settlement that leaves nothing behind."""
    with transaction.atomic():
        answers = settlement()
        assert violations() == []
        kept = rows()
        transaction.set_rollback(True)
    return answers, kept


def test_one_statement_leaves_what_several_leave() -> None:
    shop()
    model("openai/embedder", {"prompt": "0.0001", "completion": "0.0002"})
    first, second = caller("first", limit_krw=100_000), caller("second", is_prepaid=False)
    limit_key(first, rpm_limit=100, tpm_limit=100_000, concurrency_limit=50, monthly_limit_usd=100)
    calls = [
        admitted(first),
        admitted(second, app_title="상담\\봇\x00", app_referer="https://app.example"),
        admitted(first, route="embeddings", max_tokens=None, model="openai/embedder"),
        admitted(second, idempotency_key="once", is_stream=True),
    ]
    attempts = [
        Attempt(1, 11, 1, NOW, status=429, error_code="rate_limited"),
        Attempt(2, 12, 2, NOW, first_byte_at=NOW + timedelta(seconds=1), status=200, upstream_generation_id="up-1"),
    ]
    outcomes = [
        outcome(calls[0], attempts=attempts, upstream_id=2, usage=usage(12, 7, note="a\\b")),
        outcome(calls[1], usage=usage(80, 50, cost=0.5), dialect="openrouter", upstream_generation_id=None),
        outcome(calls[2], finish_reason="", usage=usage(9, 0), served_model="openai/embedder"),
        outcome(calls[3], usage=usage(90, 500), error_code="length", finish_reason="length"),
    ]
    requests = {call.call_id: call for call in calls}
    app_ids([(second.customer_id, "https://app.example", "상담\\봇")])  # or each would make it, under other numbers
    by_rule, kept_by_rule = settled_by(lambda: settle_calls(outcomes, now=SETTLED_AT))
    at_once, kept = settled_by(lambda: finish_calls(outcomes, requests))  # the rule has read the newest prices
    assert at_once is not None
    assert at_once == by_rule
    assert kept == kept_by_rule


@pytest.mark.parametrize(
    "odd",
    [
        {"usage": None},
        {"usage": "nonsense"},
        {"ending": "failed", "usage": None, "answered_bytes": 0},
        {"finish_reason": ""},
        {"finish_reason": "error", "usage": usage(10, 0)},
        {"served_model": "x/unknown"},
        {"usage": '{"prompt_tokens": -1}'},
    ],
)
def test_one_odd_call_sends_the_group_by_the_rule(odd: dict[str, Any]) -> None:
    shop()
    who = caller(limit_krw=100_000)
    calls = [admitted(who), admitted(who)]
    outcomes = [outcome(calls[0]), outcome(calls[1], **odd)]
    requests = {call.call_id: call for call in calls}
    before = rows()
    assert finish_calls(outcomes, requests) is None
    assert rows() == before


def test_what_was_settled_meanwhile_is_not_settled_again() -> None:
    shop()
    who = caller(limit_krw=1000)
    calls = [admitted(who), admitted(who)]
    requests = {call.call_id: call for call in calls}
    settle_calls([outcome(calls[0])], now=NOW)
    before = rows()
    assert finish_calls([outcome(call) for call in calls], requests) is None
    assert rows() == before
    answers = settle(*(outcome(call) for call in calls))
    assert [answer.flags for answer in answers] == [("repeated",), ()]
    assert held_and_unbilled(who) == (0, 44)


def test_an_open_call_that_is_an_event_already_is_left_to_the_rule() -> None:
    shop()
    who = caller(limit_krw=1000)
    call = admitted(who)
    occurred_at = NOW.isoformat()
    ingest_events(lines=[line(call.call_id, model=MODEL, occurred_at=occurred_at)], now=NOW, actor="tests")
    before = rows()
    assert finish_calls([outcome(call)], {call.call_id: call}) is None
    assert rows() == before


def test_prices_that_changed_a_moment_ago_are_the_prices() -> None:
    shop()
    who = caller(limit_krw=1000)
    call = admitted(who)
    current_catalog()
    Price.objects.update(effective_to=NOW - timedelta(hours=1))
    model(MODEL, {name: str(2 * float(price)) for name, price in COMPONENTS.items()}, at=NOW - timedelta(hours=1))
    settle(outcome(call))
    assert str(UsageEvent.objects.get().cost_usd.normalize()) == "0.04"
    assert violations() == []
