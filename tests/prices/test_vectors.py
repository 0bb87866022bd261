"""The shared cost vectors through the real path: a listing is synced, and the command quotes its tiers and caches."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.billing.commands import run
from tests.catalog.listings import entry, sync
from tests.shared import shared_data

pytestmark = pytest.mark.django_db

TERMS = ("--rate", "1400", "--margin", "0.15")
NIGHT = {"utc_start": 1630, "utc_end": 30, "prompt": "0.000001"}
TIER_AT_NIGHT = {**NIGHT, "min_prompt_tokens": 1_000, "prompt": "0.000002"}


def as_messages(usage: dict[str, int]) -> dict[str, Any]:
    """A vector's counts as an Anthropic usage object, whose input count holds no cache tokens."""
    return {
        "input_tokens": usage["prompt"] - usage["cr"] - usage["cw"],
        "cache_read_input_tokens": usage["cr"],
        "cache_creation_input_tokens": usage["cw"],
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage["cw"] - usage["cw1h"],
            "ephemeral_1h_input_tokens": usage["cw1h"],
        },
        "output_tokens": usage["out"],
        "server_tool_use": {"web_search_requests": usage["web"]},
    }


def test_every_shared_vector_is_synced_and_quoted() -> None:
    vectors = json.loads(shared_data("cost_vectors.json").read_bytes())["vectors"]
    assert len(vectors) == 11
    sync(
        *(
            entry(f"a/{vector['name']}", pricing={**vector["prices"], "overrides": vector["overrides"]})
            for vector in vectors
        )
    )
    for vector in vectors:
        code, answer = run(
            "quote",
            f"a/{vector['name']}",
            f"--usage={json.dumps(as_messages(vector['usage']))}",
            "--dialect=anthropic_messages",
            "--at=2026-06-01T12:00:00Z",
            *TERMS,
        )
        assert (code, answer.get("cost_usd")) == (0, vector["expected_usd"]), vector["name"]


@pytest.mark.parametrize(
    ("at", "tokens", "cost_usd"),
    [
        ("2026-06-01T16:29:59Z", 1_000, "0.003"),
        ("2026-06-01T16:30:00Z", 1_000, "0.001"),
        ("2026-06-02T01:30:00+09:00", 1_000, "0.001"),
        ("2026-06-02T00:29:59Z", 1_000, "0.001"),
        ("2026-06-02T00:30:00Z", 1_000, "0.003"),
        ("2026-06-01T20:00:00Z", 1_001, "0.002002"),
        ("2026-06-01T12:00:00Z", 1_001, "0.003003"),
    ],
)
def test_hours_are_utc_and_wrap_midnight(at: str, tokens: int, cost_usd: str) -> None:
    pricing = {"prompt": "0.000003", "completion": "0.000015", "overrides": [NIGHT, TIER_AT_NIGHT]}
    sync(entry("a/night", pricing=pricing), at=datetime(2026, 5, 12, 12, tzinfo=UTC))

    usage = json.dumps({"prompt_tokens": tokens, "completion_tokens": 0})
    code, answer = run("quote", "a/night", "--usage", usage, "--at", at, *TERMS)

    assert (code, answer["cost_usd"]) == (0, cost_usd)
