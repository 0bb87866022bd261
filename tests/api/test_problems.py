"""Every refusal of the billing API is one shape, in one language."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from accounts.services import create_api_key, create_customer
from usage.api import UsageEvents

pytestmark = pytest.mark.django_db

EVENTS = "/billing/v1/usage/events"


def refused(client: Client, method: str, path: str, **extra: Any) -> tuple[int, str, str]:
    response = client.generic(method, path, headers={"Accept-Language": "ko"}, **extra)
    assert response["Content-Type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == response.status_code
    return response.status_code, body["code"], body["detail"]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_address(client: Client, method: str) -> None:
    assert refused(client, method, "/billing/v1/nothing/here") == (404, "not_found", "Not found.")


def test_without_a_key(client: Client) -> None:
    detail = "Authentication credentials were not provided."
    assert refused(client, "POST", EVENTS) == (401, "not_authenticated", detail)


def test_a_method_that_is_not_there(client: Client) -> None:
    secret = create_api_key(customer=None, name="ingest", actor="test").secret
    answer = refused(client, "PUT", EVENTS, HTTP_AUTHORIZATION=f"Bearer {secret}")
    assert answer == (405, "method_not_allowed", 'Method "PUT" not allowed.')


def test_a_query_of_thousands_of_parameters(client: Client) -> None:
    secret = create_api_key(
        customer=create_customer(slug="one", name="One", actor="test"), name="own", actor="test"
    ).secret
    query = "&".join(f"a{number}=1" for number in range(1001))
    answer = refused(client, "GET", f"{EVENTS}?{query}", HTTP_AUTHORIZATION=f"Bearer {secret}")
    assert answer == (400, "invalid_input", "the query has too many parameters")


def test_what_nobody_foresaw(client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("a secret detail")

    monkeypatch.setattr(UsageEvents, "get", fail)
    secret = create_api_key(
        customer=create_customer(slug="one", name="One", actor="test"), name="own", actor="test"
    ).secret
    answer = refused(client, "GET", EVENTS, HTTP_AUTHORIZATION=f"Bearer {secret}")
    assert answer == (500, "internal_error", "Something went wrong here; it has been logged.")
    assert "a secret detail" in caplog.text
