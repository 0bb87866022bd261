"""What is left of money received ahead, and which of it pays an invoice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from django.db.models import F

from billing.models import Prepayment


def waiting_prepayments(customer_ids: Collection[int]) -> Mapping[int, list[Prepayment]]:
    """Prepayments with something left by customer, the oldest first; an empty list for whoever has none."""
    gone = F("consumed_krw") + F("refunded_krw") + F("withdrawn_krw")
    found: dict[int, list[Prepayment]] = defaultdict(list)
    waiting = Prepayment.objects.filter(customer__in=customer_ids, amount_krw__gt=gone)
    for prepayment in waiting.order_by("created_at", "pk"):
        found[prepayment.customer_id].append(prepayment)
    return found


def drawn(prepayments: Iterable[Prepayment], *, due_krw: int) -> list[tuple[Prepayment, int]]:
    """How many won each gives to what is due, in their order, as far as they go."""
    found = []
    for prepayment in prepayments:
        won = min(prepayment.remaining_krw, due_krw)
        if won <= 0:
            break
        found.append((prepayment, won))
        due_krw -= won
    return found
