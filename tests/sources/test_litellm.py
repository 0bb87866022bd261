"""POST /billing/v1/usage/litellm: a proxy's callback in every format it has, and nothing of what people wrote."""

from __future__ import annotations

import gzip
import json
import logging
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from accounts.services import create_api_key
from tests.sources.calls import CANARY, anthropic_usage, call, usage
from tests.usage.factories import ACTOR, COMPONENTS, customer, event, ingest, model, violations
from usage.models import UsageEvent
from usage.sources.litellm import ProxyCall, Skipped, read_call

pytestmark = pytest.mark.django_db

PATH = "/billing/v1/usage/litellm"
JSON, NDJSON = "application/json", "application/x-ndjson"
#: 80 x 3 + 20 x 0.3 + 3 x 15 dollars a million.
COST = Decimal("0.000291")


class Proxy:
    """A LiteLLM proxy with one key of ours; `post` gives the status and the JSON body."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.client = Client(raise_request_exception=False)

    def post(self, body: bytes, content_type: str = JSON, **headers: str) -> tuple[int, dict[str, Any]]:
        headers["Authorization"] = f"Bearer {self.secret}"
        answer = self.client.generic("POST", PATH, body, content_type, headers=headers)
        return answer.status_code, json.loads(answer.content)

    def item(self, payload: Any) -> dict[str, Any]:
        status, answer = self.post(json.dumps(payload).encode())
        assert status == 200
        [item] = answer["items"]
        return dict(item)


@pytest.fixture
def proxy() -> Proxy:
    customer()
    customer("daehan")
    model(components=COMPONENTS | {"input_cache_write": "0.00000375", "input_cache_write_1h": "0.000006"})
    return Proxy(create_api_key(customer=None, name="litellm", actor=ACTOR).secret)


def stored(event_id: str = "chatcmpl-0001") -> UsageEvent:
    return UsageEvent.objects.get(event_id=event_id)


# -- What is read ------------------------------------------------------------------------------------------------------
def test_a_completion_becomes_an_event_at_our_price(proxy: Proxy) -> None:
    assert proxy.item(call()) == {"index": 0, "id": "chatcmpl-0001", "status": "accepted"}
    row = stored()
    assert (row.customer.slug, row.requested_model, row.served_model) == (
        "hanbit",
        "claude",
        "anthropic/claude-sonnet-4.5",
    )
    assert row.occurred_at.isoformat() == "2026-10-05T03:00:00.250000+00:00"
    assert (row.dialect, row.prompt_tokens, row.cache_read_tokens, row.completion_tokens, row.reasoning_tokens) == (
        "openai_chat",
        100,
        20,
        3,
        1,
    )
    assert (row.cost_usd, row.upstream_cost_usd, row.app_title, row.flags) == (COST, None, "desk", [])
    assert violations() == []


def test_behind_openrouter_the_upstreams_own_charge_is_kept(proxy: Proxy) -> None:
    charged = usage(cost=0.000345, is_byok=False, cost_details={"upstream_inference_cost": None})
    payload = call("gen-3", custom_llm_provider="openrouter", model="anthropic/claude-sonnet-4.5")
    payload["metadata"]["usage_object"] = charged
    assert proxy.item(payload)["status"] == "accepted"
    assert (stored("gen-3").dialect, stored("gen-3").upstream_cost_usd) == ("openrouter", Decimal("0.000345"))


def test_elsewhere_the_proxys_estimate_is_no_charge(proxy: Proxy) -> None:
    """In streams LiteLLM writes its own estimate into the usage object."""
    proxy.item(call(metadata={"usage_object": usage(cost=1.53)}))
    assert (stored().cost_usd, stored().upstream_cost_usd) == (COST, None)


def test_cache_writes_for_an_hour_cost_what_they_cost(proxy: Proxy) -> None:
    proxy.item(call(metadata={"usage_object": anthropic_usage()}))
    row = stored()
    assert (row.prompt_tokens, row.cache_read_tokens, row.cache_write_tokens, row.cache_write_1h_tokens) == (
        150,
        40,
        10,
        6,
    )
    # 100 x 3 + 40 x 0.3 + 4 x 3.75 + 6 x 6 + 7 x 15 dollars a million
    assert row.cost_usd == Decimal("0.000468")


def test_searches_cost_what_they_cost_wherever_the_proxy_counts_them(proxy: Proxy) -> None:
    """Of Gemini, xAI and others LiteLLM counts web searches among the prompt's details."""
    model("google/gemini-2.5-flash", COMPONENTS | {"web_search": "0.014"})
    details = {"cached_tokens": 20, "web_search_requests": 2}
    gemini = {"custom_llm_provider": "gemini", "model": "gemini-2.5-flash"}
    searched = {"usage_object": usage(prompt_tokens_details=details)}
    assert proxy.item(call(**gemini, metadata=searched))["status"] == "accepted"
    assert (stored().web_searches, stored().cost_usd, stored().flags) == (2, COST + Decimal("0.028"), [])
    named = {"usage_object": usage(prompt_tokens_details=details, server_tool_use={"web_search_requests": 3})}
    proxy.item(call("twice", **gemini, metadata=named))
    assert (stored("twice").web_searches, stored("twice").flags) == (3, ["web_searches_disagree"])
    # Without a price for them the call waits, and nobody loses it.
    assert proxy.item(call("unpriced", metadata=searched))["quarantined"]["code"] == "unpriced_component"


