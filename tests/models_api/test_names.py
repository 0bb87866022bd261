"""One model by its names: ids, permanent names, aliases and suffixes, in the two shapes, and the games with them."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from catalog.selectors import response_name
from catalog.services import add_alias
from tests.catalog.listings import JUNE, entry, sync
from tests.models_api.catalogs import SMALL, error, model, sync_real, sync_small

pytestmark = pytest.mark.django_db


def detail(client: Client, name: str) -> dict[str, Any]:
    """A model as OpenAI's clients get it, which is what OpenRouter's get as `data`."""
    bare = client.get(f"/v1/models/{name}")
    assert bare.status_code == 200, bare.content
    assert client.get(f"/api/v1/model/{name}").json() == {"data": bare.json()}
    body: dict[str, Any] = bare.json()
    return body


@pytest.mark.parametrize(
    ("name", "model_id"),
    [
        ("openai/gpt", "openai/gpt"),
        ("openai%2Fgpt", "openai/gpt"),
        ("openai/gpt-2026-01-01", "openai/gpt"),
        ("z-ai/glm:free", "z-ai/glm:free"),
        ("z-ai%2Fglm%3Afree", "z-ai/glm:free"),
        ("auto", "openrouter/auto"),
        ("~openai/gpt-latest", "openai/gpt"),
        ("~openai%2Fgpt-latest:nitro", "openai/gpt:nitro"),
        ("openai/gpt:nitro", "openai/gpt:nitro"),
        ("openai/gpt-2026-01-01:floor", "openai/gpt:floor"),
        ("auto:nitro", "openrouter/auto:nitro"),
        ("openai/painter", "openai/painter"),
    ],
)
def test_every_name_leads_to_its_model(client: Client, name: str, model_id: str) -> None:
    sync_small()
    add_alias(alias="~openai/gpt-latest", model=model("openai/gpt"), actor="tests")

    body = detail(client, name)

    assert (body["id"], body["object"]) == (model_id, "model")
    endpoints = client.get(f"/v1/models/{name}/endpoints").json()["data"]
    assert endpoints["id"] == model_id.removesuffix(":nitro").removesuffix(":floor")


def test_a_model_tells_its_suffixes_and_what_they_cost(client: Client) -> None:
    sync_small()
    listed = client.get("/v1/models").json()["data"][0]

    body = detail(client, "openai/gpt")

    assert body == {
        **listed,
        "variants": [
            {
                "id": "openai/gpt:nitro",
                "suffix": "nitro",
                "description": "Asks the provider with the highest throughput first. Costs what the model costs.",
            },
            {
                "id": "openai/gpt:floor",
                "suffix": "floor",
                "description": "Asks the provider with the lowest price first. Costs what the model costs.",
            },
            {
                "id": "openai/gpt:thinking",
                "suffix": "thinking",
                "description": "Turns extended reasoning on; reasoning tokens are output tokens. "
                "Costs what the model costs.",
            },
            {
                "id": "openai/gpt:online",
                "suffix": "online",
                "description": "Lets the model search the web before it answers. "
                "Costs what the model costs, and its web search price for each search.",
            },
            {
                "id": "openai/gpt:exacto",
                "suffix": "exacto",
                "description": "Asks the providers first that handle tool calls most reliably. "
                "Costs what the model costs.",
            },
        ],
        "routes_to": [],
    }


def test_every_suffix_that_is_told_works_at_the_price_of_its_model(client: Client) -> None:
    sync_small()
    for name in ("openai/gpt", "z-ai/glm", "openrouter/auto"):
        base = detail(client, name)
        for variant in base["variants"]:
            called = detail(client, variant["id"])
            assert called["id"] == variant["id"]
            if variant["suffix"] != "free":
                assert called["pricing"] == base["pricing"]


def test_free_is_a_model_of_its_own_that_is_listed_at_nothing(client: Client) -> None:
    sync_small()

    assert [row["suffix"] for row in detail(client, "z-ai/glm")["variants"]] == ["nitro", "floor", "free", "exacto"]
    free = detail(client, "z-ai/glm:free")
    assert (free["name"], free["context_length"]) == ("Z.AI: GLM (free)", 100_000)
    assert free["pricing"] == {"prompt": "0", "completion": "0", "request": "0"}
    assert free["variants"] == []


def test_free_that_nobody_lists_is_no_name(client: Client) -> None:
    sync_small()

    status, kind, param, message = error(client.get("/v1/models/openai/gpt:free"))

    assert (status, kind, param) == (404, "not_found", "model")
    assert message == (
        "openai/gpt does not take the suffix ':free'; it takes :nitro, :floor, :thinking, :online, :exacto. "
        "Did you mean openai/gpt or openai/gpt:nitro or openai/gpt:floor?"
    )


def test_free_that_is_no_longer_listed_is_not_answered_by_the_paid_model(client: Client) -> None:
    sync_small()
    sync(*(one for one in SMALL if one["id"] != "z-ai/glm:free"), at=JUNE)

    assert client.get("/v1/models/z-ai/glm").status_code == 200
    assert error(client.get("/v1/models/z-ai/glm:free"))[0] == 404
    assert [row["suffix"] for row in detail(client, "z-ai/glm")["variants"]] == ["nitro", "floor", "exacto"]


@pytest.mark.parametrize(
    ("name", "suggestions"),
    [
        ("openai/gpt:turbo", ["openai/gpt", "openai/gpt:nitro", "openai/gpt:floor", "openai/gpt:thinking",
                              "openai/gpt:online", "openai/gpt:exacto"]),
        ("z-ai/glm:NITRO", ["z-ai/glm", "z-ai/glm:nitro", "z-ai/glm:floor", "z-ai/glm:free", "z-ai/glm:exacto"]),
        ("z-ai/glm:online", ["z-ai/glm", "z-ai/glm:nitro", "z-ai/glm:floor", "z-ai/glm:free", "z-ai/glm:exacto"]),
        ("z-ai/glm:free:nitro", ["z-ai/glm:free"]),
        ("OpenAI/GPT", ["openai/gpt", "openai/painter"]),
        ("openai/gtp", ["openai/gpt", "openai/painter"]),
    ],
)  # fmt: skip
def test_a_wrong_name_is_answered_with_the_nearest(client: Client, name: str, suggestions: list[str]) -> None:
    sync_small()

    body = client.get(f"/v1/models/{name}").json()["error"]

    assert body["code"] == 404
    assert body["metadata"]["suggestions"] == suggestions
    assert f"Did you mean {suggestions[0]}" in body["message"]


GAMES = [
    "openai/gpt%0a",
    "openai", "openai/", "/openai/gpt", "openai//gpt", "openai/gpt/", "openai%252Fgpt", "openai\\gpt", "openai/../gpt",
    "../../etc/passwd", "openai/gpt%00", "%00", "%0a", "%FF%FE", "openai/gpt%20", " openai/gpt", "openai/gpt:", ":nitro",
    "openai/gpt::nitro", "openai/gpt:nitro:floor", "openai/gpt:nitro/x", "openai/gpt?x", "о" + "penai/gpt", "%", "%2F",
    "null", "[]", "-1", "openai/" + "x" * 10_000, "a:" * 5_000, "user/endpoints", "'; DROP TABLE catalog_model; --",
]  # fmt: skip


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("address", ["/v1/models/{}", "/api/v1/model/{}", "/v1/models/{}/endpoints"])
def test_games_with_names_find_nothing(client: Client, name: str, address: str) -> None:
    sync_small()

    path = address.format(name.replace("?", "%3F"))
    status, kind, _, message = error(client.get(path))

    assert (status, kind) == (404, "not_found")
    assert len(message) < 400


def test_every_real_model_is_found_by_its_id_and_its_permanent_name(client: Client) -> None:
    for listed in sync_real():
        for root in ("/v1/models", "/api/v1/model"):
            assert client.get(f"{root}/{listed['id']}").status_code == 200
        # A variant's slug is its model's; an answer of the variant itself carries the suffix.
        found = client.get(f"/v1/models/{response_name(model(listed['id']))}").json()
        assert found["canonical_slug"] == listed["canonical_slug"]


def test_moving_names_are_models_of_their_own(client: Client) -> None:
    sync_real()

    latest = detail(client, "~anthropic/claude-haiku-latest")

    assert latest["id"] == "~anthropic/claude-haiku-latest"
    assert latest["owned_by"] == "anthropic"
    assert latest["links"] == {"details": "/api/v1/models/~anthropic/claude-haiku-latest/endpoints"}
    assert client.get(latest["links"]["details"]).status_code == 200


def test_a_link_survives_an_odd_id(client: Client) -> None:
    sync(entry("a/x?y#z%41"))
    [row] = client.get("/v1/models").json()["data"]

    assert row["links"]["details"] == "/api/v1/models/a/x%3Fy%23z%2541/endpoints"
    assert client.get(row["links"]["details"]).json()["data"]["id"] == "a/x?y#z%41"
