"""Whether every closed month came to its monthly minimum, by the terms that were known when it was billed."""

from __future__ import annotations

from collections.abc import Iterator

from billing.models import Invoice, MonthlyMinimum, minimum_of, minimum_parts
from catalog.money import Rounding
from usage.models import BillingPeriod, UsageRollup
from usage.periods import BillingMonth


def minimums_are_charged() -> Iterator[str | None]:
    """Of every customer that has or had a minimum: what its invoices say, and that no month was closed without one."""
    rows: dict[int, list[MonthlyMinimum]] = {}
    for row in MonthlyMinimum.objects.order_by("effective_from"):
        rows.setdefault(row.customer_id, []).append(row)
    invoices = Invoice.objects.filter(customer__in=rows, status__in=(Invoice.Status.ISSUED, Invoice.Status.PAID))
    for invoice in invoices.iterator():
        known = [row for row in rows[invoice.customer_id] if invoice.issued_at and row.created_at <= invoice.issued_at]
        month = BillingMonth(invoice.month.year, invoice.month.month)
        has_usage = invoice.lines.filter(model_id__isnull=False).exists()
        parts = minimum_parts(known, month, has_usage=has_usage)
        owed = minimum_of(parts, month, Rounding(invoice.rounding))
        said = (invoice.document or {}).get("minimum_krw", 0)
        yield None if owed == said else f"{invoice.number}: its minimum is {owed}, the document says {said}"
    nothing = (BillingPeriod.Outcome.NO_USAGE, BillingPeriod.Outcome.NO_CHARGE)
    periods = BillingPeriod.objects.filter(customer__in=rows, outcome__in=nothing).select_related("customer")
    for period in periods.iterator():
        known = [row for row in rows[period.customer_id] if period.closed_at and row.created_at <= period.closed_at]
        month = BillingMonth(period.month.year, period.month.month)
        used = UsageRollup.objects.filter(customer_id=period.customer_id, billing_month=period.month)
        parts = minimum_parts(known, month, has_usage=used.exists())
        owed = minimum_of(parts, month, Rounding(period.customer.rounding))
        where = f"customer {period.customer_id}, {month}"
        yield f"{where}: closed without an invoice, and owes a minimum of {owed}" if owed else None
