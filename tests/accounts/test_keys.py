"""API keys: shown once, kept as a keyed digest, ended for good."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, transaction
from pytest_django import Settings

from accounts.errors import InvalidInput
from accounts.models import ApiKey, AuditEntry
from accounts.selectors import authenticate_api_key, find_api_key
from accounts.services import create_api_key, create_customer, revoke_api_key

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def test_a_key_is_kept_as_its_hmac_only(settings: Settings) -> None:
    settings.JEONGSAN_PEPPERS = "1:first-pepper"
    issued = create_api_key(customer=create_customer(slug="a", name="A", actor="t"), name="k", actor="t")
    assert len(issued.secret) == len("sk-jeongsan-") + 32
    row = ApiKey.objects.get()
    assert bytes(row.digest) == hmac.new(b"first-pepper", issued.secret.encode(), hashlib.sha256).digest()
    assert (row.prefix, row.last4, row.pepper_version) == (issued.secret[:20], issued.secret[-4:], 1)
    assert issued.secret not in str(list(ApiKey.objects.values()) + list(AuditEntry.objects.values()))
    assert find_api_key(issued.secret) == row


def test_an_older_pepper_still_verifies_and_the_newest_signs(settings: Settings) -> None:
    settings.JEONGSAN_PEPPERS = "1:first"
    old = create_api_key(customer=None, name="old", actor="t")
    settings.JEONGSAN_PEPPERS = "1:first,2:second"
    new = create_api_key(customer=None, name="new", actor="t")
    assert (find_api_key(old.secret), find_api_key(new.secret)) == (old.key, new.key)
    assert new.key.pepper_version == 2
    settings.JEONGSAN_PEPPERS = "2:second"
    assert (find_api_key(old.secret), find_api_key(new.secret)) == (None, new.key)


def test_expired_revoked_and_unknown_keys_authenticate_nobody() -> None:
    good = create_api_key(customer=None, name="good", actor="t")
    brief = create_api_key(customer=None, name="brief", actor="t", expires_at=good.key.created_at + timedelta(days=1))
    assert authenticate_api_key(good.secret, at=NOW) == good.key
    assert authenticate_api_key(brief.secret, at=brief.key.expires_at - timedelta(microseconds=1)) == brief.key
    assert authenticate_api_key(brief.secret, at=brief.key.expires_at) is None
    revoke_api_key(key=good.key, actor="t", now=NOW, reason="lost")
    assert authenticate_api_key(good.secret, at=NOW) is None
    for wrong in ("", "sk-jeongsan-", good.secret + "x", good.secret.upper(), "sk-jeongsan-" + "é" * 32, "x" * 10_000):
        assert authenticate_api_key(wrong, at=NOW) is None


def test_revoking_twice_keeps_the_first_word() -> None:
    key = create_api_key(customer=None, name="k", actor="t").key
    revoke_api_key(key=key, actor="first", now=NOW)
    revoke_api_key(key=key, actor="second", now=NOW + timedelta(days=1))
    key.refresh_from_db()
    assert (key.revoked_by, key.revoked_at) == ("first", NOW)
    assert AuditEntry.objects.filter(action="revoke_api_key").count() == 1


@pytest.mark.parametrize("name", ["", "   ", "x" * 101])
def test_a_key_needs_a_name(name: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        create_api_key(customer=None, name=name, actor="t")
    assert refusal.value.field == "name"
    assert not ApiKey.objects.exists()


def test_the_database_wants_a_customer_exactly_for_a_customers_key() -> None:
    key = create_api_key(customer=None, name="k", actor="t").key
    with pytest.raises(IntegrityError), transaction.atomic():
        ApiKey.objects.filter(pk=key.pk).update(scope="customer")
