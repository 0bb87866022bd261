"""Credit notes: what a line still has, what a note will say, whose notes they are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction

from django.db.models import DecimalField, QuerySet, Sum
from django.db.models.fields.json import KT
from django.db.models.functions import Cast

from accounts.models import Customer
from billing.documents import InvoiceDocument
from billing.models import CreditNote, Invoice, InvoiceLine
from billing.notes import CreditedDollars, CreditedLine, CreditNoteDocument, credited_dollars
from billing.selectors.deadlines import amendment_dates
from catalog.money import allocate

#: Stands in the document until the number is taken.
_UNNUMBERED = "-"


def credit_notes_of(customer: Customer) -> QuerySet[CreditNote]:
    """The customer's credit notes, newest first, with their `total_usd` (None on an invoice in won)."""
    notes = CreditNote.objects.filter(customer=customer).select_related("invoice").order_by("-issued_at", "-pk")
    cents: DecimalField[Decimal, Decimal] = DecimalField(max_digits=20, decimal_places=2)
    return notes.annotate(total_usd=Cast(KT("document__dollars__total_usd"), cents))


def creditable_krw(line: InvoiceLine) -> int:
    """What of a line can still be taken back: billed after what was taken off there, less what was credited."""
    return _billed_krw(line) - _credited_krw(line)


def invoice_document(invoice: Invoice) -> InvoiceDocument:
    """What an issued invoice says."""
    assert invoice.document is not None  # a constraint gives every issued invoice one
    return InvoiceDocument.from_json(invoice.document)


def note_document(
    *,
    invoice: Invoice,
    lines: Sequence[tuple[InvoiceLine, int]],
    supply_krw: int,
    vat_krw: int,
    amendment_code: str,
    reason: str,
    issued_on: date,
    template_version: int,
) -> CreditNoteDocument:
    """The content of a credit note that is being issued, all but its number. `lines` are supply won by line, in order.

    The note's VAT is shared out to its lines by largest remainder.
    """
    issued = invoice_document(invoice)
    original = getattr(invoice, "tax_invoice", None)
    write_date_on = original.write_date_on if original else invoice.period.end_at.date()
    ids = {line.position: line for line in issued.lines}
    before = invoice.credit_notes.aggregate(supply=Sum("supply_krw"), vat=Sum("vat_krw"))
    before_supply_krw, before_vat_krw = before["supply"] or 0, before["vat"] or 0
    total_krw = supply_krw + vat_krw
    shares = allocate(vat_krw, [Fraction(won) for _line, won in lines])
    return CreditNoteDocument(
        number=_UNNUMBERED,
        locale=issued.locale,
        issued_on=issued_on,
        amendment_code=amendment_code,
        reason=reason,
        seller=issued.seller,
        seller_phone=issued.seller_phone,
        buyer=issued.buyer,
        invoice_number=issued.number,
        invoice_issued_on=issued.issued_on,
        invoice_month=issued.month,
        write_date_on=write_date_on,
        tax_deadline_on=amendment_dates(write_date_on, code=amendment_code, on=issued_on)[1],
        lines=tuple(
            CreditedLine(
                position=line.position,
                model_id=ids[line.position].model_id,
                model_name=ids[line.position].model_name,
                month=f"{line.month:%Y-%m}",
                billed_krw=_billed_krw(line),
                before_krw=_credited_krw(line),
                supply_krw=won,
                vat_krw=vat,
            )
            for (line, won), vat in zip(lines, shares, strict=True)
        ),
        supply_krw=supply_krw,
        vat_krw=vat_krw,
        total_krw=total_krw,
        invoice_supply_krw=invoice.supply_krw,
        invoice_vat_krw=invoice.vat_krw,
        invoice_total_krw=invoice.total_krw,
        before_supply_krw=before_supply_krw,
        before_vat_krw=before_vat_krw,
        template_version=template_version,
        dollars=_dollars(invoice, total_krw=total_krw, before_krw=before_supply_krw + before_vat_krw),
    )


def _dollars(invoice: Invoice, *, total_krw: int, before_krw: int) -> CreditedDollars | None:
    if invoice.total_usd is None:
        return None
    return credited_dollars(
        before_krw=before_krw, total_krw=total_krw, invoice_krw=invoice.total_krw, invoice_usd=invoice.total_usd
    )


def _billed_krw(line: InvoiceLine) -> int:
    return max(line.amount_krw, 0) - line.discount_krw - line.promotion_krw


def _credited_krw(line: InvoiceLine) -> int:
    return line.credit_lines.aggregate(won=Sum("amount_krw"))["won"] or 0
