"""`/credits`: what is left is what clients get when they take the usage from the credits."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from billing.models import SpendingAccount
from tests.usage.factories import customer, ingest, line, model
from tests.usage_api.asking import get, key_of

pytestmark = pytest.mark.django_db


def read(secret: str) -> tuple[float, float]:
    data = get(secret, "/api/v1/credits").json()["data"]
    return data["total_credits"], data["total_usage"]


def test_what_is_left_is_the_balance_at_the_selling_price() -> None:
    owner = customer()
    model()
    secret, key = key_of(owner)
    [met] = ingest(line(api_key=key), now=datetime(2026, 11, 21, tzinfo=UTC))
    assert met.cost_usd == Decimal("0.000345")
    # Afterwards, without a limit: nothing was bought ahead.
    assert read(secret) == (0.000345, 0.000345)
    account = SpendingAccount.objects.filter(customer=owner)
    account.update(is_prepaid=True, prepaid_krw=1_000, factor_krw_per_usd=Decimal(1_500))
    # (1,000 - 0.000345 x 1,500) / 1,500, rounded down at the sixth decimal
    assert read(secret) == (0.666666, 0.000345)
    account.update(held_krw=400)
    assert read(secret) == (0.4, 0.000345)
    # What is owed beyond everything leaves nothing, not less.
    account.update(receivable_krw=5_000)
    assert read(secret) == (0.000345, 0.000345)
