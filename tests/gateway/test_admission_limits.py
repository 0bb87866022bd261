"""Limits of a key, idempotency keys, and the dearest price that a hold has to cover."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from accounts.errors import InvalidInput
from accounts.models import ApiKey, AuditEntry, Customer
from accounts.services import create_api_key, revoke_api_key, set_key_limits
from billing.models import ExchangeRate
from billing.services.spending import refresh_spending
from catalog.models import Model, RouterTarget
from gateway.calls import Admission, CallRefused, CallRequest, dialect_of, new_call_id
from gateway.estimates import TEMPLATE_TOKENS, TOOL_TEMPLATE_TOKENS, worst_prompt_tokens
from gateway.models import GatewayCall, KeyMeter
from gateway.selectors import DEFAULT_COMPLETION_TOKENS
from gateway.services.callers import find_caller, forget_callers
from gateway.services.limiting import recount_meters
from tests.gateway.money import (
    ACTOR,
    MODEL,
    NOW,
    account,
    admit,
    admitted,
    caller,
    forget,
    limit,
    limit_key,
    outcome,
    request,
    settle,
    shop,
    usage,
)
from tests.usage.factories import ingest, line, model

pytestmark = pytest.mark.django_db


def refused(answer: Admission | CallRefused, status: int) -> CallRefused:
    assert isinstance(answer, CallRefused), answer
    assert answer.status == status
    return answer


def held(call: CallRequest) -> GatewayCall:
    return GatewayCall.objects.get(call_id=call.call_id)


# -- limits of a key ---------------------------------------------------------------------------------------------------
def test_requests_of_a_minute_are_counted_and_the_next_minute_begins_anew() -> None:
    shop()
    who = caller()
    limit_key(who, rpm_limit=2)
    answers = admit(request(who), request(who), request(who))
    let_out = answers[1]
    assert isinstance(let_out, Admission)
    assert let_out.headers == {
        "x-ratelimit-limit-requests": "2",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "40s",
    }
    full = refused(answers[2], 429)
    assert (full.type, full.headers["Retry-After"]) == ("rate_limit_exceeded", "40")
    assert full.headers["x-ratelimit-remaining-requests"] == "0"
    admitted(who, now=NOW + timedelta(seconds=40))


def test_calls_at_a_time_are_counted_until_they_end() -> None:
    shop()
    who = caller()
    limit_key(who, concurrency_limit=1)
    call = admitted(who)
    assert refused(admit(request(who))[0], 429).headers["Retry-After"] == "1"
    settle(outcome(call))
    admitted(who)


def test_tokens_of_a_minute_are_held_at_their_worst_and_given_back() -> None:
    shop()
    who = caller()
    limit_key(who, tpm_limit=300)
    call = admitted(who)  # 150 at worst
    admitted(who)
    full = refused(admit(request(who))[0], 429)
    assert full.metadata == {"affordable_max_tokens": 0}
    settle(outcome(call, usage=usage(10, 5)))
    tight = refused(admit(request(who))[0], 429)  # 135 are left
    assert tight.metadata == {"affordable_max_tokens": 35}
    admitted(who, max_tokens=35)
    assert KeyMeter.objects.get().tokens == 300


def test_dollars_of_a_month_are_at_list_price_and_include_what_is_held() -> None:
    shop()
    who = caller()
    limit_key(who, monthly_limit_usd=Decimal("0.5"))
    ingest(line("before", api_key=who.prefix, customer=None, usage={"prompt_tokens": 100, "completion_tokens": 0},
                occurred_at="2026-11-02T12:00:00+09:00"))  # fmt: skip
    call = admitted(who)  # 0.1 were used, 0.2 are held
    answer = refused(admit(request(who), request(who))[1], 402)
    assert answer.metadata == {"affordable_max_tokens": 0}
    settle(outcome(call))
    meter = KeyMeter.objects.get()
    assert (meter.spent_usd, meter.held_usd, meter.open_calls) == (Decimal("0.12"), Decimal("0.2"), 1)
    # 0.18 are left: the prompt takes 0.1, so 40 tokens at 0.002.
    assert refused(admit(request(who))[0], 402).metadata == {"affordable_max_tokens": 40}
    admitted(who, now=NOW + timedelta(days=10))  # December in Korea
    assert KeyMeter.objects.get().spent_usd == 0


def test_a_recount_finds_what_came_in_by_other_doors() -> None:
    shop()
    who = caller()
    limit_key(who, monthly_limit_usd=Decimal(1))
    settle(outcome(admitted(who)))
    ingest(line("more", api_key=who.prefix, customer=None, occurred_at="2026-11-05T12:00:00+09:00",
                usage={"prompt_tokens": 500, "completion_tokens": 0}))  # fmt: skip
    assert recount_meters(now=NOW) == 1
    assert KeyMeter.objects.get().spent_usd == Decimal("0.52")


def test_a_key_without_limits_has_no_meter() -> None:
    shop()
    who = caller()
    settle(outcome(admitted(who)))
    assert not KeyMeter.objects.exists()


def test_a_limit_that_is_set_while_calls_are_under_way_counts_the_next_ones() -> None:
    shop()
    who = caller()
    before = admitted(who)
    limit_key(who, concurrency_limit=1)
    admitted(who)
    settle(outcome(before))
    assert KeyMeter.objects.get().open_calls == 1


def test_limits_are_set_with_a_reason_and_checked() -> None:
    who = caller()
    key = ApiKey.objects.get(pk=who.api_key_id)
    nothing: dict[str, Any] = dict.fromkeys(("rpm", "tpm", "concurrency", "monthly_usd", "allowed_ips"))
    set_key_limits(
        key=key, reason="contract", actor=ACTOR, **nothing | {"rpm": 5, "allowed_ips": ["10.1.2.0/24", "::1"]}
    )
    entry = AuditEntry.objects.get(action="set_key_limits")
    assert (entry.reason, entry.data["after"]["rpm"]) == ("contract", 5)
    assert ApiKey.objects.get(pk=key.pk).allowed_ips == ["10.1.2.0/24", "::1/128"]
    for wrong in ({"rpm": -1}, {"allowed_ips": ["10.1.2.3/24"]}, {"monthly_usd": Decimal("0.0000001")}):
        with pytest.raises(InvalidInput):
            set_key_limits(key=key, reason="x", actor=ACTOR, **nothing | wrong)


# -- who and whether ---------------------------------------------------------------------------------------------------
def test_a_key_is_found_and_whatever_cannot_call_is_not() -> None:
    forget()
    who = caller()
    issued = create_api_key(customer=Customer.objects.get(pk=who.customer_id), name="x", actor=ACTOR)
    assert find_caller(issued.secret, now=NOW).api_key_id == issued.key.pk
    ingest_key = create_api_key(customer=None, name="ingest", actor=ACTOR)
    for text in (ingest_key.secret, "sk-jeongsan-" + "x" * 32, "", "키", "sk-or-v1-abc"):
        with pytest.raises(CallRefused) as answer:
            find_caller(text, now=NOW)
        assert answer.value.status == 401
    revoke_api_key(key=issued.key, actor=ACTOR, now=NOW)
    forget_callers()
    with pytest.raises(CallRefused):
        find_caller(issued.secret, now=NOW)


def test_an_idempotency_key_is_the_customers_and_stands_for_one_call() -> None:
    shop()
    who, other = caller(), caller("other")
    first, second = request(who, idempotency_key="k"), request(who, idempotency_key="k")
    answers = admit(first, second, request(other, idempotency_key="k"))
    assert [isinstance(answer, Admission) for answer in answers] == [True, False, True]
    assert refused(answers[1], 409).metadata == {"generation_id": first.call_id}
    settle(outcome(first))
    again = refused(admit(request(who, idempotency_key="k"))[0], 409)
    assert again.metadata == {"generation_id": first.call_id}


def test_without_a_rate_nobody_is_charged_a_guess() -> None:
    shop(rate=None)
    bounded, unbounded = caller(limit_krw=1000), caller("unbounded")
    assert refused(admit(request(bounded))[0], 503).headers == {"Retry-After": "60"}
    admitted(unbounded)
    assert account(unbounded).held_krw == 0
    ExchangeRate.objects.create(rate_on=NOW.date(), rate=Decimal(1000), source="tests", actor=ACTOR)
    forget()
    admitted(bounded)
    assert account(bounded).held_krw == 220


def test_a_rate_that_changed_meanwhile_is_taken_from_the_account() -> None:
    shop()
    who = caller(limit_krw=10_000)
    admitted(who)
    ExchangeRate.objects.create(rate_on=NOW.date(), rate=Decimal(2000), source="tests", actor=ACTOR)
    refresh_spending(customer_ids=[who.customer_id], now=NOW)
    admitted(who)
    assert account(who).held_krw == 220 + 440


# -- what is held ------------------------------------------------------------------------------------------------------
def test_the_dearest_of_the_fallback_models_is_held() -> None:
    shop()
    model("openai/dear", {"prompt": "0.005", "completion": "0.001"})
    limit("openai/dear", context=500, longest=400)
    who = caller()
    call = admitted(who, models=[MODEL, "openai/dear"])
    # 100 prompt tokens at 0.005 and 50 completion tokens at 0.002.
    assert held(call).hold_usd == Decimal("0.6")


def test_a_tier_counts_from_its_threshold_and_times_of_day_always() -> None:
    shop()
    overrides = [
        {"min_prompt_tokens": 100, "prompt": "0.01"},
        {"utc_start": "1700", "utc_end": "1800", "completion": "0.1"},
    ]
    model("x/tiers", {"prompt": "0.001", "completion": "0.001"}, overrides=overrides)
    limit("x/tiers", context=1000, longest=500)
    who = caller()
    assert held(admitted(who, model="x/tiers")).hold_usd == Decimal("5.1")
    assert held(admitted(who, model="x/tiers", prompt_tokens_worst=101)).hold_usd == Decimal("6.01")


def test_every_kind_of_token_and_every_fee_is_in_the_hold() -> None:
    shop()
    prices = {
        "prompt": "0.001", "completion": "0.002", "input_cache_write": "0.003", "input_cache_write_1h": "0.004",
        "internal_reasoning": "0.005", "request": "0.5", "web_search": "0.1", "image": "0.2",
    }  # fmt: skip
    model("x/all", prices)
    limit("x/all", context=1000, longest=500)
    call = admitted(caller(), model="x/all", n=2, web_searches=3, images=4)
    # 100 x 0.004 + 2 x 50 x 0.005 + 0.5 + 3 x 0.1 + 4 x 0.2
    assert held(call).hold_usd == Decimal("2.5")


def test_a_router_holds_what_its_dearest_target_costs() -> None:
    shop()
    model("openrouter/auto", kind="variable")
    who = caller()
    cheap = held(admitted(who, model="openrouter/auto"))
    assert cheap.hold_usd == Decimal("0.2")  # nothing is known of its targets: the dearest on sale
    model("openai/dear", {"prompt": "0.01", "completion": "0.01"})
    router, dear = (Model.objects.get(model_id=name) for name in ("openrouter/auto", "openai/dear"))
    RouterTarget.objects.create(router=router, target=dear, position=0)
    limit("openai/dear", context=500, longest=30)
    assert held(admitted(who, model="openrouter/auto")).hold_usd == Decimal("1.3")  # 100 and at most 30 tokens


def test_what_bytes_do_not_bound_is_the_whole_context_and_no_limit_is_the_models() -> None:
    shop(context=1000, longest=500)
    row = held(admitted(caller(), prompt_tokens_worst=None, max_tokens=None, n=2))
    assert (row.hold_tokens, row.granted_tokens) == (2000, 1000)


def test_a_wish_beyond_the_models_limit_holds_the_limit() -> None:
    shop(context=1000, longest=500)
    row = held(admitted(caller(), prompt_tokens_worst=10**6, max_tokens=10**9))
    assert (row.hold_tokens, row.granted_tokens) == (1500, 500)


def test_where_nothing_bounds_an_answer_a_limit_is_granted() -> None:
    shop()
    limit(MODEL, context=None, longest=None)
    who = caller()
    [answer] = admit(request(who, max_tokens=None))
    assert isinstance(answer, Admission)
    assert answer.granted_max_tokens == DEFAULT_COMPLETION_TOKENS
    [answer] = admit(request(who, max_tokens=10**6))
    assert isinstance(answer, Admission)
    assert answer.granted_max_tokens is None
    assert held(admitted(who, route="embeddings", max_tokens=None)).granted_tokens == 0


def test_a_retired_or_unpriced_model_is_not_on_sale() -> None:
    shop()
    model("x/odd", kind="quarantined", quarantine_code="invalid_price", quarantine_reason="?")
    who = caller()
    forget()
    refused(admit(request(who, model="x/odd"))[0], 404)
    Model.objects.filter(model_id=MODEL).update(status="retired", retired_at=NOW)
    forget()
    refused(admit(request(who))[0], 404)


def test_impossible_counts_are_refused() -> None:
    shop()
    who = caller()
    for changes in ({"n": 0}, {"n": 129}, {"max_tokens": -1}):
        refused(admit(request(who, **changes))[0], 400)


def test_a_prompt_is_bounded_by_its_bytes_only_where_it_is_text() -> None:
    text: dict[str, Any] = {"messages": [{"role": "user", "content": "안녕하세요"}]}
    assert worst_prompt_tokens("chat/completions", text, body_bytes=90) == 90 + TEMPLATE_TOKENS
    tools = text | {"tools": [{"type": "function", "function": {"name": "f"}}]}
    assert worst_prompt_tokens("chat/completions", tools, body_bytes=90) == 90 + TOOL_TEMPLATE_TOKENS
    image = {
        "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}]
    }
    unbounded: list[dict[str, Any]] = [
        image,
        text | {"previous_response_id": "resp_1"},
        text | {"plugins": [{"id": "web"}]},
        text | {"tools": [{"type": "web_search_20250305"}]},
        text | {"prompt": {"id": "pmpt_1"}},
    ]
    assert [worst_prompt_tokens("responses", body, body_bytes=90) for body in unbounded] == [None] * 5
    assert worst_prompt_tokens("audio/transcriptions", {}, body_bytes=90) is None


def test_a_forked_process_gives_ids_of_its_own() -> None:
    new_call_id()
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, new_call_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 100).decode()[-24:] != new_call_id()[-24:]


def test_names() -> None:
    assert len({new_call_id() for _ in range(1000)}) == 1000
    assert re.fullmatch(r"gen-[0-9]{10}-[A-Za-z0-9_-]{24}", new_call_id())
    assert (dialect_of("openrouter", "messages"), dialect_of("openai", "messages")) == (
        "openrouter",
        "anthropic_messages",
    )
