"""Asking the usage API with a customer's key."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.test import Client

from accounts.models import ApiKey, Customer
from accounts.services import create_api_key
from tests.usage.factories import ACTOR


def key_of(customer: Customer, name: str = "test") -> tuple[str, str]:
    """A new key: its secret and its prefix."""
    secret = create_api_key(customer=customer, name=name, actor=ACTOR).secret
    return secret, ApiKey.objects.get(customer=customer, name=name).prefix


def get(secret: str, path: str, **params: str) -> HttpResponse:
    """The answer to a question with this key."""
    return Client().get(path, params, headers={"authorization": f"Bearer {secret}"})


def asked(secret: str, path: str, **params: str) -> dict[str, Any]:
    """The same, for a question that must be answered."""
    answer = get(secret, path, **params)
    assert answer.status_code == 200, answer.content
    body: dict[str, Any] = answer.json()
    return body


def refused(secret: str, path: str, **params: str) -> tuple[int, str, str | None]:
    """Status, code and field of a refusal."""
    answer = get(secret, path, **params)
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = answer.json()
    return answer.status_code, body["code"], body["errors"][0]["field"] if "errors" in body else None