def test_an_embedding_answers_nothing(proxy: Proxy) -> None:
    counts = {"completion_tokens": 0, "prompt_tokens": 5, "total_tokens": 5, "prompt_tokens_details": None}
    assert proxy.item(call(call_type="aembedding", metadata={"usage_object": counts}))["status"] == "accepted"
    assert stored().cost_usd == Decimal("0.000015")


def test_the_wrapped_id_of_the_responses_api_is_unwrapped(proxy: Proxy) -> None:
    wrapped = "resp_bGl0ZWxsbTpjdXN0b21fbGxtX3Byb3ZpZGVyOm9wZW5haTttb2RlbF9pZDpOb25lO3Jlc3BvbnNlX2lkOnJlc3BfMDAwNg=="
    assert proxy.item(call(wrapped, call_type="aresponses"))["id"] == "resp_0006"


@pytest.mark.parametrize(
    ("provider", "name", "served"),
    [
        ("azure", "gpt-4o", "openai/gpt-4o"),
        ("gemini", "gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("openai", "meta-llama/llama-3.3-70b", "meta-llama/llama-3.3-70b"),
        ("openrouter", "openrouter/auto", "openrouter/auto"),
        (None, "local", "local"),
    ],
)
def test_models_are_called_as_the_catalog_calls_them(provider: str | None, name: str, served: str) -> None:
    read = read_call(json.dumps(call(custom_llm_provider=provider, model=name)).encode())
    assert isinstance(read, ProxyCall)
    assert read.served_model == served


def test_an_unknown_model_waits_for_its_price(proxy: Proxy) -> None:
    item = proxy.item(call(model="claude-9"))
    assert (item["status"], item["quarantined"]["code"]) == ("accepted", "unknown_model")


# -- What costs nothing ------------------------------------------------------------------------------------------------
def test_failed_calls_are_skipped_and_not_errors(proxy: Proxy) -> None:
    item = proxy.item(call("c263805e", status="failure", error_str=CANARY, metadata={"usage_object": None}))
    assert (item["status"], item["code"]) == ("skipped", "failed_call")
    assert not UsageEvent.objects.exists()


def test_the_proxys_own_cache_sells_nothing(proxy: Proxy) -> None:
    item = proxy.item(call("chatcmpl-8_cache_hit1795241390.9", cache_hit=True))
    assert (item["status"], item["code"]) == ("skipped", "answered_from_cache")
    assert not UsageEvent.objects.exists()


# -- Who pays ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("metadata", "end_user", "payer"),
    [
        ({"user_api_key_team_alias": "hanbit"}, None, "hanbit"),
        ({"user_api_key_team_alias": "a team", "requester_metadata": {"jeongsan_customer": "daehan"}}, None, "daehan"),
        ({"user_api_key_team_alias": None, "spend_logs_metadata": {"jeongsan_customer": "daehan"}}, None, "daehan"),
        ({"user_api_key_team_alias": None, "user_api_key_end_user_id": "daehan"}, None, "daehan"),
        ({"user_api_key_team_alias": None}, "daehan", "daehan"),
        # What the proxy's administrator set goes before what a calling client says.
        ({"user_api_key_auth_metadata": {"jeongsan_customer": "daehan"}}, "hanbit", "daehan"),
        ({"requester_metadata": {"jeongsan_customer": "daehan"}}, "daehan", "hanbit"),
    ],
)
def test_a_call_names_its_customer(proxy: Proxy, metadata: dict[str, Any], end_user: str | None, payer: str) -> None:
    assert proxy.item(call(metadata=metadata, end_user=end_user))["status"] == "accepted"
    assert stored().customer.slug == payer


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"user_api_key_team_alias": None}, "names no customer"),
        ({"user_api_key_team_alias": "somebody"}, "names no customer"),
        ({"user_api_key_auth_metadata": {"jeongsan_customer": "hanbat"}}, "jeongsan_customer is nobody's name here"),
    ],
)
def test_a_call_of_nobody_is_refused(proxy: Proxy, metadata: dict[str, Any], reason: str) -> None:
    item = proxy.item(call(metadata=metadata, end_user="nobody"))
    assert (item["status"], item["field"], item["id"]) == ("rejected", "metadata", "chatcmpl-0001")
    assert item["reason"].startswith(reason)


