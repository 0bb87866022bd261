"""Settling invoices won by won: from payments, from prepayments, or by giving up; and taking that back.

Dollars that were received pay an invoice in dollars by the dollar: all of what it says is due in dollars settles all of its
won, whatever the rate of the day. The won at which the dollars stand in the books are used up with them; what lies between
these and the won that they settle is an exchange gain or loss (외환차익, 외환차손), booked in the same transaction.

Money moves with the customer's months held, so two at once wait for each other and the second sees what is left. The
database refuses the rest: a payment, prepayment or invoice is never settled beyond its own won.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction

from django.db import transaction

from accounts.errors import InvalidInput
from accounts.services import record_audit
from billing.dollars import krw_of_part
from billing.errors import AlreadyReversed, CreditNoteStands, NotEnoughLeft, WrongCustomer
from billing.models import Allocation, AllocationReversal, CreditNote, Invoice, Payment, Prepayment
from billing.services.posting import Account, Booking, Kind, post_reversal, post_transactions, settlement_booking
from billing.services.requiring import require_reason
from catalog.money import round_usd_cents
from usage.periods import KST
from usage.services.locking import hold_customer

#: More than this in one line of a bank is a slip of the finger.
_MOST_USD = 10**12
_TRANSFERS = {
    Allocation.Source.PAYMENT: (Kind.PAYMENT_ALLOCATED, Account.UNAPPLIED),
    Allocation.Source.PREPAYMENT: (Kind.PREPAYMENT_APPLIED, Account.PREPAYMENTS),
    Allocation.Source.WRITE_OFF: (Kind.WRITTEN_OFF, Account.WRITE_OFFS),
    Allocation.Source.CREDIT_NOTE: (Kind.CREDIT_NOTE_APPLIED, Account.UNAPPLIED),
}


def day_of(instant: datetime) -> date:
    """The KST day: the accounting day of what happened then."""
    return instant.astimezone(KST).date()


def won_of(amount_krw: int | None, *, left: int, what: str) -> int:
    """The won asked for, all that is left where none are named. Raises NotEnoughLeft for more, or when nothing is left."""
    won = left if amount_krw is None else amount_krw
    if amount_krw is not None and amount_krw <= 0:
        raise InvalidInput("amount_krw: more than 0 won", field="amount_krw")
    if won > left or left <= 0:
        raise NotEnoughLeft(f"{left} won of the {what} are left", field="amount_krw")
    return won


def dollars_of(amount_usd: Decimal | None, *, left: Decimal, what: str) -> Decimal:
    """The dollars asked for, all that are left where none are named. Raises NotEnoughLeft for more."""
    usd = left if amount_usd is None else cents_of(amount_usd, field="amount_usd")
    if usd > left:
        raise NotEnoughLeft(f"USD {left} of the {what} are left", field="amount_usd")
    return usd


def cents_of(amount_usd: Decimal, *, field: str) -> Decimal:
    """Dollars with two places. Raises InvalidInput for none, less, a part of a cent, or more than the database counts."""
    is_in_range = amount_usd.is_finite() and 0 < amount_usd <= _MOST_USD
    cents = round_usd_cents(Fraction(amount_usd)) if is_in_range else None
    if cents is None or cents != amount_usd:
        raise InvalidInput(f"{field}: more than 0 dollars, to the cent, at most {_MOST_USD:,}", field=field)
    return cents


@transaction.atomic
def allocate_payment(
    *,
    payment: Payment,
    invoice: Invoice,
    actor: str,
    now: datetime,
    amount_krw: int | None = None,
    amount_usd: Decimal | None = None,
) -> Allocation:
    """Pay an invoice from what is left of a payment: so much, or as much as both have left.

    A payment in dollars pays an invoice in dollars by the dollar (`amount_usd`), any other by its won (`amount_krw`), as if
    the bank had bought the dollars on the day they came. Raises WrongCustomer, NotEnoughLeft when either has less left or
    nothing at all, and InvalidInput for an amount in the other currency.
    """
    hold_customer(invoice.customer_id)
    payment.refresh_from_db()
    invoice.refresh_from_db(fields=["status", "allocated_krw"])
    if payment.customer_id != invoice.customer_id:
        raise WrongCustomer("the payment is not this customer's", field="payment")
    free = won_of(None, left=payment.unapplied_krw, what="payment")
    due = won_of(None, left=invoice.due_krw, what="invoice")
    left_usd = _dollars_of_both(payment, invoice)
    if left_usd:
        if amount_krw is not None:
            raise InvalidInput("amount_krw: dollars pay this invoice, say how many of them", field="amount_krw")
        paid = _in_dollars(invoice, payment, dollars_of(amount_usd, left=left_usd, what="payment and the invoice"))
    else:
        if amount_usd is not None:
            raise InvalidInput("amount_usd: only dollars pay an invoice in dollars by the dollar", field="amount_usd")
        won = won_of(amount_krw, left=min(free, due), what="payment and the invoice")
        paid = Settlement(invoice, won, payment=payment)
    (made,) = settle_all(settlements=[paid], actor=actor, now=now)
    data = {"payment": payment.reference, "invoice": invoice.number, "amount_krw": made.amount_krw}
    if made.allocated_usd is not None:
        data |= {"allocated_usd": str(made.allocated_usd), "exchange_krw": made.exchange_krw}
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
    #: Of a payment in dollars on an invoice in dollars, and the won of the payment beyond `amount_krw` that they use up.
    allocated_usd: Decimal | None = None
    exchange_krw: int = 0

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
            allocated_usd=settlement.allocated_usd,
            exchange_krw=settlement.exchange_krw,
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
    """Let what was taken back settle its invoice once more, as far as that is still due: dollars by the dollar."""
    payment = allocation.payment
    if payment is not None:
        payment.refresh_from_db()
        left_usd = _dollars_of_both(payment, invoice)
        if left_usd and allocation.allocated_usd is not None:
            again = _in_dollars(invoice, payment, min(allocation.allocated_usd, left_usd), reason)
            (made,) = settle_all(settlements=[again], actor=actor, now=now)
            return made
    return settle(
        invoice=invoice,
        amount_krw=min(allocation.used_krw, invoice.due_krw),
        actor=actor,
        now=now,
        payment=payment,
        prepayment=allocation.prepayment,
        reason=reason,
    )


def _dollars_of_both(payment: Payment, invoice: Invoice) -> Decimal | None:
    """The dollars that the payment has left and the invoice has due; None unless both are in dollars, or for nothing."""
    free, due = payment.unapplied_usd, invoice.due_usd
    if free is None or due is None:
        return None
    return min(free, due) or None


def _in_dollars(invoice: Invoice, payment: Payment, usd: Decimal, reason: str = "") -> Settlement:
    """So many dollars of the payment for so many of the invoice, with the won that go with them on either side."""
    free, due = payment.unapplied_usd, invoice.due_usd
    assert free is not None and due is not None  # noqa: PT018
    assert payment.received_usd is not None and invoice.total_usd is not None  # noqa: PT018
    try:
        used = krw_of_part(
            part_usd=usd,
            left_usd=free,
            left_krw=payment.unapplied_krw,
            total_krw=payment.amount_krw,
            total_usd=payment.received_usd,
        )
        settled = krw_of_part(
            part_usd=usd,
            left_usd=due,
            left_krw=invoice.due_krw,
            total_krw=invoice.total_krw,
            total_usd=invoice.total_usd,
        )
    except ValueError as error:
        raise InvalidInput(f"amount_usd: {error}", field="amount_usd") from None
    return Settlement(invoice, settled, payment=payment, reason=reason, allocated_usd=usd, exchange_krw=used - settled)


def _booking(settlement: Settlement, *, actor: str, now: datetime) -> Booking:
    kind, account = _TRANSFERS[settlement.source]
    invoice = settlement.invoice
    dollars = "" if settlement.allocated_usd is None else f"USD {settlement.allocated_usd:f}"
    return settlement_booking(
        kind=kind,
        occurred_on=day_of(now),
        memo=" ".join(filter(None, [invoice.customer.name, f"{invoice.month:%Y-%m}", dollars, settlement.reason])),
        account=account,
        amount_krw=settlement.amount_krw,
        exchange_krw=settlement.exchange_krw,
        invoice=invoice,
        actor=actor,
    )
