"""Taking back what was billed: credit notes by line, and voiding an invoice whole to issue it anew.

An issued invoice never changes. A credit note first makes the invoice smaller to pay; what was paid beyond that becomes
free again on the payment or prepayment that it came from, to be used or refunded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from django.db import transaction
from django.db.models import Sum

from accounts.errors import InvalidInput
from accounts.selectors import tax_profile_in_force
from accounts.services import record_audit
from billing.errors import InvoiceIsCredited, NotCreditable, NothingToBill
from billing.models import Allocation, CreditNote, CreditNoteLine, Invoice, InvoiceLine, InvoiceVoid, LedgerTransaction
from billing.pdf import NOTE_TEMPLATE_VERSION
from billing.selectors.bills import month_bill
from billing.selectors.credit_notes import creditable_krw, invoice_document, note_document
from billing.services.allocating import (
    day_of,
    reverse_allocation,
    settle,
    settle_again,
    standing_allocations,
)
from billing.services.amending import amend_for_credit_note, amend_for_void, amended_by_reissue
from billing.services.delivering import enqueue_credit_note, enqueue_void
from billing.services.granting import return_credits
from billing.services.issuing import issue_invoice, next_number
from billing.services.posting import post_credit_note, post_reversal
from billing.services.requiring import require_reason
from catalog.money import Rounding, vat_won
from usage.periods import BillingMonth
from usage.services.locking import hold_customer


@transaction.atomic
def issue_credit_note(
    *,
    invoice: Invoice,
    amounts_krw: Mapping[int, int],
    amendment_code: str,
    reason: str,
    actor: str,
    now: datetime,
) -> CreditNote:
    """Take won off an invoice: `amounts_krw` is supply (whole won) by the position of the line.

    With it come its mail and the amended tax invoices of `amendment_code`; the customer reads `reason`. Codes 04 and 06
    take back all that is left. Raises NotCreditable for a line that is none, or has less left, or an invoice that is not
    in force. The number is taken last, as an invoice's.
    """
    reason = require_reason(reason)
    _require_code(amendment_code)
    hold_customer(invoice.customer_id)
    invoice.refresh_from_db(fields=["status", "allocated_krw"])
    if invoice.status not in {Invoice.Status.ISSUED, Invoice.Status.PAID}:
        raise NotCreditable("only an invoice that is in force can be credited", field="invoice")
    lines = _lines(invoice, amounts_krw)
    supply = sum(amount for _line, amount in lines)
    _require_all_that_is_left(invoice, supply, amendment_code)
    vat = _vat(invoice, supply)
    posted = post_credit_note(
        invoice=invoice,
        supply_krw=supply,
        vat_krw=vat,
        occurred_on=day_of(now),
        memo=f"{invoice.customer.name} {invoice.number} {reason}",
        actor=actor,
    )
    series = f"CN-{day_of(now):%Y%m}"
    note = _write(invoice, lines, supply, vat, amendment_code, reason, posted, series=series, actor=actor, now=now)
    _apply(note, actor=actor, now=now)
    amendments = amend_for_credit_note(note=note, now=now)
    enqueue_credit_note(note=note, amendments=amendments, recipients=_recipients(invoice, now), now=now)
    data = {"invoice": invoice.number, "supply_krw": supply, "vat_krw": vat}
    record_audit(actor=actor, action="issue_credit_note", subject=note, reason=reason, data=data)
    return note


@transaction.atomic
def void_invoice(
    *,
    invoice: Invoice,
    reason: str,
    actor: str,
    now: datetime,
    amendment_code: str = CreditNote.Amendment.ERROR,
) -> Invoice:
    """Take an invoice back whole: what paid it is free again, promotional credit returns, the books are reversed.

    The month stays closed: `reissue_invoice` bills it anew. Its tax invoice is withdrawn or, once it has left, taken back
    by an amended one of that code; 01 says that it is issued anew. The customer is mailed `reason`. Raises
    InvoiceIsCredited where credit notes stand on it, and NotCreditable for an invoice that is not in force.
    """
    reason = require_reason(reason)
    _require_code(amendment_code)
    if amendment_code == CreditNote.Amendment.SUPPLY_CHANGED:
        raise InvalidInput(
            "amendment_code: a void takes everything back, which is 01, 04 or 06", field="amendment_code"
        )
    hold_customer(invoice.customer_id)
    invoice.refresh_from_db(fields=["status", "allocated_krw"])
    if invoice.status not in {Invoice.Status.ISSUED, Invoice.Status.PAID}:
        raise NotCreditable("only an invoice that is in force can be voided", field="invoice")
    if invoice.credit_notes.exists():
        raise InvoiceIsCredited(
            f"{invoice.number} has credit notes: credit what is left of it instead", field="invoice"
        )
    for allocation in reversed(standing_allocations(invoice=invoice)):
        reverse_allocation(allocation=allocation, reason=reason, actor=actor, now=now)
    original = LedgerTransaction.objects.get(invoice=invoice, kind=LedgerTransaction.Kind.INVOICE_ISSUED)
    memo = f"{invoice.customer.name} {invoice.number} {reason}"
    post_reversal(original=original, occurred_on=day_of(now), memo=memo, actor=actor)
    return_credits(invoice=invoice, reason=reason, actor=actor, now=now)
    invoice.refresh_from_db(fields=["status", "allocated_krw"])
    invoice.status = Invoice.Status.VOID
    invoice.save(update_fields=["status"])
    void = InvoiceVoid.objects.create(
        invoice=invoice,
        amendment_code=amendment_code,
        reason=reason,
        voided_at=now,
        voided_on=day_of(now),
        actor=actor,
    )
    amendments = amend_for_void(void=void, now=now)
    enqueue_void(invoice=invoice, amendments=amendments, recipients=_recipients(invoice, now), now=now)
    data = {"amendment_code": amendment_code}
    record_audit(actor=actor, action="void_invoice", subject=invoice, reason=reason, data=data)
    return invoice


@transaction.atomic
def reissue_invoice(*, invoice: Invoice, actor: str, now: datetime) -> Invoice:
    """Bill a voided invoice's month anew, by the terms and identities that are in force now, under a new number.

    Raises NotCreditable while the invoice is in force or its month is billed again already, NothingToBill for a month that
    comes to nothing now, and whatever the close would refuse.
    """
    hold_customer(invoice.customer_id)
    invoice.refresh_from_db(fields=["status"])
    if invoice.status != Invoice.Status.VOID:
        raise NotCreditable(f"{invoice.number} is in force: void it first", field="invoice")
    customer, month = invoice.customer, BillingMonth(invoice.month.year, invoice.month.month)
    if Invoice.objects.filter(customer=customer, month=invoice.month).exclude(status=Invoice.Status.VOID).exists():
        raise NotCreditable(f"{month} is billed to {customer.slug} again already", field="invoice")
    bill = month_bill(customer, month)
    if bill is None or bill.is_nothing:
        raise NothingToBill(f"{month} comes to nothing for {customer.slug}", field="invoice")
    made = issue_invoice(
        customer=customer,
        period=invoice.period,
        bill=bill,
        now=now,
        actor=actor,
        amends=amended_by_reissue(invoice),
    )
    record_audit(actor=actor, action="reissue_invoice", subject=made, data={"instead_of": invoice.number})
    return made


def _lines(invoice: Invoice, amounts_krw: Mapping[int, int]) -> list[tuple[InvoiceLine, int]]:
    if not amounts_krw:
        raise InvalidInput("lines: name at least one line", field="lines")
    found = {line.position: line for line in invoice.lines.filter(position__in=amounts_krw)}
    lines = []
    for position, amount in sorted(amounts_krw.items()):
        line = found.get(position)
        if line is None:
            raise NotCreditable(f"{invoice.number} has no line {position}", field=f"lines.{position}")
        left = creditable_krw(line)
        if left <= 0:
            raise NotCreditable(f"line {position}: nothing of it is left to credit", field=f"lines.{position}")
        if not 0 < amount <= left:
            raise NotCreditable(
                f"line {position}: 1 to {left} won can be credited, not {amount}", field=f"lines.{position}"
            )
        lines.append((line, amount))
    return lines


def _vat(invoice: Invoice, supply_krw: int) -> int:
    """What the invoice's VAT loses: by the invoice's own rounding, on what is left of its supply."""
    before = invoice.credit_notes.aggregate(supply=Sum("supply_krw"), vat=Sum("vat_krw"))
    left = invoice.supply_krw - (before["supply"] or 0) - supply_krw
    if invoice.zero_rating_id is not None:
        return 0
    return invoice.vat_krw - (before["vat"] or 0) - vat_won(left, Rounding(invoice.rounding))


def _require_code(amendment_code: str) -> None:
    if amendment_code not in CreditNote.Amendment.values:
        raise InvalidInput(f"amendment_code: one of {', '.join(CreditNote.Amendment.values)}", field="amendment_code")


def _require_all_that_is_left(invoice: Invoice, supply_krw: int, amendment_code: str) -> None:
    left = invoice.supply_krw - (invoice.credit_notes.aggregate(won=Sum("supply_krw"))["won"] or 0)
    if amendment_code in (CreditNote.Amendment.CANCELLED, CreditNote.Amendment.DUPLICATE) and supply_krw != left:
        raise NotCreditable(
            f"code {amendment_code} takes back all of the {left} won that are left: a part is 01 or 02",
            field="amendment_code",
        )


def _recipients(invoice: Invoice, now: datetime) -> list[str]:
    """Where a correction goes: to the customer's addresses of today, or to the one on the invoice where it has none."""
    profile = tax_profile_in_force(invoice.customer, on=day_of(now))
    if profile is None:
        return [invoice_document(invoice).buyer.email]
    return [profile.email, profile.email2]


