"""What events name a payer by is never changed, whoever asks the database."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import IntegrityError, transaction

from accounts.models import ApiKey, Customer
from accounts.services import create_api_key, create_customer, revoke_api_key

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("change", [{"prefix": "sk-jeongsan-other"}, {"digest": b"x" * 32}, {"pepper_version": 9}])
def test_a_key_keeps_what_it_is_known_by(change: dict[str, object]) -> None:
    owner = create_customer(slug="hanbit", name="Hanbit", actor="kim")
    issued = create_api_key(customer=owner, name="key", actor="kim")
    with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
        ApiKey.objects.filter(pk=issued.key.pk).update(**change)
    with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
        ApiKey.objects.filter(pk=issued.key.pk).update(
            customer=create_customer(slug="other", name="Other", actor="kim")
        )
    revoke_api_key(key=issued.key, actor="kim", now=datetime(2026, 11, 1, tzinfo=UTC))
    assert ApiKey.objects.get().revoked_at is not None


def test_a_customer_keeps_its_slug() -> None:
    create_customer(slug="hanbit", name="Hanbit", actor="kim")
    with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
        Customer.objects.update(slug="renamed")
    Customer.objects.update(name="한빛", slug="hanbit")
    assert Customer.objects.get().name == "한빛"
