"""Settling invoices won by won: from payments, from prepayments, or by giving up; and taking that back.

Money moves with the customer's months held, so two at once wait for each other and the second sees what is left. The
database refuses the rest: a payment, prepayment or invoice is never settled beyond its own won.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from django.db import transaction

from accounts.errors import InvalidInput
from accounts.services import record_audit
from billing.errors import AlreadyReversed, CreditNoteStands, NotEnoughLeft, WrongCustomer
from billing.models import Allocation, AllocationReversal, CreditNote, Invoice, Payment, Prepayment
from billing.services.posting import Account, Booking, Kind, post_reversal, post_transactions, transfer_booking
from usage.periods import KST
from usage.services.locking import hold_customer

_TRANSFERS = {
    Allocation.Source.PAYMENT: (Kind.PAYMENT_ALLOCATED, Account.UNAPPLIED),
    Allocation.Source.PREPAYMENT: (Kind.PREPAYMENT_APPLIED, Account.PREPAYMENTS),
    Allocation.Source.WRITE_OFF: (Kind.WRITTEN_OFF, Account.WRITE_OFFS),
    Allocation.Source.CREDIT_NOTE: (Kind.CREDIT_NOTE_APPLIED, Account.UNAPPLIED),
}


def day_of(instant: datetime) -> date:
    """The KST day: the accounting day of what happened then."""
    return instant.astimezone(KST).date()


def require_reason(reason: str) -> str:
    """The reason, which must be there."""
    if not reason.strip():
        raise InvalidInput("this needs a reason", field="reason")
    return reason.strip()


def won_of(amount_krw: int | None, *, left: int, what: str) -> int:
    """The won asked for, all that is left where none are named. Raises NotEnoughLeft for more, or when nothing is left."""
    won = left if amount_krw is None else amount_krw
    if amount_krw is not None and amount_krw <= 0:
        raise InvalidInput("amount_krw: more than 0 won", field="amount_krw")
    if won > left or left <= 0:
        raise NotEnoughLeft(f"{left} won of the {what} are left", field="amount_krw")
    return won


@transaction.atomic
def allocate_payment(
    *, payment: Payment, invoice: Invoice, actor: str, now: datetime, amount_krw: int | None = None
) -> Allocation:
    """Pay an invoice from a payment's unapplied won: so many, or as many as both have left.

    Raises WrongCustomer, and NotEnoughLeft when either has less left or nothing at all.
    """
    hold_customer(invoice.customer_id)
    payment.refresh_from_db()
    invoice.refresh_from_db(fields=["status", "allocated_krw"])
    if payment.customer_id != invoice.customer_id:
        raise WrongCustomer("the payment is not this customer's", field="payment")
    free = won_of(None, left=payment.unapplied_krw, what="payment")
    due = won_of(None, left=invoice.due_krw, what="invoice")
    won = won_of(amount_krw, left=min(free, due), what="payment and the invoice")
    made = settle(invoice=invoice, amount_krw=won, actor=actor, now=now, payment=payment)
    data = {"payment": payment.reference, "invoice": invoice.number, "amount_krw": won}
    record_audit(actor=actor, action="allocate_payment", subject=made, data=data)
    return made


@transaction.atomic
def write_off_invoice(
    *, invoice: Invoice, reason: str, actor: str, now: datetime, amount_krw: int | None = None
) -> Allocation:
    """Give up what is due of an invoice, or so much of it. Raises NotEnoughLeft for more than is due."""
    reason = require_reason(reason)
    hold_customer(invoice.customer_id)
    invoice.refresh_from_db(fields=["status", "allocated_krw"])
    won = won_of(amount_krw, left=invoice.due_krw, what="invoice")
    made = settle(invoice=invoice, amount_krw=won, actor=actor, now=now, reason=reason)
    data = {"invoice": invoice.number, "amount_krw": won}
    record_audit(actor=actor, action="write_off_invoice", subject=made, reason=reason, data=data)
    return made


@transaction.atomic
def reverse_allocation(*, allocation: Allocation, reason: str, actor: str, now: datetime) -> AllocationReversal:
    """Take an allocation back as a whole: the invoice is due again, the money free.

    Raises AlreadyReversed, and CreditNoteStands for what a credit note settled: its won are no money that could be free.
    """
    reason = require_reason(reason)
    if allocation.source == Allocation.Source.CREDIT_NOTE:
        raise CreditNoteStands("a credit note settles its invoice for good", field="allocation")
    hold_customer(allocation.invoice.customer_id)
    if AllocationReversal.objects.filter(allocation=allocation).exists():
        raise AlreadyReversed("this allocation was taken back before", field="allocation")
    memo = f"{allocation.invoice.customer.name} {reason}"
    posted = post_reversal(original=allocation.ledger_transaction, occurred_on=day_of(now), memo=memo, actor=actor)
    made = AllocationReversal.objects.create(
        allocation=allocation, reason=reason, actor=actor, reversed_at=now, ledger_transaction=posted
    )
    record_audit(actor=actor, action="reverse_allocation", subject=allocation, reason=reason)
    allocation.invoice.refresh_from_db(fields=["status", "allocated_krw"])
    return made


def standing_allocations(**of: object) -> list[Allocation]:
    """The allocations of an invoice, payment or prepayment that were not taken back, the oldest first."""
    found = Allocation.objects.filter(reversal__isnull=True, **of).order_by("pk")
    return list(found.select_related("invoice__customer", "ledger_transaction"))


@dataclass(frozen=True, slots=True)
class Settlement:
    """So many won of an invoice that something settles: a payment, a prepayment, a credit note, or giving up."""

    invoice: Invoice
    amount_krw: int
    payment: Payment | None = None
    prepayment: Prepayment | None = None
    credit_note: CreditNote | None = None
    reason: str = ""

    @property
    def source(self) -> Allocation.Source:
        if self.credit_note:
            return Allocation.Source.CREDIT_NOTE
        if self.prepayment:
            return Allocation.Source.PREPAYMENT
        return Allocation.Source.PAYMENT if self.payment else Allocation.Source.WRITE_OFF


@transaction.atomic
def settle_all(*, settlements: Sequence[Settlement], actor: str, now: datetime) -> list[Allocation]:
    """Write allocations with their ledger transactions, in their order; the caller holds the customers and knows that both
    sides of each have as much. The invoices' sums are read again.
    """
    if not settlements:
        return []
    posted = post_transactions([_booking(settlement, actor=actor, now=now) for settlement in settlements])
    made = Allocation.objects.bulk_create(
        Allocation(
            invoice=settlement.invoice,
            source=settlement.source,
            payment=settlement.payment,
            prepayment=settlement.prepayment,
            credit_note=settlement.credit_note,
            amount_krw=settlement.amount_krw,
            allocated_at=now,
            reason=settlement.reason,
            actor=actor,
            ledger_transaction=transaction_,
        )
        for settlement, transaction_ in zip(settlements, posted, strict=True)
    )
    touched = {settlement.invoice.pk for settlement in settlements}
    rows = Invoice.objects.filter(pk__in=touched).values_list("pk", "status", "allocated_krw")
    sums = {pk: (status, won) for pk, status, won in rows}
    for settlement in settlements:
        settlement.invoice.status, settlement.invoice.allocated_krw = sums[settlement.invoice.pk]
    return made


def settle(
    *,
    invoice: Invoice,
    amount_krw: int,
    actor: str,
    now: datetime,
    payment: Payment | None = None,
    prepayment: Prepayment | None = None,
    credit_note: CreditNote | None = None,
    reason: str = "",
) -> Allocation:
    """Write one allocation."""
    one = Settlement(invoice, amount_krw, payment, prepayment, credit_note, reason)
    (made,) = settle_all(settlements=[one], actor=actor, now=now)
    return made


def settle_again(*, allocation: Allocation, invoice: Invoice, reason: str, actor: str, now: datetime) -> Allocation:
    """Let what was taken back settle its invoice once more, as far as that is still due."""
    return settle(
        invoice=invoice,
        amount_krw=min(allocation.amount_krw, invoice.due_krw),
        actor=actor,
        now=now,
        payment=allocation.payment,
        prepayment=allocation.prepayment,
        reason=reason,
    )


def _booking(settlement: Settlement, *, actor: str, now: datetime) -> Booking:
    kind, account = _TRANSFERS[settlement.source]
    invoice = settlement.invoice
    return transfer_booking(
        kind=kind,
        occurred_on=day_of(now),
        memo=f"{invoice.customer.name} {invoice.month:%Y-%m} {settlement.reason}".strip(),
        debit=account,
        credit=Account.RECEIVABLE,
        amount_krw=settlement.amount_krw,
        customer=invoice.customer,
        invoice=invoice,
        actor=actor,
    )
