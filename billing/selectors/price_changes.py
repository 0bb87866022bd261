"""The price-change report: what became dearer or cheaper, and whom it meets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Max, Sum

from billing.models import Invoice, InvoiceLine
from catalog.models import Price, PriceChange
from catalog.money import decimal_text
from usage.periods import BillingMonth

_COUNTED = (Invoice.Status.ISSUED, Invoice.Status.PAID)


@dataclass(frozen=True, slots=True)
class AffectedCustomer:
    """A customer that was invoiced for the model, and its supply amount for it in won."""

    slug: str
    supply_krw: int


@dataclass(frozen=True, slots=True)
class PriceChangeReport:
    """One change with the customers that it meets: those invoiced for the model in `month`, the most won first.

    `month` is the last one that was invoiced at all; None before the first.
    """

    change: PriceChange
    month: BillingMonth | None
    customers: tuple[AffectedCustomer, ...]

    @property
    def supply_krw(self) -> int:
        """The won of all of them."""
        return sum(customer.supply_krw for customer in self.customers)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: won as integers, USD per unit and percentages as decimal strings."""
        change = self.change
        return {
            "id": change.pk,
            "model": change.model.model_id,
            "status": change.status,
            "effective_at": change.effective_at.isoformat(),
            "percent": None if change.percent is None else decimal_text(change.percent),
            "percents": change.percents,
            "old": _shown(change.before),
            "new": _shown(change),
            "month": None if self.month is None else str(self.month),
            "customers": [{"customer": one.slug, "supply_krw": one.supply_krw} for one in self.customers],
            "supply_krw": self.supply_krw,
            "source": change.source,
            "created_by": change.created_by,
            "decided_by": change.decided_by,
            "reason": change.reason,
        }


def report_changes(changes: Iterable[PriceChange]) -> list[PriceChangeReport]:
    """The report of some changes, in their order; two queries however many they are."""
    wanted = list(changes)
    month_on = Invoice.objects.filter(status__in=_COUNTED).aggregate(last=Max("month"))["last"]
    lines = InvoiceLine.objects.filter(
        invoice__month=month_on, invoice__status__in=_COUNTED, model_id__in={change.model_id for change in wanted}
    )
    by_model: dict[int | None, list[AffectedCustomer]] = {}
    sums = lines.order_by().values_list("model_id", "invoice__customer__slug").annotate(won=Sum("amount_krw"))
    for model_pk, slug, won in sums:
        by_model.setdefault(model_pk, []).append(AffectedCustomer(slug, int(won)))
    return [
        PriceChangeReport(
            change=change,
            month=None if month_on is None else BillingMonth(month_on.year, month_on.month),
            customers=tuple(
                sorted(by_model.get(change.model_id, ()), key=lambda customer: (-customer.supply_krw, customer.slug))
            ),
        )
        for change in wanted
    ]


def _shown(price: Price | PriceChange) -> dict[str, Any]:
    return {"kind": price.kind, "components": price.components, "overrides": price.overrides}
