"""`GET /billing/v1/schema`: a valid OpenAPI 3.1 document that names every address of the billing API."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
import schemathesis
import yaml
from django.test import Client
from django.urls import URLResolver, get_resolver, reverse

SCHEMA = "/billing/v1/schema"
METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture
def document() -> dict[str, Any]:
    return json.loads(Client().get(SCHEMA).content)


def addresses(resolver: URLResolver, prefix: str) -> list[str]:
    """Every path below a resolver, in the notation of OpenAPI."""
    found = []
    for entry in resolver.url_patterns:
        path = prefix + str(entry.pattern)
        found += addresses(entry, path) if isinstance(entry, URLResolver) else [path]
    return found


def test_the_document_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    assert reverse("billing:schema") == SCHEMA
    assert document["openapi"].startswith("3.1")
    assert document["info"]["title"] == "Jeongsan billing API"
    schemathesis.openapi.from_dict(document).validate()


def test_every_address_of_the_billing_api_is_in_it(document: dict[str, Any]) -> None:
    [billing] = [one for one in get_resolver().url_patterns if str(one.pattern) == "billing/v1/"]
    routes = {re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", path) for path in addresses(billing, "/billing/v1/")}
    assert routes - {SCHEMA} == set(document["paths"])
    assert "/billing/v1/usage/events" in document["paths"]


def test_every_operation_says_what_it_does_who_may_and_how_it_refuses(document: dict[str, Any]) -> None:
    assert document["components"]["securitySchemes"]["apiKey"]["scheme"] == "bearer"
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method not in METHODS:
                continue
            where = f"{method} {path}"
            assert operation.get("description") or operation.get("summary"), where
            assert operation["security"] == [{"apiKey": []}], where
            assert "401" in operation["responses"], where
            for status, response in operation["responses"].items():
                if status.startswith(("4", "5")):
                    assert list(response["content"]) == ["application/problem+json"], f"{where} {status}"


@pytest.mark.parametrize(
    ("query", "accept", "media"),
    [
        ("", "*/*", "application/json"),
        ("", "text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
        ("", "application/yaml", "application/yaml; charset=utf-8"),
        ("", "application/vnd.oai.openapi+json", "application/vnd.oai.openapi+json"),
        ("?format=yaml", "*/*", "application/yaml; charset=utf-8"),
        ("?format=json", "*/*", "application/json"),
    ],
)
def test_json_and_yaml_say_the_same(query: str, accept: str, media: str, document: dict[str, Any]) -> None:
    answer = Client().get(SCHEMA + query, headers={"accept": accept})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, media)
    read = yaml.safe_load if "yaml" in media else json.loads
    assert read(answer.content) == document


@pytest.mark.parametrize(
    ("query", "headers", "status", "code"),
    [
        ("", {"accept": "image/png"}, 406, "not_acceptable"),
        ("?format=xml", {}, 404, "not_found"),
    ],
)
def test_other_formats_are_refused_as_problems(query: str, headers: dict[str, str], status: int, code: str) -> None:
    answer = Client().get(SCHEMA + query, headers=headers)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert json.loads(answer.content)["code"] == code


@pytest.mark.parametrize("query", ["?version=%0a", "?lang=%00", "?lang=../../x", "?format=json&version=2"])
def test_whatever_is_asked_beside_it_changes_nothing(query: str, document: dict[str, Any]) -> None:
    answer = Client().get(
        SCHEMA + query, headers={"authorization": "Bearer sk-jeongsan-nobody", "accept-language": "ko"}
    )
    assert (answer.status_code, json.loads(answer.content)) == (200, document)


@pytest.mark.django_db
def test_a_real_refusal_has_the_documented_shape(document: dict[str, Any]) -> None:
    answer = Client().post("/billing/v1/usage/events", "[]", content_type="application/json")
    assert (answer.status_code, answer.headers["Content-Type"]) == (401, "application/problem+json")
    jsonschema.validate(json.loads(answer.content), document["components"]["schemas"]["Problem"])


def test_nothing_but_get_is_allowed() -> None:
    assert [Client().post(SCHEMA).status_code, Client().delete(SCHEMA).status_code] == [405, 405]
