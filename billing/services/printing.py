"""The PDFs of issued documents: made of the frozen content the first time and the same bytes ever after."""

from __future__ import annotations

import hashlib
from datetime import datetime

from django.db import IntegrityError, transaction

from accounts.errors import InvalidInput
from billing.documents import InvoiceDocument
from billing.models import CreditNote, CreditNotePdf, Invoice, InvoicePdf
from billing.notes import CreditNoteDocument
from billing.pdf import render_credit_note, render_invoice
from billing.services.stating import ensure_statement


def ensure_invoice_pdf(*, invoice: Invoice, now: datetime) -> InvoicePdf:
    """The PDF of an issued invoice. Raises InvalidInput for a draft."""
    kept = InvoicePdf.objects.filter(invoice=invoice).first()
    if kept is not None:
        return kept
    if invoice.document is None:
        raise InvalidInput("a draft has no document yet", field="invoice")
    statement = ensure_statement(invoice=invoice, now=now)
    content = render_invoice(
        InvoiceDocument.from_json(invoice.document),
        statement=None if statement is None else (statement.events, statement.digest),
    )
    try:
        with transaction.atomic():
            return InvoicePdf.objects.create(
                invoice=invoice, content=content, sha256=hashlib.sha256(content).hexdigest(), created_at=now
            )
    except IntegrityError:
        # Somebody else was quicker; theirs counts.
        return InvoicePdf.objects.get(invoice=invoice)


def ensure_credit_note_pdf(*, note: CreditNote, now: datetime) -> CreditNotePdf:
    """The PDF of a credit note."""
    kept = CreditNotePdf.objects.filter(credit_note=note).first()
    if kept is not None:
        return kept
    content = render_credit_note(CreditNoteDocument.from_json(note.document))
    try:
        with transaction.atomic():
            return CreditNotePdf.objects.create(
                credit_note=note, content=content, sha256=hashlib.sha256(content).hexdigest(), created_at=now
            )
    except IntegrityError:
        return CreditNotePdf.objects.get(credit_note=note)
