"""What an answer reported becomes one event, whatever else went wrong; with the leaks that other gateways had."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal

import pytest

from catalog.models import Price
from gateway.calls import Attempt
from gateway.models import CallAttempt, GatewayCall
from tests.gateway import money
from tests.gateway.money import (
    MODEL,
    NOW,
    account,
    admit,
    admitted,
    caller,
    held_and_unbilled,
    outcome,
    request,
    settle,
    shop,
    usage,
)
from tests.usage.factories import model, violations
from usage.models import QuarantinedEvent, UsageAlias, UsageEvent, UsageRollup

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True, params=["its own process", "another process"])
def _settled_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who remembers the calls may settle them in one statement; the outcome is the same."""
    if request.param == "another process":
        monkeypatch.setattr(money, "under_way", {})


def event() -> UsageEvent:
    return UsageEvent.objects.get()


def test_the_event_says_what_was_asked_and_what_answered() -> None:
    shop()
    model("anthropic/claude-haiku", {"prompt": "0.0001", "completion": "0.0002"})
    who = caller()
    call = admitted(who, app_title="Chat\x00bot", app_referer="https://app.example", is_stream=True)
    settle(outcome(call, served_model="anthropic/claude-haiku"))
    stored = event()
    assert (stored.event_id, stored.occurred_at, stored.api_key_id) == (call.call_id, NOW, who.api_key_id)
    assert (stored.requested_model, stored.served_model) == (MODEL, "anthropic/claude-haiku")
    assert (stored.app_title, stored.app_referer) == ("Chatbot", "https://app.example")
    assert stored.cost_usd == Decimal("0.002")  # the served model's price
    alias = UsageAlias.objects.get()
    assert (alias.customer_id, alias.upstream_id, alias.event_id) == (
        who.customer_id,
        f"up-{call.call_id[-8:]}",
        call.call_id,
    )


def test_settling_again_changes_nothing() -> None:
    shop()
    who = caller(limit_krw=1000)
    call = admitted(who)
    [first] = settle(outcome(call))
    again = settle(outcome(call), outcome(call, usage=usage(1000, 1000)), now=NOW + timedelta(hours=1))
    assert [one.flags for one in again] == [("repeated",), ("repeated",)]
    assert {one.event_id for one in (first, *again)} == {call.call_id}
    assert held_and_unbilled(who) == (0, 22)
    assert UsageEvent.objects.count() == 1


def test_of_two_outcomes_in_one_group_the_first_counts() -> None:
    shop()
    who = caller(limit_krw=1000)
    call = admitted(who)
    answers = settle(outcome(call), outcome(call, usage=usage(1, 1)))
    assert [one.flags for one in answers] == [(), ("repeated",)]
    assert held_and_unbilled(who) == (0, 22)


def test_attempts_stand_under_their_call_and_count_as_one_request() -> None:
    shop()
    who = caller()
    call = admitted(who)
    attempts = [
        Attempt(1, 11, 1, NOW, status=429, error_code="rate_limited"),
        Attempt(2, 12, 2, NOW, first_byte_at=NOW + timedelta(seconds=1), status=200, upstream_generation_id="up-1"),
    ]
    settle(outcome(call, attempts=attempts, upstream_id=2))
    assert list(CallAttempt.objects.values_list("number", "upstream_id", "key_id", "status", "error_code")) == [
        (1, 1, 11, 429, "rate_limited"),
        (2, 2, 12, 200, ""),
    ]
    assert UsageRollup.objects.get().requests == 1
    assert GatewayCall.objects.get().upstream_id == 2


def test_what_failed_before_an_answer_costs_nothing_and_holds_nothing() -> None:
    shop()
    who = caller(limit_krw=1000)
    call = admitted(who)
    [settled] = settle(outcome(call, ending="failed", usage=None, answered_bytes=0, answered_chunks=0))
    assert (settled.event_id, settled.is_billed) == (None, False)
    assert GatewayCall.objects.get().status == "failed"
    assert held_and_unbilled(who) == (0, 0)
    assert not UsageEvent.objects.exists()


def test_usage_before_an_error_is_billed_as_it_was_reported() -> None:
    shop()
    who = caller()
    call = admitted(who)
    settle(outcome(call, ending="failed", finish_reason="error", error_code="upstream_error"))
    assert event().cost_usd == Decimal("0.02")


