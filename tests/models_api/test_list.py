"""GET /v1/models: which models stand there, with every field, at the prices in force."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.test import Client

from catalog.api.offers import current_offers
from catalog.api.shapes import PRICE_ORDER
from catalog.models import Model
from catalog.pricing import PRICE_KEYS
from tests.catalog.listings import JUNE, MAY, NOW, entry, sync
from tests.models_api.catalogs import ALL_IDS, NEW_YEAR, SMALL, TEXT_IDS, bearer, ids, model, sync_real, sync_small

pytestmark = pytest.mark.django_db

ROOTS = ("/v1", "/api/v1")


@pytest.mark.parametrize("root", ROOTS)
def test_an_entry_has_every_field(client: Client, root: str) -> None:
    sync_small()

    body = client.get(f"{root}/models").json()

    assert [row["id"] for row in body["data"]] == TEXT_IDS
    assert body["object"] == "list"
    assert body["total_count"] == 4
    assert body["links"] == {"next": None}
    assert body["data"][0] == {
        "id": "openai/gpt",
        "object": "model",
        "canonical_slug": "openai/gpt-2026-01-01",
        "hugging_face_id": None,
        "name": "OpenAI: GPT",
        "created": NEW_YEAR,
        "owned_by": "openai",
        "description": "Reads **text** and <images>.",
        "context_length": 400_000,
        "architecture": {
            "modality": "text+image->text",
            "input_modalities": ["text", "image"],
            "output_modalities": ["text"],
            "tokenizer": "GPT",
            "instruct_type": None,
        },
        "pricing": {
            "prompt": "0.000001",
            "completion": "0.000008",
            "request": "0",
            "web_search": "0.01",
            "input_cache_read": "0.0000001",
        },
        "top_provider": {"context_length": 400_000, "max_completion_tokens": 128_000, "is_moderated": True},
        "per_request_limits": None,
        "supported_parameters": ["tools", "tool_choice", "reasoning", "response_format", "seed"],
        "default_parameters": {"temperature": None, "top_p": 0.95},
        "supported_voices": None,
        "knowledge_cutoff": "2025-09-30",
        "expiration_date": "2027-01-01",
        "links": {"details": "/api/v1/models/openai/gpt/endpoints"},
    }


def test_the_real_listing_comes_out_as_it_went_in(client: Client) -> None:
    """356 models: every field as OpenRouter listed it, prices to the last of 23 decimals; our own are the link, the fee
    of 0 and what OpenAI's clients want.
    """
    listed = {row["id"]: row for row in sync_real()}

    rows = {row["id"]: row for row in client.get("/v1/models?output_modalities=all").json()["data"]}

    assert len(rows) == 356
    assert rows.keys() == listed.keys()
    for model_id, row in rows.items():
        expected = listed[model_id]
        expected["hugging_face_id"] = expected["hugging_face_id"] or None  # OpenRouter also writes ""
        fee = {} if expected["pricing"]["prompt"] == "-1" else {"request": "0"}
        assert row.pop("pricing") == {**fee, **expected.pop("pricing")}
        assert row.pop("links") == {"details": f"/api/v1/models/{model_id}/endpoints"}
        assert row.pop("owned_by") == model_id.removeprefix("~").partition("/")[0]
        assert row.pop("object") == "model"
        del expected["links"]
        assert row == expected


def test_a_router_costs_minus_one_and_nothing_else(client: Client) -> None:
    sync_small()

    rows = {row["id"]: row["pricing"] for row in client.get("/v1/models").json()["data"]}

    assert rows["openrouter/auto"] == {"prompt": "-1", "completion": "-1"}
    assert rows["z-ai/glm:free"] == {"prompt": "0", "completion": "0", "request": "0"}
    # No price of a cache read is listed: it costs what prompt tokens cost, so it does not say "0".
    assert rows["z-ai/glm"] == {"prompt": "0.0000006", "completion": "0.0000022", "request": "0"}


def test_prices_that_depend_on_size_and_hour_are_told(client: Client) -> None:
    tiers = [
        {"min_prompt_tokens": 200000, "prompt": "0.000006", "completion": "0.0000225"},
        {"utc_start": "0100", "utc_end": 430, "prompt": "0.0000015"},
    ]
    sync(entry("a/x", pricing={"prompt": "0.0000030", "completion": "0.000015", "request": "0.1", "overrides": tiers}))

    [row] = client.get("/v1/models").json()["data"]

    assert row["pricing"] == {
        "prompt": "0.0000030",
        "completion": "0.000015",
        "request": "0.1",
        "overrides": [
            {"min_prompt_tokens": 200000, "prompt": "0.000006", "completion": "0.0000225"},
            {"utc_start": 100, "utc_end": 430, "prompt": "0.0000015"},
        ],
    }


def test_every_price_key_has_its_place_in_the_order() -> None:
    assert set(PRICE_ORDER) == PRICE_KEYS - {"discount"}


def test_only_what_can_be_sold_is_listed(client: Client) -> None:
    """Quarantined and retired models are not on sale; nor is one whose first price has not begun."""
    odd = entry("a/odd", pricing={"prompt": "1", "completion": "1", "magic": "1"})
    sync_small(odd, entry("a/gone"))
    sync(*SMALL, odd, at=JUNE)
    Model.objects.create(provider=model("a/odd").provider, model_id="a/new", canonical_slug="a/new", name="New")

    assert ids(client, "output_modalities=all") == ALL_IDS
    for name in ("a/odd", "a/gone", "a/new"):
        assert client.get(f"/v1/models/{name}").status_code == 404


def test_the_price_of_the_moment_is_told_from_its_first_moment_on() -> None:
    """The held copy is read anew when a price ends and the next begins, though nothing in the tables changes then."""
    sync(entry("a/x", "0.000003"))
    sync(entry("a/x", "0.0000031"), at=JUNE)

    def told(now: datetime) -> tuple[str, int]:
        offers = current_offers(now=now)
        return offers.all[0].entry["pricing"]["prompt"], id(offers)

    before, held = told(JUNE - timedelta(microseconds=1))
    assert before == "0.000003"
    after, anew = told(JUNE)
    assert (after, anew != held) == ("0.0000031", True)
    assert told(NOW) == ("0.0000031", anew)
    # A clock that goes back asks for the older price again.
    assert told(MAY)[0] == "0.000003"


def test_odd_metadata_harms_nobody(client: Client) -> None:
    """An upstream's entry with the wrong types in every place is listed with what can be said of it."""
    sync(
        entry(
            "a/odd",
            created="yesterday",
            description=None,
            context_length="many",
            architecture=["text"],
            top_provider="none",
            per_request_limits={"prompt_tokens": "1"},
            supported_parameters={"tools": True},
            default_parameters={"temperature": "hot", "top_k": 1.5, "magic": 1},
            supported_voices="alloy",
            hugging_face_id=7,
            knowledge_cutoff={},
            expiration_date=0,
        )
    )

    [row] = client.get("/v1/models").json()["data"]

    assert row["created"] == int(model("a/odd").created_at.timestamp())
    assert {key: row[key] for key in row if key not in {"created", "pricing", "links"}} == {
        "id": "a/odd",
        "object": "model",
        "canonical_slug": "a/odd",
        "hugging_face_id": None,
        "name": "a/odd",
        "owned_by": "a",
        "description": "",
        "context_length": None,
        "architecture": {
            "modality": "text->text",
            "input_modalities": ["text"],
            "output_modalities": ["text"],
            "tokenizer": "Other",
            "instruct_type": None,
        },
        "top_provider": {"context_length": None, "max_completion_tokens": None, "is_moderated": False},
        "per_request_limits": None,
        "supported_parameters": [],
        "default_parameters": {"temperature": None, "top_k": None},
        "supported_voices": None,
        "knowledge_cutoff": None,
        "expiration_date": None,
    }


def test_an_empty_catalog_is_an_empty_list(client: Client) -> None:
    assert client.get("/v1/models").json() == {
        "object": "list",
        "data": [],
        "total_count": 0,
        "links": {"next": None},
    }


def test_a_bad_key_is_refused_even_where_none_is_needed(client: Client) -> None:
    sync_small()

    answers = [
        client.get("/v1/models", headers=headers)
        for headers in (
            bearer("sk-jeongsan-" + "A" * 32),
            bearer(""),
            bearer("ключ"),
            bearer("x" * 10_000),
            {"authorization": "Basic dXNlcjpwYXNz"},
            {"authorization": ""},
        )
    ]

    assert [answer.status_code for answer in answers] == [401] * 6
    assert len({answer.content for answer in answers}) == 1
    assert answers[0].headers["WWW-Authenticate"] == "Bearer"
