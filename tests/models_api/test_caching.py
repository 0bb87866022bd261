"""What a list costs: one query, one read of the catalog a change, 304 for who has it already, small when compressed."""

from __future__ import annotations

import gzip
import json

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from catalog.services import add_alias, resolve_quarantined_price, set_provider_listing, set_router_targets
from tests.catalog.listings import JULY, JUNE, entry, sync
from tests.models_api.catalogs import SMALL, bearer, customer, model, sync_real, sync_small

pytestmark = pytest.mark.django_db


def test_the_list_of_356_models_costs_one_query_and_with_a_key_two(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    sync_real()
    _, secret = customer()
    client.get("/v1/models")

    with django_assert_num_queries(1):
        body = client.get("/v1/models?output_modalities=all").json()
    assert len(body["data"]) == 356
    with django_assert_num_queries(2):  # whose key it is
        client.get("/v1/models/user", headers=bearer(secret))
    for path in ("models/openai/gpt-5", "models/openai/gpt-5/endpoints", "models/count", "providers", "models/nobody"):
        with django_assert_num_queries(1):
            client.get(f"/v1/{path}")
    with django_assert_num_queries(0):
        client.get("/v1/models?limit=-1")


def test_who_has_the_list_already_gets_304(client: Client) -> None:
    sync_small()
    first = client.get("/v1/models")
    etag = first.headers["ETag"]

    again = client.get("/v1/models", headers={"if-none-match": etag})

    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == etag
    assert again.headers["Cache-Control"] == first.headers["Cache-Control"] == "public, max-age=60"
    assert etag.startswith('"')  # strong
    for match in (f'"x", {etag}', f"W/{etag}", "*"):
        assert client.get("/v1/models", headers={"if-none-match": match}).status_code == 304
    for match in ('"x"', etag.strip('"')):
        assert client.get("/v1/models", headers={"if-none-match": match}).status_code == 200


def test_answers_are_kept_apart_by_query_key_and_encoding(client: Client) -> None:
    sync_small()
    _, secret = customer(enabled_providers=["openai"])

    answers = [
        client.get("/v1/models"),
        client.get("/v1/models?limit=1"),
        client.get("/v1/models?output_modalities=all"),
        client.get("/v1/models", headers=bearer(secret)),
        client.get("/v1/models?format=openrouter"),
    ]

    assert len({answer.headers["ETag"] for answer in answers}) == 5
    for answer in answers:
        vary = {name.strip() for name in answer.headers["Vary"].split(",")}
        assert {"Authorization", "Accept-Encoding"} <= vary
    assert answers[3].headers["Cache-Control"] == "private, no-cache"


def test_every_kind_of_change_shows_at_once_and_changes_the_etag(client: Client) -> None:
    odd = entry("a/odd", pricing={"prompt": "0.000001", "completion": "0.000001", "magic": "1"})
    sync_small(odd)
    seen: list[str] = []

    def changed(path: str = "/v1/models?output_modalities=all") -> bytes:
        answer = client.get(path)
        assert answer.status_code == 200, answer.content
        assert answer.headers["ETag"] not in seen
        seen.append(answer.headers["ETag"])
        return answer.content

    changed()
    sync_small(odd)  # nothing new
    assert client.get("/v1/models?output_modalities=all").headers["ETag"] == seen[-1]

    described = [{**SMALL[0], "description": "Another description."}, *SMALL[1:]]
    sync(*described, odd, at=JUNE)
    assert b"Another description." in changed()
    resolve_quarantined_price(
        price=model("a/odd").prices.get(),
        components={"prompt": "0.000001", "completion": "0.000001"},
        overrides=[],
        reason="magic is nothing we use",
        actor="tests",
    )
    assert b'"a/odd"' in changed()
    sync(*described, at=JULY)
    assert b'"a/odd"' not in changed("/v1/models")
    add_alias(alias="g", model=model("openai/gpt"), actor="tests")
    changed("/v1/models/g")
    set_router_targets(router=model("openrouter/auto"), targets=[model("openai/gpt")], actor="tests")
    assert b'"routes_to":["openai/gpt"]' in changed("/v1/models/auto")
    set_router_targets(router=model("openrouter/auto"), targets=[], actor="tests")
    assert b'"routes_to":[]' in changed("/v1/models/auto")
    set_provider_listing(model=model("z-ai/glm"), is_listed=True, is_ready=True, datacenters=["KR"], actor="tests")
    assert b'"z-ai/glm"' in changed("/v1/models?format=openrouter")


def test_long_answers_are_compressed_for_who_takes_that(client: Client) -> None:
    sync_real()
    plain = client.get("/v1/models")
    for accepted in ("gzip", "br, gzip;q=0.5", "gzip, deflate"):
        packed = client.get("/v1/models", headers={"accept-encoding": accepted})
        assert packed.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(packed.content) == plain.content
        assert int(packed.headers["Content-Length"]) * 5 < int(plain.headers["Content-Length"])
        # Another representation, another strong tag.
        assert packed.headers["ETag"] != plain.headers["ETag"]
        match = {"accept-encoding": accepted, "if-none-match": packed.headers["ETag"]}
        assert client.get("/v1/models", headers=match).status_code == 304
    for accepted in ("", "identity", "br", "gzip;q=0", "br, gzip; q=0.0"):
        assert "Content-Encoding" not in client.get("/v1/models", headers={"accept-encoding": accepted}).headers
    short = client.get("/v1/models/count", headers={"accept-encoding": "gzip"})
    assert json.loads(short.content) == {"data": {"count": 356}}


def test_head_is_answered_like_get(client: Client) -> None:
    sync_small()

    whole = client.get("/v1/models")
    head = client.head("/v1/models")

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["ETag"] == whole.headers["ETag"]
