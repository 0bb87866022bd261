"""Filters, order and pages of the model list, and everything that can be wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client

from tests.catalog.listings import JUNE, entry, sync
from tests.models_api.catalogs import ALL_IDS, SMALL, TEXT_IDS, error, ids, sync_real, sync_small

pytestmark = pytest.mark.django_db

GPT, GLM, FREE, AUTO = TEXT_IDS
PAINTER, EMBEDDER = "openai/painter", "openai/embedder"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", TEXT_IDS),
        ("output_modalities=", TEXT_IDS),
        ("output_modalities=text", TEXT_IDS),
        ("output_modalities=image", [PAINTER, AUTO]),
        ("output_modalities=text,image", [GPT, GLM, FREE, PAINTER, AUTO]),
        ("output_modalities=embeddings", [EMBEDDER]),
        ("output_modalities=audio", []),
        ("output_modalities=all", ALL_IDS),
        ("output_modalities=image,all", ALL_IDS),
        ("output_modalities= Image , embeddings ,", [PAINTER, EMBEDDER, AUTO]),
        ("input_modalities=image", [GPT, AUTO]),
        ("input_modalities=text,image", [GPT, AUTO]),
        ("input_modalities=video", []),
        ("supported_parameters=tools", [GPT, GLM, AUTO]),
        ("supported_parameters=tools,reasoning", [GPT, AUTO]),
        ("supported_parameters=tools,reasoning,seed", [GPT]),
        ("supported_parameters=tools,top_k", []),
        ("q=glm", [GLM, FREE]),
        ("q=GLM free", [FREE]),
        ("q=gpt-2026", [GPT]),
        ("q=%00", []),
        ("q=%25", []),
        ("context=200000", [GPT, GLM, AUTO]),
        ("context=200001", [GPT, AUTO]),
        ("min_price=0.6", [GPT, GLM]),
        ("min_price=0.6000001", [GPT]),
        ("max_price=0.6", [GLM, FREE]),
        ("max_price=0", [FREE]),
        ("min_price=0", [GPT, GLM, FREE]),
        ("min_price=6e-1&max_price=1E0", [GPT, GLM]),
        ("min_price=2&max_price=1", []),
        ("min_output_price=2.2", [GPT, GLM]),
        ("max_output_price=2.2", [GLM, FREE]),
        ("providers=z-ai", [GLM, FREE]),
        ("providers=Z.AI,OpenAI", [GPT, GLM, FREE]),
        ("model_authors=openrouter", [AUTO]),
        ("model_authors=openai&providers=z-ai", []),
        ("arch=GPT", [GPT]),
        ("arch=router", [AUTO]),
        ("min_age_days=0", TEXT_IDS),
        ("max_age_days=1", []),
        ("min_age_days=100000", []),
        ("sort=newest", TEXT_IDS),
        ("sort=pricing-low-to-high", [FREE, GLM, GPT, AUTO]),
        ("sort=pricing-high-to-low", [GPT, GLM, FREE, AUTO]),
        ("sort=context-high-to-low", [AUTO, GPT, GLM, FREE]),
        ("sort=most-popular", TEXT_IDS),
        ("sort=design-arena-elo-high-to-low", TEXT_IDS),
        # Nothing is known of these, so no model is said to have them.
        ("category=programming", []),
        ("zdr=true", []),
        ("region=eu", []),
        ("distillable=true", []),
        ("distillable=false", TEXT_IDS),
        ("min_intelligence_index=0", []),
        ("max_tool_success_rate=1", []),
        # What SDKs and links add, and what nobody knows, changes nothing.
        ("use_rss=true&use_rss_chat_links=true", TEXT_IDS),
        ("utm_source=x&limit=", TEXT_IDS),
        ("offset=0&limit=500", TEXT_IDS),
        ("limit=1", [GPT]),
        ("limit=1&limit=2", [GPT, GLM]),
        ("offset=3", [AUTO]),
        ("offset=4&limit=1", []),
        ("offset=1000000000000", []),
        ("sort=pricing-low-to-high&offset=1&limit=2", [GLM, GPT]),
    ],
)
def test_a_query_selects(client: Client, query: str, expected: list[str]) -> None:
    sync_small()

    assert ids(client, query) == expected
    count = client.get(f"/v1/models/count?{query}").json()
    if not {"limit", "offset"} & {part.partition("=")[0] for part in query.split("&")}:
        assert count == {"data": {"count": len(expected)}}


REFUSED = {
    "output_modalities": ["smell", "text,smell", "текст", "\0", "x" * 10_000],
    "input_modalities": ["all", "embeddings"],
    "supported_parameters": ["Tools2", "tools,magic", "１"],
    "category": ["everything"],
    "sort": ["price", "newest,price", "NEWEST", "__class__"],
    "zdr": ["yes"],
    "region": ["kr"],
    "distillable": ["1"],
    "format": ["rss", "openrouter,rss"],
    "providers": ["nobody", "openai,nobody"],
    "model_authors": ["nobody"],
    "arch": ["Brain"],
    "limit": ["-1", "0", "1001", "1.5", "1e3", "１", "9" * 400, "null", "1\0", "0x10", " 1 0"],
    "offset": ["-1", "9" * 16, "1_000", "NaN"],
    "context": ["0", "-5", "many", "1e5"],
    "min_price": ["-1", "NaN", "Infinity", "1e999", "1,000", ".", "e5", "9" * 13],
    "max_price": ["-0.1", "free"],
    "min_output_price": ["-1"],
    "max_output_price": ["x"],
    "min_age_days": ["-1", "0.5"],
    "max_age_days": ["soon"],
    "min_coding_index": ["high"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in REFUSED.items() for value in values])
def test_a_wrong_value_is_refused_by_name(client: Client, name: str, value: str) -> None:
    sync_small()

    status, kind, param, message = error(client.get(f"/api/v1/models?{name}={quote(value)}"))

    assert (status, kind, param) == (400, "invalid_request", name)
    assert message.startswith(f"{name}: ")
    assert len(message) < 1000


def test_a_refusal_names_the_allowed_values(client: Client) -> None:
    sync_small()

    bodies = {
        name: client.get(f"/v1/models?{name}=x").json()["error"]
        for name in ("output_modalities", "providers", "format", "limit")
    }

    assert bodies["output_modalities"]["message"] == (
        "output_modalities: 'x' is not one of text, image, audio, embeddings, video, rerank, decisions, speech, "
        "transcription, all."
    )
    assert bodies["providers"]["metadata"]["allowed"] == ["openai", "openrouter", "z-ai"]
    assert bodies["format"]["metadata"]["allowed"] == ["openrouter"]
    assert bodies["limit"]["message"] == "limit: 'x' is not a whole number from 1 to 1000."


def test_links_lead_through_every_model_once(client: Client) -> None:
    sync_real()
    everything = ids(client, "output_modalities=all&sort=pricing-high-to-low")

    address: str | None = "/api/v1/models?output_modalities=all&sort=pricing-high-to-low&limit=100"
    walked, pages = [], 0
    while address is not None:
        body = client.get(address).json()
        assert body["total_count"] == 356
        walked += [row["id"] for row in body["data"]]
        address, pages = body["links"]["next"], pages + 1

    assert walked == everything
    assert (len(set(walked)), pages) == (356, 4)


def test_a_link_repeats_the_query_as_it_was_meant(client: Client) -> None:
    sync_small()

    body = client.get("/v1/models?q=o%26limit%3D7+p&output_modalities=all&limit=1").json()

    assert body["total_count"] == 0
    assert body["links"]["next"] is None
    link = client.get("/v1/models?q=:+z&limit=1").json()["links"]["next"]
    assert link == "/v1/models?q=%3A+z&limit=1&offset=1"
    assert ids(client, link.partition("?")[2]) == [FREE]


def test_a_model_that_is_retired_between_two_pages_moves_the_rest_up(client: Client) -> None:
    sync_small()
    first = client.get("/v1/models?limit=2").json()
    assert [row["id"] for row in first["data"]] == [GPT, GLM]

    sync(*(one for one in SMALL if one["id"] != GLM), at=JUNE)

    second = client.get(first["links"]["next"]).json()
    assert [row["id"] for row in second["data"]] == [AUTO]
    assert (second["total_count"], second["links"]["next"]) == (3, None)


def test_models_with_nothing_to_sort_by_come_last(client: Client) -> None:
    sync_small(entry("a/new", context_length=None, created=None))

    assert ids(client, "sort=context-high-to-low")[-1] == "a/new"
    assert ids(client, "sort=newest")[0] == "a/new"  # dated by when we first saw it
    assert ids(client, "sort=pricing-high-to-low")[-1] == AUTO
    assert ids(client, "context=1")[:1] == [GPT]


BY_HAND: dict[str, Callable[[dict[str, Any]], bool]] = {
    "supported_parameters=tools,structured_outputs": lambda row: (
        {"tools", "structured_outputs"} <= set(row["supported_parameters"])
    ),
    "input_modalities=audio,image": lambda row: {"audio", "image"} <= set(row["architecture"]["input_modalities"]),
    "max_price=0.1": lambda row: 0 <= Decimal(row["pricing"]["prompt"]) * 1_000_000 <= Decimal("0.1"),
}


@pytest.mark.parametrize("query", BY_HAND)
def test_filters_agree_with_the_real_listing_read_by_hand(client: Client, query: str) -> None:
    listed = [row for row in sync_real() if "text" in row["architecture"]["output_modalities"]]
    expected = {row["id"] for row in listed if BY_HAND[query](row)}

    assert set(ids(client, query)) == expected
    assert len(expected) > 5
