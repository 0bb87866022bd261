"""What operators do about the gateway: limits of keys, terms of customers, upstreams and their keys."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import ApiKey, AuditEntry
from billing.models import SpendingAccount
from gateway.models import GatewayCall, Upstream, UpstreamKey
from gateway.services.secrets import decrypt_secret
from tests.admin.house import House

pytestmark = pytest.mark.django_db

SECRET = "sk-upstream-canary-1234"


def operate(client: Client, row: Any, operation: str, /, **answers: Any) -> Any:
    meta = row._meta
    address = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])
    return client.post(address.removesuffix("change/") + f"{operation}/", answers)


def test_limits_of_a_key_are_set_and_the_form_begins_with_those_in_force(root: Client, house: House) -> None:
    key = house.key.key
    answer = operate(
        root, key, "limit", rpm="30", monthly_usd="12.5", allowed_ips="10.0.0.0/8, 192.0.2.1", reason="contract"
    )
    assert answer.status_code == 302
    stored = ApiKey.objects.get(pk=key.pk)
    assert (stored.rpm_limit, stored.tpm_limit, stored.monthly_limit_usd) == (30, None, Decimal("12.5"))
    assert stored.allowed_ips == ["10.0.0.0/8", "192.0.2.1/32"]
    page = root.get(reverse("admin:accounts_apikey_change", args=[key.pk]).removesuffix("change/") + "limit/")
    assert b"10.0.0.0/8 192.0.2.1/32" in page.content
    refused = operate(root, key, "limit", allowed_ips="nowhere", reason="x")
    assert (refused.status_code, "allowed_ips" in refused.context["form"].errors) == (200, True)


def test_terms_are_set_with_a_reason(root: Client, house: House) -> None:
    account = SpendingAccount.objects.get(customer=house.gaon)
    assert (
        operate(root, account, "terms", credit_limit_krw="5000000", is_prepaid="on", reason="선불 전환").status_code
        == 302
    )
    account.refresh_from_db()
    assert (account.credit_limit_krw, account.is_prepaid) == (5_000_000, True)
    assert AuditEntry.objects.get(action="set_credit_terms").reason == "선불 전환"
    assert operate(root, account, "terms", credit_limit_krw="1").status_code == 200  # no reason
    assert operate(root, account, "recount", reason="x").status_code == 302


def test_an_upstream_is_added_and_changed_and_its_key_is_never_shown(root: Client, house: House) -> None:
    answers = {
        "name": "second", "base_url": "https://second.example/v1", "dialect": "openai", "priority": "5",
        "is_enabled": "on", "connect": "5", "first_byte": "60", "idle": "30",
    }  # fmt: skip
    assert root.post(reverse("admin:gateway_upstream_add"), answers).status_code == 302
    upstream = Upstream.objects.get(name="second")
    assert operate(root, upstream, "set", **answers | {"priority": "7", "reason": "dearer"}).status_code == 302
    assert Upstream.objects.get(name="second").priority == 7
    refused = operate(root, upstream, "set", **answers | {"base_url": "https://10.0.0.1/v1", "reason": "x"})
    assert (refused.status_code, "base_url" in refused.context["form"].errors) == (200, True)
    stored = operate(root, upstream, "key", name="main", secret="sk-new-0123456789", priority="1", reason="new")
    assert stored.status_code == 302
    key = UpstreamKey.objects.get(upstream=upstream)
    assert decrypt_secret(key) == "sk-new-0123456789"
    for page in (
        root.get(reverse("admin:gateway_upstreamkey_changelist")),
        root.get(reverse("admin:gateway_upstreamkey_change", args=[key.pk])),
        root.get(reverse("admin:gateway_upstream_change", args=[upstream.pk])),
    ):
        assert page.status_code == 200
        for secret in ("sk-new-0123456789", SECRET, bytes(key.secret).decode()):
            assert secret not in page.content.decode()


def test_a_key_is_taken_out_of_use_and_back(root: Client, house: House) -> None:
    key = UpstreamKey.objects.get()
    assert operate(root, key, "disable", reason="leaked").status_code == 302
    assert not UpstreamKey.objects.get().is_enabled
    assert operate(root, key, "enable", reason="a mistake").status_code == 302
    assert UpstreamKey.objects.get().is_enabled


def test_a_calls_page_shows_its_attempts(root: Client, house: House) -> None:
    call = GatewayCall.objects.get(status="failed")
    page = root.get(reverse("admin:gateway_gatewaycall_change", args=[call.pk]))
    assert page.status_code == 200
    assert page.content.decode().count("local default (…1234)") == 2
