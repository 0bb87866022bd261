"""Which promotional credit a month's bill can use, and how it stands."""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import F, QuerySet

from accounts.models import Customer
from billing.models import PromotionalCredit
from billing.totals import Offer
from usage.periods import BillingMonth


def usable_credits(customer_ids: Collection[int], month: BillingMonth) -> dict[int, list[PromotionalCredit]]:
    """The grants with something left that cover a day up to that month's last and have not ended before its first, by
    customer; whoever has none is left out.

    In the order of use: priority, then the one that expires first, then the oldest. The days of the month decide and
    never the day of the close: closing late uses the same grants as closing at once.
    """
    left = F("used_krw") + F("expired_krw") + F("voided_krw")
    usable = PromotionalCredit.objects.filter(
        customer__in=customer_ids, valid_from__lte=month.last_on, expires_on__gte=month.first_on, amount_krw__gt=left
    )
    found: dict[int, list[PromotionalCredit]] = {}
    for credit in usable.order_by("priority", "expires_on", "granted_at", "pk"):
        found.setdefault(credit.customer_id, []).append(credit)
    return found


def offer_of(credit: PromotionalCredit) -> Offer:
    """The grant as the arithmetic takes it."""
    covered = credit.models_covered
    return Offer(
        key=credit.pk,
        remaining_krw=credit.remaining_krw,
        first_on=credit.valid_from,
        last_on=credit.expires_on,
        models=None if covered is None else frozenset(covered),
    )


def credits_of(customer: Customer) -> QuerySet[PromotionalCredit]:
    """Every grant of a customer, the newest first."""
    return PromotionalCredit.objects.filter(customer=customer).order_by("-granted_at", "-pk")
