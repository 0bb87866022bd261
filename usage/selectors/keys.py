"""What one API key used."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from django.db.models import Q, Sum

from accounts.models import Customer
from catalog.money import ZERO
from usage.models import UsageRollup


@dataclass(frozen=True)
class KeyUsage:
    """USD at list price: of a KST day, of its week since Monday, of its month, and ever."""

    day_usd: Decimal
    week_usd: Decimal
    month_usd: Decimal
    ever_usd: Decimal


def key_usage(customer: Customer, api_key_pk: int, *, today: date) -> KeyUsage:
    """The priced usage of one of the customer's keys up to `today` (KST)."""
    since = {
        "day_usd": today,
        "week_usd": today - timedelta(days=today.weekday()),
        "month_usd": today.replace(day=1),
    }
    sums = {name: Sum("cost_usd", filter=Q(day__gte=first_on, day__lte=today)) for name, first_on in since.items()}
    used = UsageRollup.objects.filter(customer=customer, api_key_id=api_key_pk).aggregate(
        **sums, ever_usd=Sum("cost_usd")
    )
    return KeyUsage(**{name: usd or ZERO for name, usd in used.items()})