def test_an_answer_without_usage_is_estimated_and_says_so() -> None:
    shop()
    who = caller()
    call = admitted(who, prompt_bytes=81)
    [settled] = settle(outcome(call, usage=None, answered_bytes=41, answered_chunks=3))
    assert (settled.event_id, settled.is_billed, settled.flags) == (call.call_id, True, ("estimated",))
    stored = event()
    # Four bytes a token, rounded up: 81 and 41 bytes.
    assert (stored.prompt_tokens, stored.completion_tokens, stored.flags) == (21, 11, ["estimated"])
    row = GatewayCall.objects.get()
    assert (row.status, row.next_ask_at) == ("estimated", NOW + timedelta(seconds=33))


def test_a_chunk_is_at_least_a_token_where_tokens_are_guessed() -> None:
    shop()
    call = admitted(caller())
    settle(outcome(call, ending="cancelled", usage=None, answered_bytes=9, answered_chunks=9))
    assert event().completion_tokens == 9


def test_usage_of_zero_is_no_missing_usage() -> None:
    shop()
    call = admitted(caller())
    [settled] = settle(outcome(call, usage=usage(0, 0), answered_bytes=500))
    assert settled.flags == ()
    assert (event().prompt_tokens, event().completion_tokens, event().cost_usd) == (0, 0, 0)


@pytest.mark.parametrize("finish_reason", ["", "error"])
def test_an_answer_without_completion_is_counted_and_free(finish_reason: str) -> None:
    shop()
    who = caller(limit_krw=1000)
    call = admitted(who)
    [settled] = settle(outcome(call, usage=usage(70, 0), finish_reason=finish_reason, answered_bytes=0))
    assert (settled.event_id, settled.is_billed, settled.flags) == (call.call_id, False, ("zero_completion",))
    assert (event().prompt_tokens, event().cost_usd) == (70, 0)
    assert held_and_unbilled(who) == (0, 0)
    assert violations() == []


@pytest.mark.parametrize(
    ("route", "finish_reason"), [("embeddings", ""), ("chat/completions", "length"), ("completions", "stop")]
)
def test_answers_that_rightly_have_no_completion_are_charged(route: str, finish_reason: str) -> None:
    shop()
    call = admitted(caller(), route=route)
    settle(outcome(call, usage=usage(70, 0), finish_reason=finish_reason))
    assert event().cost_usd == Decimal("0.07")


def test_a_client_that_hangs_up_pays_for_what_was_answered() -> None:
    shop()
    call = admitted(caller())
    settle(outcome(call, ending="cancelled", usage=usage(10, 3), finish_reason=""))
    assert event().cost_usd == Decimal("0.016")


def test_what_nobody_knows_stays_open_until_the_upstream_was_asked() -> None:
    shop()
    who = caller(limit_krw=1000)
    call = admitted(who)
    attempt = Attempt(1, 1, 1, NOW)
    [settled] = settle(outcome(call, ending="cancelled", usage=None, answered_bytes=0, attempts=[attempt]))
    assert (settled.event_id, settled.flags) == (None, ("asked_later",))
    row = GatewayCall.objects.get()
    assert (row.status, row.lease_until, row.upstream_generation_id) == (
        "open",
        NOW + timedelta(seconds=3),
        f"up-{call.call_id[-8:]}",
    )
    assert account(who).held_krw == 220
    assert CallAttempt.objects.count() == 1
    settle(outcome(call, attempts=[]))
    assert [each.key_id for each in CallAttempt.objects.filter(call=row)] == [1]


def test_usage_that_comes_after_the_call_was_given_up_is_billed_all_the_same() -> None:
    shop()
    who = caller(limit_krw=1000)
    call = admitted(who, idempotency_key="once")
    settle(outcome(call, ending="failed", usage=None, answered_bytes=0))
    retry = admitted(who, idempotency_key="once")
    [late] = settle(outcome(call))
    assert (late.event_id, late.is_billed) == (call.call_id, True)
    assert held_and_unbilled(who) == (220, 22)
    settle(outcome(retry))
    assert held_and_unbilled(who) == (0, 44)


def test_usage_that_comes_after_an_estimate_takes_its_place() -> None:
    shop()
    who = caller(limit_krw=1000)
    call = admitted(who)
    settle(outcome(call, usage=None, answered_bytes=400, upstream_generation_id=None))
    assert account(who).unbilled_krw == 132  # 20 and 50 tokens: never more than was held
    [late] = settle(outcome(call))
    assert (late.event_id, late.flags) == (f"{call.call_id}~1", ("replaced",))
    assert held_and_unbilled(who) == (0, 22)
    assert GatewayCall.objects.get().status == "settled"
    assert UsageAlias.objects.get().event_id == f"{call.call_id}~1"
    assert violations() == []
    [again] = settle(outcome(call))
    assert "repeated" in again.flags


