"""Amended tax invoices (수정세금계산서, VAT Act decree art. 70): what credit notes and voids mean to the tax office.

An error (01) is corrected under the original's date by two documents: one takes back the whole of the tax invoice that is
in force, one states it anew. A changed supply (02) or a cancelled contract (04) is one negative document of the day on which
it happened, with the original's date as a remark, due like a tax invoice of that day's month. What was issued twice (06) is
taken back under the original's date. Where the date is the original's the law names no deadline.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import date, datetime

from billing.adapters import tax_document
from billing.adapters.tax_document import TaxDocumentError, amending_type
from billing.errors import UnfitForTaxInvoice
from billing.models import CreditNote, Invoice, InvoiceVoid, TaxInvoice
from billing.selectors.deadlines import amendment_dates
from billing.services.taxing import recorded_document


def tax_invoice_in_force(invoice: Invoice) -> TaxInvoice | None:
    """The tax invoice whose amounts stand: the invoice's own, or what stated it anew after an error. None without any."""
    corrected = invoice.amended_tax_invoices.filter(amendment_code=tax_document.ERROR, supply_krw__gt=0)
    return corrected.order_by("-pk").first() or getattr(invoice, "tax_invoice", None)


def amend_for_credit_note(*, note: CreditNote, now: datetime) -> list[TaxInvoice]:
    """Write the amended tax invoices of a credit note, in the order in which they go out; call it in its transaction.

    Raises UnfitForTaxInvoice for what no provider would take.
    """
    base = tax_invoice_in_force(note.invoice)
    if base is None:
        return []
    code = note.amendment_code
    amounts = [(-note.supply_krw, -note.vat_krw)]
    if code == tax_document.ERROR:
        anew = (base.supply_krw - note.supply_krw, base.vat_krw - note.vat_krw)
        amounts = [(-base.supply_krw, -base.vat_krw), *([anew] if any(anew) else [])]
    dates = amendment_dates(base.write_date_on, code=code, on=note.issued_on)
    return [
        _record(base, note.invoice, f"{note.issued_on:%Y%m}-{note.pk}-{ordinal}", code, dates, won, now, note=note)
        for ordinal, won in enumerate(amounts, start=1)
    ]


def amend_for_void(*, void: InvoiceVoid, now: datetime) -> list[TaxInvoice]:
    """Write the document that takes a voided invoice's tax invoice back; nothing where that had not left the house yet.

    Call it in the voiding transaction. A tax invoice that is on its way counts as one that left.
    """
    invoice = void.invoice
    original = TaxInvoice.objects.select_for_update().filter(invoice=invoice).first()
    if original is None:
        return []
    if original.status in (TaxInvoice.Status.QUEUED, TaxInvoice.Status.FAILED):
        original.status = TaxInvoice.Status.WITHDRAWN
        original.save(update_fields=["status"])
        return []
    code = void.amendment_code
    dates = amendment_dates(original.write_date_on, code=code, on=void.voided_on)
    won = (-original.supply_krw, -original.vat_krw)
    return [_record(original, invoice, f"{void.voided_on:%Y%m}-V{void.pk}", code, dates, won, now)]


def amended_by_reissue(voided: Invoice) -> TaxInvoice | None:
    """The tax invoice that an invoice issued instead of this voided one amends; None where it gets one of its own.

    That is where the voided one's was taken back as an error; any other void ended the matter. One that was withdrawn passes
    on what it would have amended itself.
    """
    original = TaxInvoice.objects.select_related("amends").filter(invoice=voided).first()
    if original is None or original.status == TaxInvoice.Status.WITHDRAWN:
        return None if original is None else original.amends
    taken_back = original.amendments.filter(corrects=voided, credit_note=None, amendment_code=tax_document.ERROR)
    return original if taken_back.exists() else None


def state_anew(*, record: TaxInvoice, amends: TaxInvoice) -> None:
    """Make a tax invoice record that is not written yet the second document of code 01: what states `amends` anew."""
    record.amends = amends
    record.type_code = amending_type(record.type_code)
    record.amendment_code = tax_document.ERROR
    record.deadline_on = None


def _record(
    base: TaxInvoice,
    invoice: Invoice,
    key: str,
    code: str,
    dates: tuple[date, date | None],
    won: tuple[int, int],
    now: datetime,
    *,
    note: CreditNote | None = None,
) -> TaxInvoice:
    write_date_on, deadline_on = dates
    supply, vat = won
    original = recorded_document(base)
    remark = "" if write_date_on == base.write_date_on else f"당초 작성일자 {base.write_date_on}"
    line = replace(
        original.lines[0],
        quantity=-1 if supply < 0 else 1,
        supplied_on=write_date_on,
        supply_krw=supply,
        tax_krw=vat,
    )
    try:
        content = replace(
            original,
            type_code=original.type_code if original.is_amendment else amending_type(original.type_code),
            write_date_on=write_date_on,
            lines=(line,),
            supply_krw=supply,
            tax_krw=vat,
            total_krw=supply + vat,
            # Not the remark of an amendment: a buyer from abroad has its own number there.
            remark=" / ".join(text for text in (base.buyer.get("foreign_id", ""), remark) if text),
            amendment_code=code,
        )
    except TaxDocumentError as error:
        raise UnfitForTaxInvoice(f"no amended tax invoice can be issued: {error}", field=error.field) from None
    return TaxInvoice.objects.create(
        corrects=invoice,
        credit_note=note,
        amends=base,
        amendment_code=code,
        provider_key=f"JA-{key}",
        type_code=content.type_code,
        purpose_code=content.purpose_code,
        write_date_on=write_date_on,
        deadline_on=deadline_on,
        supplier=base.supplier,
        buyer=base.buyer,
        buyer_type_code=content.buyer_type_code,
        lines=[asdict(line) | {"supplied_on": write_date_on.isoformat()}],
        remark=content.remark,
        supply_krw=supply,
        vat_krw=vat,
        total_krw=supply + vat,
        created_at=now,
    )