def _write(
    invoice: Invoice,
    lines: list[tuple[InvoiceLine, int]],
    supply_krw: int,
    vat_krw: int,
    amendment_code: str,
    reason: str,
    posted: LedgerTransaction,
    *,
    series: str,
    actor: str,
    now: datetime,
) -> CreditNote:
    document = note_document(
        invoice=invoice,
        lines=lines,
        supply_krw=supply_krw,
        vat_krw=vat_krw,
        amendment_code=amendment_code,
        reason=reason,
        issued_on=day_of(now),
        template_version=NOTE_TEMPLATE_VERSION,
    )
    number = f"{series}-{next_number(series=series):04d}"
    note = CreditNote.objects.create(
        invoice=invoice,
        customer=invoice.customer,
        number=number,
        amendment_code=amendment_code,
        reason=reason,
        supply_krw=supply_krw,
        vat_krw=vat_krw,
        total_krw=supply_krw + vat_krw,
        issued_at=now,
        issued_on=day_of(now),
        actor=actor,
        document=replace(document, number=number).to_json(),
        ledger_transaction=posted,
    )
    CreditNoteLine.objects.bulk_create(
        CreditNoteLine(credit_note=note, invoice_line=line, amount_krw=amount) for line, amount in lines
    )
    return note


def _apply(note: CreditNote, *, actor: str, now: datetime) -> None:
    """Settle so much of the invoice by the note; what had settled it gives way, the latest first, and settles what is left:
    what was given up stays given up.
    """
    invoice = note.invoice
    freed: list[Allocation] = []
    for allocation in reversed(standing_allocations(invoice=invoice)):
        if invoice.due_krw >= note.total_krw:
            break
        if allocation.source == Allocation.Source.CREDIT_NOTE:
            continue
        reverse_allocation(allocation=allocation, reason=note.number, actor=actor, now=now)
        invoice.refresh_from_db(fields=["status", "allocated_krw"])
        freed.append(allocation)
    settle(invoice=invoice, amount_krw=note.total_krw, actor=actor, now=now, credit_note=note, reason=note.number)
    for allocation in reversed(freed):
        if not invoice.due_krw:
            break
        settle_again(allocation=allocation, invoice=invoice, reason=note.number, actor=actor, now=now)
