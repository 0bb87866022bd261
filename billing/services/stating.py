"""The digest of an invoice's events: computed once, kept, and printed ever after."""

from __future__ import annotations

from datetime import datetime

from billing.models import Invoice, InvoiceStatement
from billing.selectors.statements import invoice_bases, statement_digest
from usage.errors import EventsArchived
from usage.periods import BillingMonth


def ensure_statement(*, invoice: Invoice, now: datetime) -> InvoiceStatement | None:
    """The statement of an issued invoice; computed the first time. None where the events were archived before that.

    Safe in any number: what a closed month bills does not change, so everybody computes the same.
    """
    kept = InvoiceStatement.objects.filter(invoice=invoice).first()
    if kept is not None:
        return kept
    try:
        month = BillingMonth(invoice.month.year, invoice.month.month)
        events, digest = statement_digest(invoice.customer, month, invoice_bases(invoice))
    except EventsArchived:
        return None
    made = InvoiceStatement(invoice=invoice, events=events, digest=digest, created_at=now)
    InvoiceStatement.objects.bulk_create([made], ignore_conflicts=True)
    return InvoiceStatement.objects.get(invoice=invoice)
