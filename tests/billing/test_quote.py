"""manage.py quote: the engine's own arithmetic on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from catalog.services import sync_catalog
from tests.billing.commands import run
from tests.billing.factories import ACTOR
from tests.billing.month import DOLLAR, NOW, open_house
from tests.shared import shared_data

pytestmark = pytest.mark.django_db

AT = "2026-10-15T00:00:00Z"


def quote(model: str, usage: Any, *options: str) -> tuple[int, dict[str, Any]]:
    text = usage if isinstance(usage, str) else json.dumps(usage)
    return run("quote", model, "--usage", text, "--at", AT, *options)


def tokens(count: int) -> dict[str, int]:
    return {"prompt_tokens": count, "completion_tokens": 0}


def test_one_dollar() -> None:
    open_house()
    code, answer = quote("acme/dollar", tokens(DOLLAR), "--rate", "1400", "--margin", "0.15")
    assert code == 0
    assert answer == {
        "model": "acme/dollar",
        "cost_usd": "1",
        "supply_krw": 1647,
        "vat_krw": 165,
        "total_krw": 1812,
        "rate": "1400",
        "rate_source": "given",
        "margin": "0.15",
        "basis": "catalog",
        "flags": [],
        "components": [
            {"key": "prompt", "quantity": 1_000_000, "unit_price_usd": "0.000001", "amount_usd": "1"},
        ],
    }


def test_every_shared_won_vector_that_is_a_sale() -> None:
    open_house()
    for vector in json.loads(shared_data("korea/pricing_vectors.json").read_text()):
        count = round(float(vector["usd"]) * 100_000_000)
        if count < 0:
            continue  # no usage costs a negative amount; the arithmetic itself is tried in tests/pure
        code, answer = quote("acme/cent", tokens(count), "--rate", vector["fx"], "--margin", vector["gross_margin"])
        expected = (vector["supply_half_up"], vector["vat_half_up"], vector["supply_half_up"] + vector["vat_half_up"])
        assert (answer["supply_krw"], answer["vat_krw"], answer["total_krw"]) == expected, (vector, code)


def test_rate_and_margin_in_force_when_none_is_given() -> None:
    open_house(rate="1500", margin="0.25")
    code, answer = run("quote", "acme/dollar", "--usage", json.dumps(tokens(DOLLAR)), "--at", "2026-11-01T00:00:00Z")
    assert (code, answer["supply_krw"], answer["rate_source"]) == (0, 2000, "test 2026-10-30")


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("acme/router", "variable_price"),
        ("acme/none", "unknown_model"),
        ("a" * 10_000, "unknown_model"),
        ("", "unknown_model"),
    ],
)
def test_no_number_without_a_price(model: str, code: str) -> None:
    open_house()
    exit_code, answer = quote(model, tokens(500_000), "--rate", "1400", "--margin", "0.15")
    assert (exit_code, answer["error"]["code"]) == (2, code)
    assert "supply_krw" not in answer


def test_before_its_first_price_a_model_has_none() -> None:
    open_house()
    code, answer = run(
        "quote", "acme/dollar", "--usage", json.dumps(tokens(1)), "--at", "2025-12-31T23:59:59Z", "--rate", "1400"
    )
    assert (code, answer["error"]["code"]) == (2, "unpriced")


@pytest.mark.parametrize(
    ("usage", "field"),
    [
        ('{"prompt_tokens": -1, "completion_tokens": 0}', "usage.prompt_tokens"),
        ('{"prompt_tokens": "1_000", "completion_tokens": 0}', "usage.prompt_tokens"),
        ('{"prompt_tokens": "１２", "completion_tokens": 0}', "usage.prompt_tokens"),
        ('{"prompt_tokens": 1.5, "completion_tokens": 0}', "usage.prompt_tokens"),
        ('{"prompt_tokens": NaN, "completion_tokens": 0}', "usage.prompt_tokens"),
        ('{"prompt_tokens": ' + "9" * 5000 + ', "completion_tokens": 0}', "usage.prompt_tokens"),
        ('{"prompt_tokens": 1, "prompt_tokens": 2}', "usage.prompt_tokens"),
        ("[" * 2000 + "]" * 2000, "usage"),
        ("not json", "usage"),
        ("[]", "usage"),
        ("{}", "usage"),
    ],
)
def test_bad_usage_is_named(usage: str, field: str) -> None:
    open_house()
    code, answer = quote("acme/dollar", usage, "--rate", "1400", "--margin", "0.15")
    assert (code, answer["error"]["code"], answer["error"].get("field")) == (2, "invalid_input", field)


@pytest.mark.parametrize(
    ("option", "value", "field"),
    [
        ("--rate", "0", "rate"),
        ("--rate", "-1400", "rate"),
        ("--rate", "1,40", "rate"),
        ("--rate", "99.9", "rate"),
        ("--rate", "10000.1", "rate"),
        ("--rate", "1e3", "rate"),
        ("--margin", "1", "margin"),
        ("--margin", "NaN", "margin"),
        ("--at", "2026-10-15T00:00:00", "at"),
        ("--at", "2026-02-30T00:00:00Z", "at"),
        ("--dialect", "claude", "dialect"),
    ],
)
def test_bad_options_are_named(option: str, value: str, field: str) -> None:
    open_house()
    code, answer = quote("acme/dollar", tokens(1), "--rate", "1400", "--margin", "0.15", f"{option}={value}")
    assert (code, answer["error"]["field"]) == (2, field)


def test_what_has_no_price_is_not_left_out_silently() -> None:
    open_house()
    usage = tokens(1) | {"server_tool_use_details": {"web_search_requests": 2}}
    code, answer = quote("acme/dollar", usage, "--rate", "1400", "--margin", "0.15")
    assert (code, answer["error"]["code"]) == (2, "unpriced_component")


def test_the_real_auto_router_has_no_quote(tmp_path: Path) -> None:
    """The page that began it all: 0.5M + 0.5M tokens of openrouter/auto are not worth minus 1.8 billion won."""
    listing = shared_data("openrouter-models-2026-05-12.json")
    open_house()
    sync_catalog(body=listing.read_bytes(), source="shared", at=NOW, actor=ACTOR, now=NOW, accept_shrink=True)
    usage = json.dumps({"prompt_tokens": 500_000, "completion_tokens": 500_000})
    code, answer = run("quote", "openrouter/auto", "--usage", usage, "--rate", "1400", "--margin", "0.15")
    assert (code, answer["error"]["code"]) == (2, "variable_price")


def test_what_the_upstream_charged_differently_is_reported_as_drift() -> None:
    open_house()
    usage = tokens(DOLLAR) | {"cost": 1.35, "is_byok": False}
    code, answer = quote("acme/dollar", usage, "--rate", "1400", "--margin", "0.15")
    assert (code, answer["cost_usd"], answer["upstream_cost_usd"], answer["drift_usd"]) == (0, "1", "1.35", "-0.35")
