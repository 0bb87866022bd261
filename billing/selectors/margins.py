"""Which margin holds for a customer on a day."""

from __future__ import annotations

from datetime import date

from django.db.models import Q

from accounts.models import Customer
from billing.models import MarginRule


def margin_in_force(customer: Customer | None, on: date) -> MarginRule | None:
    """The customer's own rule of that day, otherwise the default rule of that day, otherwise None."""
    rules = MarginRule.objects.filter(Q(effective_to__isnull=True) | Q(effective_to__gt=on), effective_from__lte=on)
    own = rules.filter(customer=customer).first() if customer is not None else None
    return own or rules.filter(customer__isnull=True).first()
