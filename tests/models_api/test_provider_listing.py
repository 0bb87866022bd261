"""`GET /v1/models?format=openrouter`: what a marketplace reads of the models that we serve ourselves."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from accounts.errors import InvalidInput
from accounts.models import AuditEntry
from catalog.services import set_provider_listing, set_router_targets
from tests.catalog.listings import JUNE, entry, sync
from tests.models_api.catalogs import DAY, NEW_YEAR, SMALL, bearer, customer, model, sync_small

pytestmark = pytest.mark.django_db

QWEN = entry(
    "qwen/qwen3.5-9b",
    pricing={
        "prompt": "0.00000009",
        "completion": "0.000000130",
        "image": "0",
        "input_cache_read": "0.000000045",
    },
    hugging_face_id="Qwen/Qwen3.5-9B",
    name="Qwen3.5 9B",
    created=NEW_YEAR + DAY,
    context_length=262_144,
    architecture={"input_modalities": ["text", "image", "video"], "output_modalities": ["text"]},
    top_provider={"context_length": 262_144, "max_completion_tokens": 32_768, "is_moderated": False},
    supported_parameters=[
        "max_tokens", "logit_bias", "temperature", "top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty",
        "repetition_penalty", "stop", "seed", "tools", "tool_choice", "response_format", "structured_outputs",
        "reasoning", "include_reasoning",
    ],
)  # fmt: skip


def listing(client: Client, query: str = "", **options: Any) -> list[dict[str, Any]]:
    body = client.get(f"/v1/models?format=openrouter{query}", **options).json()
    assert list(body) == ["data"]
    rows: list[dict[str, Any]] = body["data"]
    return rows


def flag(model_id: str, **options: Any) -> None:
    set_provider_listing(model=model(model_id), is_listed=True, actor="tests", **options)


def test_an_entry_has_exactly_the_fields_of_the_listing(client: Client) -> None:
    sync_small(QWEN)
    flag("qwen/qwen3.5-9b", is_ready=True, quantization="fp8", datacenters=["JP", "KR"])

    assert listing(client) == [
        {
            "id": "qwen/qwen3.5-9b",
            "hugging_face_id": "Qwen/Qwen3.5-9B",
            "name": "Qwen3.5 9B",
            "created": NEW_YEAR + DAY,
            "input_modalities": ["text", "image", "video"],
            "output_modalities": ["text"],
            "quantization": "fp8",
            "context_length": 262_144,
            "max_output_length": 32_768,
            "pricing": {
                "prompt": "0.00000009",
                "completion": "0.00000013",
                "request": "0",
                "image": "0",
                "input_cache_read": "0.000000045",
            },
            "supported_sampling_parameters": [
                "temperature",
                "top_p",
                "top_k",
                "min_p",
                "frequency_penalty",
                "presence_penalty",
                "repetition_penalty",
                "stop",
                "seed",
                "max_tokens",
                "logit_bias",
            ],
            "supported_features": ["tools", "json_mode", "structured_outputs", "reasoning"],
            "is_ready": True,
            "openrouter": {"slug": "qwen/qwen3.5-9b"},
            "datacenters": [{"country_code": "JP"}, {"country_code": "KR"}],
        }
    ]


def test_only_flagged_models_of_whatever_modality_stand_there(client: Client) -> None:
    sync_small(QWEN)
    assert listing(client) == []
    for model_id in ("openai/painter", "z-ai/glm"):
        flag(model_id)

    rows = {row["id"]: row for row in listing(client)}

    assert list(rows) == ["z-ai/glm", "openai/painter"]
    assert (rows["z-ai/glm"]["is_ready"], rows["z-ai/glm"]["datacenters"]) == (False, [])
    assert (rows["z-ai/glm"]["quantization"], rows["z-ai/glm"]["hugging_face_id"]) == ("unknown", None)
    assert rows["z-ai/glm"]["max_output_length"] == 200_000  # nothing smaller than the context is known
    assert rows["openai/painter"]["supported_features"] == []


def test_filters_and_pages_apply_to_what_is_flagged(client: Client) -> None:
    sync_small(QWEN)
    for model_id in ("openai/painter", "z-ai/glm", "qwen/qwen3.5-9b"):
        flag(model_id)

    assert [row["id"] for row in listing(client, "&q=glm")] == ["z-ai/glm"]
    assert [row["id"] for row in listing(client, "&output_modalities=image")] == ["openai/painter"]
    assert [row["id"] for row in listing(client, "&offset=1&limit=1")] == ["z-ai/glm"]
    _, secret = customer(enabled_providers=["openai"])
    assert [row["id"] for row in listing(client, headers=bearer(secret))] == ["openai/painter"]


@pytest.mark.parametrize(
    ("parameters", "features"),
    [
        (["logprobs", "top_logprobs"], ["logprobs"]),
        (["web_search_options"], ["web_search"]),
        (["include_reasoning"], ["reasoning"]),
        (["response_format"], ["json_mode"]),
        (["parallel_tool_calls", "verbosity"], []),
    ],
)
def test_features_follow_from_the_parameters(client: Client, parameters: list[str], features: list[str]) -> None:
    sync(entry("a/x", supported_parameters=parameters))
    flag("a/x")

    assert listing(client)[0]["supported_features"] == features


def test_prices_have_no_exponent_and_tiers_stay(client: Client) -> None:
    price = {
        "prompt": "0.00000008333333333333334",
        "completion": "0.0000000000000000000000000001",
        "overrides": [{"min_prompt_tokens": 1000, "prompt": "0.1"}],
    }
    sync(entry("a/x", pricing=price))
    flag("a/x")

    assert listing(client)[0]["pricing"] == {
        "prompt": "0.00000008333333333333334",
        "completion": "0.0000000000000000000000000001",
        "request": "0",
        "overrides": [{"min_prompt_tokens": 1000, "prompt": "0.1"}],
    }


def test_a_flagged_model_that_loses_its_price_or_is_retired_leaves_the_listing(client: Client) -> None:
    sync_small(QWEN)
    flag("qwen/qwen3.5-9b")
    flag("z-ai/glm")

    sync(*(one for one in SMALL if one["id"] != "z-ai/glm"), {**QWEN, "pricing": {"prompt": "-1", "completion": "-1"}},
         at=JUNE)  # fmt: skip

    assert listing(client) == []


def test_flags_are_kept_with_who_set_them_and_the_same_again_is_no_change() -> None:
    sync_small()
    for _ in range(2):
        flag("z-ai/glm", is_ready=True, quantization="fp8", datacenters=["KR"], reason="live since May")
    set_provider_listing(model=model("z-ai/glm"), is_listed=False, actor="kim")

    first, second = AuditEntry.objects.filter(action="set_provider_listing").order_by("pk")
    assert (first.actor, first.reason) == ("tests", "live since May")
    assert first.data == {
        "is_provider_listed": True,
        "is_ready": True,
        "quantization": "fp8",
        "datacenters": ["KR"],
    }
    assert (second.actor, second.data["is_provider_listed"]) == ("kim", False)


@pytest.mark.parametrize(
    ("model_id", "options", "field"),
    [
        ("z-ai/glm", {"quantization": "fp7"}, "quantization"),
        ("z-ai/glm", {"datacenters": ["KO"]}, "datacenters"),
        ("z-ai/glm", {"datacenters": ["kr"]}, "datacenters"),
        ("z-ai/glm", {"datacenters": ["KOR"]}, "datacenters"),
        ("z-ai/glm", {"datacenters": ["150"]}, "datacenters"),
        ("z-ai/glm", {"datacenters": ["EU"]}, "datacenters"),
        ("z-ai/glm", {"datacenters": ["KR", "KR"]}, "datacenters"),
        ("z-ai/glm", {"is_ready": True}, "is_ready"),
        ("z-ai/glm", {"is_listed": False, "is_ready": True, "datacenters": ["KR"]}, "is_ready"),
        ("openrouter/auto", {}, "model"),
    ],
)
def test_what_a_marketplace_could_not_read_is_refused(model_id: str, options: dict[str, Any], field: str) -> None:
    sync_small()

    with pytest.raises(InvalidInput) as refusal:
        set_provider_listing(model=model(model_id), actor="tests", **{"is_listed": True, **options})

    assert refusal.value.field == field
    assert not model(model_id).is_provider_listed


def test_a_model_that_others_are_reached_through_is_a_router_too() -> None:
    sync_small()
    set_router_targets(router=model("z-ai/glm:free"), targets=[model("z-ai/glm")], actor="tests")

    with pytest.raises(InvalidInput, match="passes requests on"):
        flag("z-ai/glm:free")
