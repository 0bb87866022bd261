"""The only module that writes the ledger."""

from __future__ import annotations

from datetime import date

from django.db import transaction

from billing.models import Invoice
from billing.models.ledger import LedgerEntry, LedgerTransaction


@transaction.atomic
def post_invoice(*, invoice: Invoice, occurred_on: date, memo: str) -> LedgerTransaction:
    """Debit the customer's receivable with the total; credit revenue with the supply and VAT payable with the VAT."""
    posted = LedgerTransaction.objects.create(
        kind=LedgerTransaction.Kind.INVOICE_ISSUED,
        occurred_on=occurred_on,
        invoice=invoice,
        memo=memo,
    )
    signed = {
        LedgerEntry.Account.RECEIVABLE: invoice.total_krw,
        LedgerEntry.Account.REVENUE: -invoice.supply_krw,
        LedgerEntry.Account.VAT_PAYABLE: -invoice.vat_krw,
    }
    LedgerEntry.objects.bulk_create(
        LedgerEntry(transaction=posted, account=account, customer=invoice.customer, amount=amount)
        for account, amount in signed.items()
        if amount
    )
    return posted
