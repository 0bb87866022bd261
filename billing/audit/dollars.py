"""Whether every invoice in dollars, and every credit note on one, says the dollars that its won come to."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from django.db.models import Q

from billing.documents import InvoiceDocument
from billing.dollars import USD, Dollars, in_dollars, line_dollars
from billing.frozen import DocumentError
from billing.models import CreditNote, Invoice
from billing.notes import CreditNoteDocument, credited_dollars
from catalog.money import ZERO, exact_sum


def dollars_are_the_won() -> Iterator[str | None]:
    """Of everything that says dollars: row and document recomputed from the won and the rate, to the cent."""
    called = Q(currency=USD) | Q(document__has_key="dollars")
    for invoice in Invoice.objects.exclude(status=Invoice.Status.DRAFT).filter(called).iterator():
        yield _invoice_finding(invoice)
        yield from _note_findings(invoice)
    astray = CreditNote.objects.filter(document__has_key="dollars").exclude(invoice__currency=USD)
    for number in astray.values_list("number", flat=True):
        yield f"{number}: names dollars on an invoice in won"


def _invoice_finding(invoice: Invoice) -> str | None:
    if invoice.currency != USD or invoice.exchange_rate is None:
        return f"{invoice.number}: its document is in dollars, the invoice is not"
    rate = invoice.exchange_rate
    reckoned = in_dollars(supply_krw=invoice.supply_krw, vat_krw=invoice.vat_krw, rate_krw_per_usd=rate)
    if Dollars(invoice.supply_usd or ZERO, invoice.vat_usd or ZERO) != reckoned:
        return f"{invoice.number}: says {invoice.supply_usd} + {invoice.vat_usd} dollars, recomputed {reckoned}"
    try:
        document = InvoiceDocument.from_json(invoice.document or {})
    except DocumentError as error:
        return f"{invoice.number}: document does not hold: {error}"
    said = document.dollars
    if said is None or Dollars(said.supply_usd, said.vat_usd) != reckoned:
        return f"{invoice.number}: the document says other dollars than the invoice"
    lines = line_dollars(
        [line.amount_krw for line in document.lines], rate_krw_per_usd=rate, supply_usd=reckoned.supply_usd
    )
    if tuple(line.amount_usd for line in document.lines) != lines:
        return f"{invoice.number}: its lines say other dollars than recomputed"
    return None


def _note_findings(invoice: Invoice) -> Iterator[str | None]:
    """Notes in the order in which they were issued: each its share, together never more than the invoice."""
    before_krw, totals = 0, list[Decimal]()
    for note in invoice.credit_notes.order_by("pk"):
        try:
            said = CreditNoteDocument.from_json(note.document).dollars
        except DocumentError as error:
            yield f"{note.number}: document does not hold: {error}"
            return
        if said is None or invoice.total_usd is None:
            yield f"{note.number}: says no dollars on an invoice in dollars"
            return
        reckoned = credited_dollars(
            before_krw=before_krw,
            total_krw=note.total_krw,
            invoice_krw=invoice.total_krw,
            invoice_usd=invoice.total_usd,
        )
        before_krw += note.total_krw
        totals.append(said.total_usd)
        holds = said == reckoned and exact_sum(totals) <= invoice.total_usd
        yield None if holds else f"{note.number}: says {said.total_usd} dollars, recomputed {reckoned.total_usd}"