UNREADABLE = [
    "not json",
    "[1, 2]",
    "{}",
    '{"prompt_tokens": -5, "completion_tokens": 2}',
    '{"prompt_tokens": 5, "prompt_tokens": 500, "completion_tokens": "2"}',
    '{"seconds": 12}',
    '{"a": 1}, "customer": "other"',
]


@pytest.mark.parametrize("text", UNREADABLE)
def test_usage_that_cannot_be_read_becomes_an_estimate_and_never_nothing(text: str) -> None:
    shop()
    who = caller(limit_krw=1000)
    call = admitted(who)
    [settled] = settle(outcome(call, usage=text, answered_bytes=40))
    assert set(settled.flags) == {"estimated", "usage_unreadable"}
    assert (event().customer_id, event().prompt_tokens, event().completion_tokens) == (who.customer_id, 20, 10)
    assert account(who).held_krw == 0


def test_of_a_usage_object_that_is_too_large_the_counts_remain() -> None:
    shop()
    call = admitted(caller())
    told = json.dumps({"prompt_tokens": 10, "completion_tokens": 5, "note": "canary " * 5000, "cost": 4.14e-05})
    [settled] = settle(outcome(call, usage=told, dialect="openrouter"))
    assert settled.flags == ()
    assert (event().cost_usd, event().upstream_cost_usd) == (Decimal("0.02"), Decimal("0.0000414"))
    assert "canary" not in json.dumps(event().usage)


def test_a_repeated_count_in_a_usage_object_is_the_last_one() -> None:
    shop()
    call = admitted(caller())
    [settled] = settle(outcome(call, usage='{"prompt_tokens": 1, "prompt_tokens": 10, "completion_tokens": 5}'))
    assert settled.flags == ()
    assert event().cost_usd == Decimal("0.02")


def test_an_unknown_served_model_is_kept_for_a_person_and_never_costs_nothing() -> None:
    shop()
    who = caller(limit_krw=1000)
    call = admitted(who)
    [settled] = settle(outcome(call, served_model="x/unheard-of"))
    assert (settled.event_id, settled.is_billed, settled.flags) == (call.call_id, True, ("quarantined",))
    assert QuarantinedEvent.objects.get().code == "unknown_model"
    assert held_and_unbilled(who) == (0, 0)


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 300])
def test_a_served_model_that_is_no_name_is_billed_as_the_requested_one(name: str) -> None:
    shop()
    call = admitted(caller())
    settle(outcome(call, served_model=name, upstream_generation_id=name or None, finish_reason="a\nb"))
    assert (event().served_model, event().cost_usd) == (MODEL, Decimal("0.02"))


def test_a_cost_above_the_hold_is_billed_and_stands_out() -> None:
    shop()
    who = caller(limit_krw=220)
    call = admitted(who)
    settle(outcome(call, usage=usage(100, 60)))
    assert GatewayCall.objects.get().flags == ["over_hold"]
    assert held_and_unbilled(who) == (0, 242)


def test_a_call_without_a_row_is_not_settled() -> None:
    [settled] = settle(outcome("gen-nobody"))
    assert (settled.event_id, settled.flags) == (None, ("unknown_call",))


def test_a_group_of_many_customers_settles_each_to_its_own() -> None:
    shop()
    callers = [caller(slug, limit_krw=1000) for slug in ("one", "two", "three")]
    calls = [admitted(who) for who in callers for _ in range(3)]
    settle(*(outcome(call) for call in reversed(calls)))
    assert [held_and_unbilled(who) for who in callers] == [(0, 66)] * 3


def test_a_repeated_upstream_id_leaves_the_first_event_its_name() -> None:
    shop()
    who = caller()
    first, second = admitted(who), admitted(who)
    settle(outcome(first, upstream_generation_id="up-1"), outcome(second, upstream_generation_id="up-1"))
    assert UsageAlias.objects.get().event_id in {first.call_id, second.call_id}
    assert UsageEvent.objects.count() == 2


def test_prices_are_those_of_the_moment_in_which_the_call_began() -> None:
    shop()
    who = caller(limit_krw=10_000)
    call = admitted(who)
    Price.objects.update(effective_to=NOW + timedelta(seconds=1))
    model(MODEL, {"prompt": "1", "completion": "1"}, at=NOW + timedelta(seconds=1))
    settle(outcome(call))
    assert event().cost_usd == Decimal("0.02")


def test_a_refused_call_leaves_no_row() -> None:
    shop()
    who = caller(limit_krw=1)
    admit(request(who))
    assert not GatewayCall.objects.exists()
