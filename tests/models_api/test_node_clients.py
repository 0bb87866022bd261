"""The official JavaScript clients, unmodified, against a live server: only the base URL is ours."""

from __future__ import annotations

from decimal import Decimal

import pytest
from pytest_django.live_server_helper import LiveServer

from tests.models_api.catalogs import customer, sync_real
from tests.nodejs import RunNode

pytestmark = pytest.mark.django_db(transaction=True)


def test_openrouters_sdk_reads_everything(live_server: LiveServer, run_node: RunNode) -> None:
    listed = {row["id"]: row for row in sync_real()}
    newest = [row["id"] for row in sorted(listed.values(), key=lambda row: (-row["created"], row["id"]))]
    _, secret = customer(enabled_providers=["openai"], allowed_models=["openai/gpt-5-mini", "z-ai/glm-4.6"])

    answer = run_node("openrouter_sdk.mjs", f"{live_server.url}/api/v1", secret)

    assert answer["ids"] == newest
    assert (answer["totalCount"], answer["next"], answer["count"]) == (356, None, 356)
    assert answer["pages"] == [100, 100, 100, 56]
    assert answer["auto"] == {"prompt": "-1", "completion": "-1"}
    assert answer["free"] == {"prompt": "0", "completion": "0", "request": "0"}
    assert answer["cheap"] == [
        "openai/gpt-4.1-nano",
        "openai/gpt-4o-mini",
        "openai/gpt-4o-mini-2024-07-18",
        "openai/gpt-5.4-nano",
        "openai/gpt-5-mini",
        "openai/gpt-5.1-codex-mini",
    ]
    assert set(answer["tiny"]) == {
        row["id"] for row in listed.values() if 0 < Decimal(row["pricing"]["prompt"]) * 1_000_000 <= Decimal("0.02")
    }
    assert answer["own"] == ["openai/gpt-5-mini"]

    entry = listed["openai/gpt-5-mini"]
    model = answer["model"]
    assert (model["id"], model["canonicalSlug"]) == ("openai/gpt-5-mini", "openai/gpt-5-mini-2025-08-07")
    assert model["pricing"] == {
        "prompt": "0.00000025",
        "completion": "0.000002",
        "request": "0",
        "webSearch": "0.01",
        "inputCacheRead": "0.000000025",
    }
    assert model["supportedParameters"] == entry["supported_parameters"]
    assert model["architecture"]["inputModalities"] == entry["architecture"]["input_modalities"]
    assert answer["one"] == model
    [endpoint] = answer["endpoints"]["endpoints"]
    assert (endpoint["providerName"], endpoint["contextLength"]) == ("OpenAI", 400_000)
    assert endpoint["supportsToolChoice"] == {"auto": True, "function": True, "none": True, "required": True}
    assert {"name": "OpenAI", "slug": "openai"}.items() <= next(
        row for row in answer["providers"] if row["slug"] == "openai"
    ).items()

    missing, wrong, nobody = answer["refusals"]
    assert (missing["name"], missing["code"]) == ("NotFoundResponseError", 404)
    assert "Did you mean openai/gpt-5-mini" in missing["message"]
    assert wrong == {
        "name": "BadRequestResponseError",
        "status": 400,
        "code": 400,
        "message": "limit: '1001' is not a whole number from 1 to 1000.",
    }
    assert (nobody["name"], nobody["code"]) == ("UnauthorizedResponseError", 401)


def test_the_ai_sdk_provider_takes_our_models_and_our_refusals(live_server: LiveServer, run_node: RunNode) -> None:
    sync_real()
    _, secret = customer(enabled_providers=["anthropic"])

    answer = run_node("ai_sdk_provider.mjs", f"{live_server.url}/api/v1", secret)

    assert "anthropic/claude-sonnet-4.5" in answer["ids"]
    assert all("anthropic/" in model_id for model_id in answer["ids"])
    assert answer["provider"] == "openrouter"
    assert answer["refusal"] == {
        "isCallError": True,
        "status": 404,
        "message": "There is nothing at '/api/v1/nowhere/chat/completions'.",
        "url": f"{live_server.url}/api/v1/nowhere/chat/completions",
        "isRetryable": False,
    }
