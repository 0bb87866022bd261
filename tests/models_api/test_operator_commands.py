"""The terminal's way to the provider listing and to a contract's limits."""

from __future__ import annotations

import pytest
from django.test import Client

from accounts.services import create_api_key, create_customer
from tests.billing.commands import run
from tests.billing.month import open_house

pytestmark = pytest.mark.django_db


def listed(client: Client, query: str = "?output_modalities=all", **headers: str) -> list[str]:
    return [row["id"] for row in client.get(f"/v1/models{query}", headers=headers).json()["data"]]


def test_a_model_is_put_into_the_provider_listing_and_taken_out(client: Client) -> None:
    open_house()
    assert listed(client, "?format=openrouter") == []
    code, answer = run(
        "set_provider_listing", "acme/dollar", "--ready", "--datacenters", "KR, JP", "--quantization", "fp8"
    )
    assert (code, answer) == (
        0,
        {
            "model": "acme/dollar",
            "is_listed": True,
            "is_ready": True,
            "quantization": "fp8",
            "datacenters": ["KR", "JP"],
        },
    )
    assert listed(client, "?format=openrouter") == ["acme/dollar"]
    assert run("set_provider_listing", "acme/dollar", "--off")[1]["is_listed"] is False
    assert listed(client, "?format=openrouter") == []


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (["acme/none"], "model"),
        (["acme/router"], "model"),
        (["acme/dollar", "--datacenters", "XX"], "datacenters"),
        (["acme/dollar", "--quantization", "fp9"], "quantization"),
        (["acme/dollar", "--ready"], "is_ready"),
    ],
)
def test_what_cannot_be_listed_is_named(arguments: list[str], field: str) -> None:
    open_house()
    code, answer = run("set_provider_listing", *arguments)
    assert (code, answer["error"]["field"]) == (2, field)


def test_a_contract_covers_some_models_and_then_all(client: Client) -> None:
    open_house()
    customer = create_customer(slug="gaon", name="가온", actor="t")
    bearer = f"Bearer {create_api_key(customer=customer, name='k', actor='t').secret}"
    everything = listed(client, authorization=bearer)
    assert run("set_customer_models", "gaon", "--models", "acme/cent")[0] == 0
    assert listed(client, authorization=bearer) == ["acme/cent"]
    code, answer = run("set_customer_models", "gaon", "--providers", "nobody")
    assert (code, answer["error"]["field"]) == (2, "enabled_providers")
    assert run("set_customer_models", "gaon") == (
        0,
        {"customer": "gaon", "enabled_providers": None, "allowed_models": None},
    )
    assert listed(client, authorization=bearer) == everything
    assert len(everything) == 4