def test_a_customers_key_bills_that_customer_whatever_the_call_says(proxy: Proxy) -> None:
    key = create_api_key(customer=customer("seoul"), name="own proxy", actor=ACTOR)
    item = Proxy(key.secret).item(call(metadata={"user_api_key_auth_metadata": {"jeongsan_customer": "daehan"}}))
    assert item["status"] == "accepted"
    assert (stored().customer.slug, stored().api_key_id) == ("seoul", key.key.pk)


# -- Formats -----------------------------------------------------------------------------------------------------------
def test_every_format_of_the_callback_and_gzip(proxy: Proxy) -> None:
    def lines(*ids: str) -> bytes:
        return b"\n".join(json.dumps(call(one)).encode() for one in ids)

    for body, content_type, headers in (
        (json.dumps([call("a"), call("b")]).encode(), JSON, {}),
        (lines("c", "d"), JSON, {}),  # the callback's ndjson says application/json
        (lines("e", "f"), NDJSON, {}),
        (json.dumps(call("g"), indent=1).encode(), JSON, {}),
        (gzip.compress(lines("h")), NDJSON, {"Content-Encoding": "gzip"}),
    ):
        status, answer = proxy.post(body, content_type, **headers)
        assert (status, answer["accepted"], answer["rejected"]) == (200, len(answer["items"]), 0)
    assert UsageEvent.objects.count() == 8


def test_each_is_answered_in_its_place_and_twice_is_once(proxy: Proxy) -> None:
    batch = [
        call("one", status="failure"),
        call("two"),
        {"status": "success"},
        7,
        call("two"),
        call("two", model="claude-x"),
    ]
    status, answer = proxy.post(json.dumps(batch).encode())
    assert [(item["index"], item["status"]) for item in answer["items"]] == [
        (0, "skipped"),
        (1, "accepted"),
        (2, "rejected"),
        (3, "rejected"),
        (4, "duplicate"),
        (5, "conflict"),
    ]
    counts = {name: count for name, count in answer.items() if name != "items"}
    assert (status, counts) == (
        200,
        {"accepted": 1, "duplicate": 1, "conflict": 1, "rejected": 2, "skipped": 1, "quarantined": 0},
    )


def test_a_long_prompt_does_not_make_a_call_too_long(proxy: Proxy) -> None:
    assert proxy.item(call(messages=[{"role": "user", "content": "x" * 3_000_000}]))["status"] == "accepted"


def test_limits(proxy: Proxy) -> None:
    assert proxy.post(b"[" + b"1," * 10_000 + b"1]")[0] == 413
    assert proxy.post(b" " * (16 * 1024 * 1024 + 1))[0] == 413
    assert proxy.post(b"{}", "text/plain")[0] == 415
    assert proxy.post(b"nonsense")[0] == 400
    assert proxy.post(b"{}", **{"Content-Encoding": "br"})[0] == 415
    assert Proxy("sk-jeongsan-nobody").post(b"{}")[0] == 401


