"""What an invoice says about usage: the won of each of its lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from accounts.models import Customer
from billing.models import Invoice, InvoiceLine
from catalog.models import Model
from usage.models import BillingPeriod
from usage.periods import BillingMonth


@dataclass(frozen=True)
class InvoicedLine:
    """One usage line's whole won before VAT, discounts and promotional credit, with what it stands for."""

    month_on: date  # first day of the KST month in which the usage happened
    model_pk: int
    provider_pk: int
    supply_krw: int


@dataclass(frozen=True)
class InvoicedMonth:
    """A closed month. Without an invoice (nothing used, or less than one won) there are no lines and 0 won."""

    number: str | None
    lines: tuple[InvoicedLine, ...]


def invoiced_month(customer: Customer, month: BillingMonth) -> InvoicedMonth | None:
    """What was billed in a month; None while it is open, and where the invoice is void or not issued."""
    period = BillingPeriod.objects.filter(
        customer=customer, month=month.first_on, status=BillingPeriod.Status.CLOSED
    ).first()
    if period is None:
        return None
    if period.outcome != BillingPeriod.Outcome.INVOICED:
        return InvoicedMonth(None, ())
    shown = (Invoice.Status.ISSUED, Invoice.Status.PAID)
    invoice = Invoice.objects.filter(customer=customer, month=month.first_on, status__in=shown).first()
    if invoice is None:
        return None
    usage = InvoiceLine.objects.filter(invoice=invoice, model_id__isnull=False)
    rows = [(on, int(model_pk or 0), won) for on, model_pk, won in usage.values_list("month", "model_id", "amount_krw")]
    providers: Mapping[int, int] = dict(
        Model.objects.filter(pk__in={model_pk for _, model_pk, _ in rows}).values_list("pk", "provider_id")
    )
    lines = (InvoicedLine(on, model_pk, providers[model_pk], won) for on, model_pk, won in rows)
    return InvoicedMonth(invoice.number, tuple(lines))
