"""What OpenRouter's clients read about usage, over HTTP where the real `openrouter` package parses it."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from openrouter import OpenRouter, errors
from pytest_django.live_server_helper import LiveServer

from accounts.models import ApiKey, Customer
from accounts.services import create_api_key
from tests.models_api.catalogs import error
from tests.nodejs import RunNode
from tests.usage.factories import ACTOR, MODEL, customer, ingest, line, model
from tests.usage_api.asking import get, key_of
from usage.models import QuarantinedEvent, UsageAlias, UsageApp
from usage.services.quarantine import exclude_quarantined
from usage.services.rerating import rate_quarantined

FULL = {
    "prompt_tokens": 1_000,
    "completion_tokens": 100,
    "total_tokens": 1_100,
    "prompt_tokens_details": {"cached_tokens": 200},
    "completion_tokens_details": {"reasoning_tokens": 40},
    "cost": 0.0011,
    "cost_details": {"upstream_inference_cost": 0.0009},
}
#: 800 x 3 + 200 x 0.3 + 100 x 15 dollars a million.
FULL_USD = 0.00396


def noon(days_ago: int) -> str:
    """Noon UTC so many days before today: that day for UTC and for Korea alike."""
    at = timezone.now().astimezone(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
    return (at - timedelta(days=days_ago)).isoformat()


def meter(*lines: bytes) -> None:
    assert {result.status for result in ingest(*lines, now=timezone.now())} == {"accepted"}


def house() -> tuple[Customer, str, str]:
    """hanbit with its key: the row, secret and prefix; gaon beside it."""
    model()
    customer("gaon")
    owner = customer()
    return owner, *key_of(owner)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("prefix", ["/v1", "/api/v1"])
def test_the_real_client_parses_all_four(live_server: LiveServer, prefix: str) -> None:
    _, secret, key = house()
    app = {"title": "Desk", "referer": "https://desk.example"}
    meter(
        line("gen-1", dialect="openrouter", usage=FULL, api_key=key, occurred_at=noon(2), app=app),
        line("gen-2", dialect="openrouter", usage=FULL, occurred_at=noon(2)),
        line("theirs", customer="gaon", occurred_at=noon(2)),
    )
    with OpenRouter(api_key=secret, server_url=live_server.url + prefix, retry_config=None) as client:
        one = client.generations.get_generation(id="gen-1").data
        days = client.analytics.get_user_activity().data
        credits_read = client.credits.get_credits().data
        own = client.api_keys.get_current_key_metadata().data
        with pytest.raises(errors.NotFoundResponseError):
            client.generations.get_generation(id="theirs")

    assert (one.id, one.model, one.total_cost, one.usage) == ("gen-1", MODEL, FULL_USD, FULL_USD)
    assert (one.native_tokens_prompt, one.native_tokens_cached, one.native_tokens_reasoning) == (1_000, 200, 40)
    assert (one.upstream_id, one.upstream_inference_cost, one.is_byok) == (None, None, False)
    assert (one.origin, one.http_referer) == ("https://desk.example", "https://desk.example")
    [day] = days
    assert (day.date_, day.model, day.requests, day.usage) == (noon(2)[:10], MODEL, 2, 2 * FULL_USD)
    assert (day.prompt_tokens, day.completion_tokens, day.reasoning_tokens, day.cached_tokens) == (2_000, 200, 80, 400)
    assert (credits_read.total_credits, credits_read.total_usage) == (2 * FULL_USD, 2 * FULL_USD)
    assert (own.usage, own.limit, own.is_management_key) == (FULL_USD, None, False)


@pytest.mark.django_db
def test_no_answer_holds_what_the_upstream_charged() -> None:
    _, secret, key = house()
    meter(line("gen-1", dialect="openrouter", usage=FULL, api_key=key, occurred_at=noon(2)))
    for path in ("/v1/generation?id=gen-1", "/v1/activity", "/v1/credits", "/v1/key"):
        answer = Client().get(path, headers={"authorization": f"Bearer {secret}"})
        assert answer.status_code == 200
        assert b"0.0011" not in answer.content
        assert b"0.0009" not in answer.content


@pytest.mark.django_db
def test_a_generation_without_a_cost_is_not_found_yet_and_an_excluded_one_costs_nothing() -> None:
    _, secret, _ = house()
    meter(*(line(name, model="x/new", occurred_at=noon(2)) for name in ("held", "out")))
    exclude_quarantined(
        event=QuarantinedEvent.objects.get(event_id="out"), actor=ACTOR, reason="a test", now=timezone.now()
    )
    assert error(get(secret, "/v1/generation", id="held"))[:3] == (404, "not_found", "id")
    assert get(secret, "/v1/generation", id="out").json()["data"]["total_cost"] == 0
    assert get(secret, "/v1/activity").json() == {"data": []}
    model("x/new")
    rate_quarantined(actor=ACTOR, now=timezone.now())
    assert get(secret, "/v1/generation", id="held").json()["data"]["total_cost"] == 0.000345
    [day] = get(secret, "/v1/activity").json()["data"]
    assert (day["model"], day["requests"], day["usage"]) == ("x/new", 1, 0.000345)


@pytest.mark.django_db
def test_activity_is_the_last_thirty_full_utc_days() -> None:
    _, secret, _ = house()
    today = timezone.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    times = {
        "today": today,
        "yesterday": today - timedelta(seconds=1),
        "first": today - timedelta(days=30),
        "before": today - timedelta(days=30, seconds=1),
    }
    meter(*(line(name, occurred_at=at.isoformat()) for name, at in times.items()))
    days = [(row["date"], row["requests"]) for row in get(secret, "/v1/activity").json()["data"]]
    yesterday, first = f"{times['yesterday']:%Y-%m-%d}", f"{times['first']:%Y-%m-%d}"
    assert days == [(yesterday, 1), (first, 1)]
    assert [row["date"] for row in get(secret, "/v1/activity", date=first).json()["data"]] == [first]
    for wrong in (f"{today:%Y-%m-%d}", "2020-01-01", "2026-02-30", "yesterday"):
        assert error(get(secret, "/v1/activity", date=wrong))[:3] == (400, "invalid_request", "date")


@pytest.mark.django_db
def test_activity_of_a_key_and_of_the_workspace() -> None:
    owner, secret, key = house()
    meter(line("keyed", api_key=key, occurred_at=noon(2)), line("other", occurred_at=noon(2)))
    by_key = get(secret, "/v1/activity", api_key_hash=bytes(ApiKey.objects.get(prefix=key).digest).hex()).json()["data"]
    assert [(row["requests"], "workspace_id" in row) for row in by_key] == [(1, False)]
    workspace = get(secret, "/v1/key").json()["data"]["workspace_id"]
    [row] = get(secret, "/v1/activity", group_by="workspace", workspace_id=workspace).json()["data"]
    assert (row["requests"], row["workspace_id"]) == (2, workspace)
    assert get(secret, "/v1/generation", id="keyed").json()["data"]["workspace_id"] == workspace
    key_of(Customer.objects.get(slug="gaon"), "theirs")
    foreign = bytes(ApiKey.objects.get(customer__slug="gaon").digest).hex()
    for name, wrong, status in (
        ("api_key_hash", "00", 400),
        ("api_key_hash", foreign, 404),
        ("workspace_id", "550e8400-e29b-41d4-a716-446655440000", 404),
        ("group_by", "user", 400),
        ("user_id", "user_abc123", 400),
    ):
        assert error(get(secret, "/v1/activity", **{name: wrong}))[::2] == (status, name)
    assert owner.pk


@pytest.mark.django_db
def test_a_generation_is_found_by_its_upstreams_id_and_names_its_app() -> None:
    owner, secret, key = house()
    meter(
        line("gen-ours", api_key=key, occurred_at=noon(2), app={"title": "Desk"}),
        line("chatcmpl-own", occurred_at=noon(2)),
    )
    for upstream_id in ("chatcmpl-1", "chatcmpl-own"):
        UsageAlias.objects.create(customer=owner, upstream_id=upstream_id, event_id="gen-ours")
    other = customer("another")
    UsageAlias.objects.create(customer=other, upstream_id="chatcmpl-2", event_id="gen-ours")

    found = get(secret, "/v1/generation", id="chatcmpl-1").json()["data"]
    assert (found["id"], found["app_id"], found["http_referer"]) == ("gen-ours", UsageApp.objects.get().pk, None)
    own = get(secret, "/v1/generation", id="chatcmpl-own").json()["data"]
    assert (own["id"], own["app_id"]) == ("chatcmpl-own", None)
    assert error(get(secret, "/v1/generation", id="chatcmpl-2"))[:2] == (404, "not_found")


@pytest.mark.django_db
def test_a_key_with_a_limit_tells_what_remains_of_it_this_month() -> None:
    _, secret, key = house()
    ApiKey.objects.filter(prefix=key).update(monthly_limit_usd="0.0005")
    meter(line("now", api_key=key, occurred_at=timezone.now().isoformat()))

    def limits() -> tuple[Any, ...]:
        data = get(secret, "/v1/key").json()["data"]
        return data["limit"], data["limit_remaining"], data["limit_reset"]

    assert limits() == (0.0005, 0.000155, "monthly")
    meter(line("more", api_key=key, occurred_at=timezone.now().isoformat()))
    assert limits() == (0.0005, 0, "monthly")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("prefix", ["/v1", "/api/v1"])
def test_the_javascript_client_parses_all_four(live_server: LiveServer, run_node: RunNode, prefix: str) -> None:
    _, secret, key = house()
    app = {"title": "Desk", "referer": "https://desk.example"}
    meter(line("gen-1", dialect="openrouter", usage=FULL, api_key=key, occurred_at=noon(2), app=app))
    answer = run_node("openrouter_usage.mjs", live_server.url + prefix, secret, noon(2)[:10])
    one, [day] = answer["generation"], answer["activity"]
    assert (one["id"], one["totalCost"], one["appId"]) == ("gen-1", FULL_USD, UsageApp.objects.get().pk)
    assert (one["upstreamInferenceCost"], one["httpReferer"]) == (None, "https://desk.example")
    assert (day["date"], day["usage"], day["promptTokens"]) == (noon(2)[:10], FULL_USD, 1_000)
    assert answer["credits"] == {"totalCredits": FULL_USD, "totalUsage": FULL_USD}
    assert (answer["key"]["usage"], answer["key"]["limitReset"]) == (FULL_USD, None)
    assert answer["refusal"] == {"name": "NotFoundResponseError", "status": 404}


@pytest.mark.django_db
def test_a_key_tells_its_own_usage_of_this_korean_day_week_and_month() -> None:
    _, secret, key = house()
    now = timezone.now()
    meter(
        line("now", api_key=key, occurred_at=now.isoformat()),
        line("long-ago", api_key=key, occurred_at=(now - timedelta(days=32)).isoformat()),
        line("without", occurred_at=now.isoformat()),
    )
    data: dict[str, Any] = get(secret, "/v1/key").json()["data"]
    assert (data["usage"], data["usage_daily"], data["usage_weekly"], data["usage_monthly"]) == (
        0.00069,
        0.000345,
        0.000345,
        0.000345,
    )
    assert data["label"] == f"{key}...{ApiKey.objects.get(prefix=key).last4}"
    assert secret not in str(data)


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["generation", "activity", "credits", "key"])
def test_who_may_not_ask(path: str) -> None:
    ingest_key = create_api_key(customer=None, name="ingest", actor=ACTOR).secret
    assert error(get(ingest_key, f"/v1/{path}"))[:2] == (403, "permission_denied")
    assert error(get("sk-jeongsan-nobody", f"/api/v1/{path}"))[:2] == (401, "authentication")
    assert error(Client().get(f"/v1/{path}"))[:2] == (401, "authentication")
    assert error(Client().post(f"/v1/{path}"))[:2] == (405, "method_not_allowed")


@pytest.mark.django_db
def test_an_id_that_is_none() -> None:
    _, secret, _ = house()
    for wrong in ({}, {"id": ""}, {"id": "a\0b"}):
        assert error(get(secret, "/v1/generation", **wrong))[:3] == (400, "invalid_request", "id")
    assert error(get(secret, "/v1/generation", id="gen-nothing"))[:3] == (404, "not_found", "id")
