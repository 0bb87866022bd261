"""Whether every discount on an invoice in force is the one that was agreed, reckoned again from the invoice's own lines."""

from __future__ import annotations

from collections.abc import Iterator

from billing.models import Invoice, invoice_reductions


def discounts_are_taken_as_agreed() -> Iterator[str | None]:
    """The won of each discount line, and of each usage line what it was reduced by."""
    with_discounts = Invoice.objects.filter(status__in=("issued", "paid"), lines__discount__isnull=False).distinct()
    for invoice in with_discounts.iterator():
        yield _finding(invoice)


def _finding(invoice: Invoice) -> str | None:
    lines = list(invoice.lines.order_by("position"))
    usage = [line for line in lines if line.model_id is not None]
    taken = {line.discount_id: -line.amount_krw for line in lines if line.discount_id is not None}
    reductions = invoice_reductions(invoice, usage)
    if {one.key: one.amount_krw for one in reductions} != taken:
        agreed = {one.key: one.amount_krw for one in reductions}
        return f"{invoice.number}: its discounts come to {agreed}, not {taken}"
    by_line = [sum(parts) for parts in zip(*(one.by_line_krw for one in reductions), strict=True)]
    if by_line != [line.discount_krw for line in usage]:
        return f"{invoice.number}: its lines are reduced by other amounts than its discounts give"
    return None
