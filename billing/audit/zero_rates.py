"""Whether no invoice lacks its VAT without evidence, and everything that says so says the same."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Q

from billing.models import Invoice

#: 영세율 세금계산서.
_ZERO_RATED = "0102"


def zero_rates_have_evidence() -> Iterator[str | None]:
    """Of invoices in force that anything calls zero-rated: the evidence, the document, the kind of the tax invoice."""
    issued = Invoice.objects.filter(status__in=(Invoice.Status.ISSUED, Invoice.Status.PAID))
    called = Q(zero_rating__isnull=False) | Q(document__has_key="zero_rate") | Q(tax_invoice__type_code=_ZERO_RATED)
    for invoice in issued.filter(called).select_related("zero_rating", "tax_invoice").iterator():
        yield _finding(invoice)


def _finding(invoice: Invoice) -> str | None:
    evidence, tax = invoice.zero_rating, getattr(invoice, "tax_invoice", None)
    if evidence is None:
        return f"{invoice.number}: is called zero-rated without evidence"
    has_ended = evidence.effective_to is not None and evidence.effective_to <= invoice.month
    if evidence.customer_id != invoice.customer_id or evidence.effective_from > invoice.month or has_ended:
        return f"{invoice.number}: its evidence is not for that customer and month"
    said = (invoice.document or {}).get("zero_rate") or {}
    if (said.get("law"), said.get("sha256")) != (evidence.law, evidence.sha256):
        return f"{invoice.number}: the document names other evidence"
    if tax is not None and tax.type_code != _ZERO_RATED:
        return f"{invoice.number}: its tax invoice is an ordinary one"
    return None
