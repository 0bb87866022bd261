"""What an event costs, and what happens to one that cannot be priced."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tests.shared import shared_data
from tests.usage.factories import NOW, customer, ingest, line, model, violations
from usage.dialects import DIALECTS
from usage.models import QuarantinedEvent, UsageEvent, UsageRollup
from usage.services.rerating import rate_quarantined

pytestmark = pytest.mark.django_db


def statuses(*lines: bytes) -> list[str]:
    return [result.status.value for result in ingest(*lines)]


def test_prices_with_23_decimals_keep_every_digit() -> None:
    customer()
    model(components={"prompt": "0.00000008333333333333334", "completion": "0.0000005"})
    ingest(line(usage={"prompt_tokens": 999_999_999_999, "completion_tokens": 1}))
    assert UsageEvent.objects.get().cost_usd == Decimal("83333.33333375000666666666666")


def test_the_price_in_force_at_the_exact_instant_is_taken() -> None:
    customer()
    turn = datetime(2026, 10, 5, 3, 0, tzinfo=UTC)
    old = model(until=turn)
    new = model(components={"prompt": "0.000001", "completion": "0.000001"}, at=turn)
    ingest(line("before", occurred_at="2026-10-05T02:59:59.999999Z"), line("at", occurred_at="2026-10-05T03:00:00Z"))
    assert {
        id_: (price, cost) for id_, price, cost in UsageEvent.objects.values_list("event_id", "price_id", "cost_usd")
    } == {
        "before": (old.pk, Decimal("0.000345")),
        "at": (new.pk, Decimal("0.000103")),
    }
    assert UsageRollup.objects.count() == 2


def test_a_new_price_changes_no_cost_of_the_past() -> None:
    customer()
    price = model()
    ingest(line())
    price.effective_to = datetime(2026, 9, 1, tzinfo=UTC)
    price.save()
    model(components={"prompt": "1", "completion": "1"}, at=datetime(2026, 9, 1, tzinfo=UTC))
    assert UsageEvent.objects.get().cost_usd == Decimal("0.000345")
    assert statuses(line()) == ["duplicate"]
    assert violations() == []


def test_what_cannot_be_priced_is_kept_and_says_why() -> None:
    owner = customer()
    model("openrouter/auto", kind="variable")
    model("x/odd", kind="quarantined", quarantine_code="unknown_price_key", quarantine_reason="tokens_per_mood")
    model("x/young", at=datetime(2026, 10, 6, tzinfo=UTC))
    model("x/web")
    search = {"prompt_tokens": 1, "completion_tokens": 1, "server_tool_use": {"web_search_requests": 2}}
    results = ingest(
        line("a", model="x/unheard"),
        line("b", model="openrouter/auto"),
        line("c", model="x/odd"),
        line("d", model="x/young"),
        line("e", model="x/web", dialect="openrouter", usage=search),
    )
    assert [(result.status, result.quarantine_code, result.quarantine_detail) for result in results] == [
        ("accepted", "unknown_model", "no model is called x/unheard"),
        (
            "accepted",
            "variable_price",
            "openrouter/auto is a router without a price of its own: the event must name the model that answered",
        ),
        ("accepted", "quarantined_price", "the price of x/odd is quarantined: tokens_per_mood"),
        ("accepted", "unpriced", "x/young had no price at 2026-10-05T03:00:00+00:00"),
        ("accepted", "unpriced_component", "x/web lists no price for web_search"),
    ]
    assert set(UsageEvent.objects.values_list("price_id", "cost_usd")) == {(None, None)}
    assert list(QuarantinedEvent.objects.order_by("event_id").values_list("event_id", "code", "status")) == [
        ("a", "unknown_model", "open"),
        ("b", "variable_price", "open"),
        ("c", "quarantined_price", "open"),
        ("d", "unpriced", "open"),
        ("e", "unpriced_component", "open"),
    ]
    assert UsageRollup.objects.filter(customer=owner).count() == 0
    assert statuses(line("a", model="x/unheard")) == ["duplicate"]
    assert violations() == []


def test_a_routers_answer_is_priced_at_the_model_that_answered() -> None:
    customer()
    model()
    model("openrouter/auto", kind="variable")
    (answer,) = ingest(line(requested_model="openrouter/auto"))
    assert answer.quarantine_code == ""
    assert UsageEvent.objects.get().cost_usd == Decimal("0.000345")


def test_a_cost_beyond_reason_is_kept_aside() -> None:
    customer()
    model(components={"prompt": "99999999999999999999", "completion": "0"})
    (answer,) = ingest(line(usage={"prompt_tokens": 10**12, "completion_tokens": 0}))
    assert answer.quarantine_code == "implausible_cost"
    assert violations() == []


def test_contradictory_counts_are_cut_and_flagged() -> None:
    customer()
    model()
    usage = {"prompt_tokens": 10, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 40}}
    ingest(line(usage=usage))
    stored = UsageEvent.objects.get()
    assert (stored.cache_read_tokens, stored.flags) == (10, ["cache_read_exceeds_prompt"])
    assert stored.cost_usd == Decimal("0.000033")
    assert stored.usage == usage


def test_an_upstream_cost_that_cannot_be_kept_exactly_is_flagged_not_rounded() -> None:
    customer()
    model()
    usage = b'{"prompt_tokens": 1, "completion_tokens": 1, "cost": 1.23e-27}'
    exact, fine = (line(id_, dialect="openrouter", usage="U") for id_ in ("exact", "fine"))
    assert (
        statuses(exact.replace(b'"U"', usage.replace(b"1.23e-27", b"1.23e-26")), fine.replace(b'"U"', usage))
        == ["accepted"] * 2
    )
    assert {
        id_: (cost, flags)
        for id_, cost, flags in UsageEvent.objects.values_list("event_id", "upstream_cost_usd", "flags")
    } == {
        "exact": (Decimal("1.23e-26"), []),
        "fine": (None, ["upstream_cost_unreadable"]),
    }


def test_an_answer_of_several_models_has_no_price_of_one() -> None:
    """An advisor of another model answered a part: pricing all of it at the served model's price would be a guess."""
    customer()
    model()
    part = {"type": "advisor_message", "model": "x/other", "input_tokens": 823, "output_tokens": 1612}
    usage = {"input_tokens": 100, "output_tokens": 50, "iterations": [part]}
    (result,) = ingest(line("a", dialect="anthropic_messages", usage=usage))
    assert (result.status, result.quarantine_code) == ("accepted", "several_models")
    assert UsageEvent.objects.get().cost_usd is None
    assert not UsageRollup.objects.exists()
    assert rate_quarantined(actor="test", now=NOW).rated == 0
    assert QuarantinedEvent.objects.get().status == "open"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_recorded_body_is_stored_soundly_or_refused_by_field(dialect: str) -> None:
    bodies = [case["body"] for case in json.loads(shared_data("provider_usage_bodies.json").read_text())]
    customer()
    model()
    usages = [body.get("usage") or body.get("usageMetadata") for body in bodies]
    results = ingest(*(line(f"{number}", dialect=dialect, usage=usage) for number, usage in enumerate(usages)))
    refused = [result for result in results if result.status == "rejected"]
    assert len(results) == 400
    assert 0 < UsageEvent.objects.count() == 400 - len(refused) < 400
    assert all(result.field.startswith("usage") for result in refused)
    assert violations() == []