# -- What is wrong with a call -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"status": "maybe"}, "status"),
        ({"id": None, "litellm_call_id": None}, "id"),
        ({"id": 5}, "id"),
        ({"model": ""}, "model"),
        ({"model": "x" * 300}, "model"),
        ({"startTime": None}, "startTime"),
        ({"startTime": -1}, "startTime"),
        ({"startTime": 1e30}, "startTime"),
        ({"startTime": "2026-10-05"}, "startTime"),
        ({"startTime": "NaN"}, "startTime"),
        ({"startTime": "sNaN"}, "startTime"),
        ({"startTime": float("nan")}, "startTime"),
        ({"metadata": {"usage_object": usage(completion_tokens=float("inf"))}}, "usage.completion_tokens"),
        ({"startTime": 4102444800.0}, "occurred_at"),
        ({"call_type": "aimage_generation"}, "call_type"),
        ({"call_type": None}, "call_type"),
        ({"metadata": {"usage_object": None}}, "metadata.usage_object"),
        ({"metadata": {"usage_object": [1]}}, "metadata.usage_object"),
        ({"metadata": {"usage_object": {"prompt_tokens": -1, "completion_tokens": 1}}}, "usage.prompt_tokens"),
        ({"metadata": {"usage_object": {"prompt_tokens": 1}}}, "usage.completion_tokens"),
        ({"metadata": {"usage_object": usage(prompt_tokens_details=CANARY)}}, "metadata.usage_object"),
        ({"metadata": {"usage_object": usage(note=CANARY * 50)}}, "usage.note"),
    ],
)
def test_a_refusal_names_the_field_and_not_its_value(
    proxy: Proxy, changes: dict[str, Any], field: str, caplog: pytest.LogCaptureFixture
) -> None:
    item = proxy.item(call(**changes))
    assert (item["status"], item["code"], item["field"]) == ("rejected", "invalid_event", field)
    assert CANARY not in json.dumps(item) + caplog.text
    assert f"calls that were not stored: {field}: " in caplog.text


def test_a_count_that_is_given_twice_is_refused(proxy: Proxy) -> None:
    for twice in (usage(), anthropic_usage()):
        body = json.dumps(call(metadata={"usage_object": twice}))
        place = body.index('"usage_object": {') + len('"usage_object": {')
        status, answer = proxy.post(f'{body[:place]}"prompt_tokens": 9, {body[place:]}'.encode())
        [item] = answer["items"]
        assert (status, item["status"], item["field"], item["reason"]) == (
            200,
            "rejected",
            "usage.prompt_tokens",
            "is given twice",
        )


def test_what_only_python_takes_for_json_costs_no_call(proxy: Proxy) -> None:
    """LiteLLM writes the callback with Python's json: NaN stays NaN, and half a character stays half."""
    text = f'\ud83d {CANARY} \\ NaN \\ud83d "'
    response = {"avgLogprobs": float("nan"), "logprob": float("-inf"), "content": text, "whole": "\U0001f600"}
    odd = {"messages": [{"content": text}], "response": response, "metadata": {"user_api_key_alias": "desk \ud83d"}}
    assert proxy.item(call(**odd)) == {"index": 0, "id": "chatcmpl-0001", "status": "accepted"}
    assert (stored().cost_usd, stored().app_title) == (COST, "desk \N{REPLACEMENT CHARACTER}")
    status, answer = proxy.post(json.dumps([call(**odd), call("next", **odd)]).encode())
    assert (status, [item["status"] for item in answer["items"]]) == (200, ["duplicate", "accepted"])


@pytest.mark.parametrize(
    "body",
    [b"{", b"[{]", b'"' + b"a" * 50, b'{"messages": ' + b"[" * 200_000, b'{"a": "' + b'\\"' * 500_000],
    ids=["object", "array", "text", "bomb", "quotes"],
)
def test_what_is_no_json_is_refused_and_nothing_breaks(proxy: Proxy, body: bytes) -> None:
    status, answer = proxy.post(body)
    assert (status, answer.get("code")) == (400, "invalid_json") or answer["rejected"] == len(answer["items"]) > 0


# -- Prompts and answers -----------------------------------------------------------------------------------------------
def test_nothing_that_people_wrote_reaches_the_database_or_the_log(
    proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    batch = [
        call("a"),
        call("b", status="failure"),
        call("c", cache_hit=True),
        call("d", model=""),
        call("a", model="x/y"),
    ]
    status, answer = proxy.post(json.dumps(batch).encode())
    assert (status, answer["accepted"]) == (200, 1)
    assert CANARY not in json.dumps(answer)
    assert CANARY not in caplog.text
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
        )
        tables = [name for (name,) in cursor.fetchall()]
        assert "usage_event" in tables
        for table in tables:
            cursor.execute(f'SELECT count(*) FROM "{table}" AS one WHERE one::text LIKE %s', [f"%{CANARY}%"])
            assert cursor.fetchone() == (0,), table


def test_a_read_call_holds_no_text_of_anybody() -> None:
    read = read_call(json.dumps(call()).encode())
    assert CANARY not in repr(read)
    failed = read_call(json.dumps(call(status="failure")).encode())
    assert isinstance(failed, Skipped)
    assert CANARY not in repr(failed)


def test_the_same_response_from_the_gateway_and_the_proxy_counts_once(proxy: Proxy) -> None:
    ingest(json.dumps(event("gen-1")).encode())
    item = proxy.item(call("gen-1"))
    assert (item["status"], item["field"]) == ("conflict", "id")
