"""Catalogs to list: a small one that can be checked in the head, and the real one of May 2026."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpResponse
from django.test import Client

from accounts.models import Customer
from accounts.services import create_api_key, create_customer
from catalog.models import Model
from tests.catalog.listings import entry, sync, sync_body
from tests.shared import shared_data

#: 1 January 2026 and the days before it, in Unix seconds.
NEW_YEAR = 1_767_225_600
DAY = 86_400

GPT = entry(
    "openai/gpt",
    pricing={"prompt": "0.000001", "completion": "0.000008", "web_search": "0.01", "input_cache_read": "0.0000001"},
    canonical_slug="openai/gpt-2026-01-01",
    name="OpenAI: GPT",
    created=NEW_YEAR,
    description="Reads **text** and <images>.",
    context_length=400_000,
    hugging_face_id=None,
    architecture={
        "modality": "text+image->text",
        "input_modalities": ["text", "image"],
        "output_modalities": ["text"],
        "tokenizer": "GPT",
        "instruct_type": None,
    },
    top_provider={"context_length": 400_000, "max_completion_tokens": 128_000, "is_moderated": True},
    per_request_limits=None,
    supported_parameters=["tools", "tool_choice", "reasoning", "response_format", "seed"],
    default_parameters={"temperature": None, "top_p": 0.95},
    supported_voices=None,
    knowledge_cutoff="2025-09-30",
    expiration_date="2027-01-01",
)
GLM = entry(
    "z-ai/glm",
    prompt="0.0000006",
    completion="0.0000022",
    name="Z.AI: GLM",
    created=NEW_YEAR - DAY,
    context_length=200_000,
    architecture={"input_modalities": ["text"], "output_modalities": ["text"], "tokenizer": "Other"},
    supported_parameters=["tools", "temperature"],
)
GLM_FREE = entry(
    "z-ai/glm:free",
    prompt="0",
    completion="0",
    canonical_slug="z-ai/glm",
    name="Z.AI: GLM (free)",
    created=NEW_YEAR - DAY,
    context_length=100_000,
    architecture={"input_modalities": ["text"], "output_modalities": ["text"], "tokenizer": "Other"},
    supported_parameters=["temperature"],
)
PAINTER = entry(
    "openai/painter",
    prompt="0.00001",
    completion="0.00004",
    name="OpenAI: Painter",
    created=NEW_YEAR - 2 * DAY,
    context_length=8_000,
    architecture={"input_modalities": ["text", "image"], "output_modalities": ["image"], "tokenizer": "Media"},
    supported_parameters=["seed"],
)
EMBEDDER = entry(
    "openai/embedder",
    prompt="0.00000002",
    completion="0",
    name="OpenAI: Embedder",
    created=NEW_YEAR - 3 * DAY,
    context_length=8_192,
    architecture={"input_modalities": ["text"], "output_modalities": ["embeddings"], "tokenizer": "GPT"},
)
AUTO = entry(
    "openrouter/auto",
    prompt="-1",
    completion="-1",
    name="Auto Router",
    created=NEW_YEAR - 4 * DAY,
    context_length=2_000_000,
    architecture={
        "modality": "text+image->text+image",
        "input_modalities": ["text", "image"],
        "output_modalities": ["text", "image"],
        "tokenizer": "Router",
    },
    supported_parameters=["tools", "reasoning"],
)
SMALL = (GPT, GLM, GLM_FREE, PAINTER, EMBEDDER, AUTO)
#: What the small catalog lists by default: text models, newest first.
TEXT_IDS = ["openai/gpt", "z-ai/glm", "z-ai/glm:free", "openrouter/auto"]
ALL_IDS = ["openai/gpt", "z-ai/glm", "z-ai/glm:free", "openai/painter", "openai/embedder", "openrouter/auto"]


def sync_small(*more: dict[str, Any]) -> None:
    """The small catalog, in force since May 2026."""
    sync(*SMALL, *more)


def sync_real() -> list[dict[str, Any]]:
    """The 356 models of OpenRouter's listing of 12 May 2026; their entries as they were listed."""
    body = shared_data("openrouter-models-2026-05-12.json").read_bytes()
    sync_body(body)
    entries: list[dict[str, Any]] = json.loads(body)["data"]
    return entries


def model(model_id: str) -> Model:
    """The row of a model."""
    return Model.objects.get(model_id=model_id)


def customer(slug: str = "hanbit", **limits: Any) -> tuple[Customer, str]:
    """A customer with a key: the row and the secret."""
    row = create_customer(slug=slug, name=slug, actor="tests", **limits)
    return row, create_api_key(customer=row, name="test", actor="tests").secret


def bearer(secret: str) -> dict[str, str]:
    """The header that carries a key."""
    return {"authorization": f"Bearer {secret}"}


def ids(client: Client, query: str = "", *, path: str = "/v1/models", secret: str | None = None) -> list[str]:
    """The ids that a list answers with, in its order."""
    response = client.get(f"{path}?{query}", headers=bearer(secret) if secret else {})
    assert response.status_code == 200, response.content
    return [row["id"] for row in response.json()["data"]]


def error(response: HttpResponse) -> tuple[int, str, str | None, str]:
    """Status, type, param and message of an error answer, whose shape is checked."""
    body = response.json()
    assert list(body) == ["error"]
    refusal = body["error"]
    assert list(refusal) == ["message", "type", "code", "param", "metadata"]
    assert refusal["code"] == response.status_code
    assert refusal["metadata"]["error_type"] == refusal["type"]
    assert response.headers["Content-Type"] == "application/json"
    return response.status_code, refusal["type"], refusal["param"], refusal["message"]
