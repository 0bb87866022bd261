"""Deposits: recorded once per line of the bank account, given to what they name, sent back, or found to be none."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from accounts.errors import InvalidInput
from accounts.models import Customer
from accounts.services import record_audit
from billing.errors import AlreadyRecorded, AlreadyReversed, NotEnoughLeft, WrongCustomer
from billing.models import (
    Allocation,
    Payment,
    PaymentAssignment,
    PaymentReversal,
    Refund,
)
from billing.selectors.deposits import named_in
from billing.services.allocating import (
    allocate_payment,
    day_of,
    require_reason,
    reverse_allocation,
    standing_allocations,
    won_of,
)
from billing.services.posting import Account, Kind, Posting, post_reversal, post_transaction, post_transfer
from billing.services.prepaying import require_new_transfer, set_aside, withdraw_prepayment
from usage.services.locking import hold_customer


@transaction.atomic
def record_payment(
    *,
    reference: str,
    received_at: datetime,
    amount_krw: int,
    depositor_name: str,
    actor: str,
    now: datetime,
    customer: Customer | None = None,
) -> Payment:
    """Write a deposit down (보통예금 / 가수금). `reference` is the bank's own id of the line: two equal deposits have two.

    The same line again gives the payment that is there; with another amount, time or name it raises AlreadyRecorded.
    Without a customer nobody's yet.
    """
    reference, depositor_name = reference.strip(), depositor_name.strip()
    if not reference or len(reference) > 100:
        raise InvalidInput("reference: the bank's id of the line, 1 to 100 characters", field="reference")
    if amount_krw <= 0:
        raise InvalidInput("amount_krw: more than 0 won", field="amount_krw")
    existing = _recorded(reference, received_at, amount_krw, depositor_name)
    if existing is not None:
        return existing
    if customer is not None:
        hold_customer(customer.pk)
    posted = post_transaction(
        kind=Kind.PAYMENT_RECEIVED,
        occurred_on=day_of(received_at),
        memo=f"{customer.name if customer else depositor_name} {reference}",
        entries=[Posting(Account.BANK, amount_krw), Posting(Account.UNAPPLIED, -amount_krw, customer)],
        actor=actor,
    )
    payment, is_new = Payment.objects.get_or_create(
        reference=reference,
        defaults={
            "received_at": received_at,
            "amount_krw": amount_krw,
            "depositor_name": depositor_name[:100],
            "customer": customer,
            "ledger_transaction": posted,
            "actor": actor,
            "created_at": now,
        },
    )
    if not is_new:
        # Somebody else recorded the line in this very moment; our posting must not stay.
        raise AlreadyRecorded(f"{reference} is being recorded by somebody else", field="reference")
    data = {"reference": reference, "amount_krw": amount_krw}
    record_audit(actor=actor, action="record_payment", subject=payment, data=data)
    return payment


@transaction.atomic
def assign_payment(*, payment: Payment, customer: Customer, reason: str, actor: str, now: datetime) -> Payment:
    """Say whose a deposit of unknown origin is. Again for the same customer changes nothing; raises WrongCustomer."""
    reason = require_reason(reason)
    hold_customer(customer.pk)
    row = _locked(payment)
    if row.customer_id == customer.pk:
        return row
    if row.customer_id is not None:
        raise WrongCustomer("the payment is another customer's", field="customer")
    won = won_of(None, left=row.unapplied_krw, what="payment")
    posted = post_transaction(
        kind=Kind.PAYMENT_ASSIGNED,
        occurred_on=day_of(now),
        memo=f"{customer.name} {row.reference}",
        entries=[Posting(Account.UNAPPLIED, won), Posting(Account.UNAPPLIED, -won, customer)],
        actor=actor,
    )
    row.customer = customer
    row.save(update_fields=["customer"])
    PaymentAssignment.objects.create(
        payment=row, customer=customer, reason=reason, actor=actor, assigned_at=now, ledger_transaction=posted
    )
    record_audit(actor=actor, action="assign_payment", subject=row, reason=reason, data={"customer": customer.slug})
    return row


@transaction.atomic
def match_payment(*, payment: Payment, actor: str, now: datetime) -> list[Allocation]:
    """Give a payment to what its depositor's name names, and return what was paid; everything unclear is left alone.

    One invoice gets as much as it is due; several get theirs only when the payment is exactly their sum; a top-up's code
    makes the rest a prepayment. Codes of two customers, or of another one than the payment's, match nothing.
    """
    named = named_in(payment.depositor_name)
    owners = {one.customer for one in named.invoices} | {one.customer for one in named.top_ups}
    if len(owners) != 1:
        return []
    (customer,) = owners
    hold_customer(customer.pk)
    row = _locked(payment)
    if row.is_reversed or row.unapplied_krw == 0 or row.customer_id not in {None, customer.pk}:
        return []
    due = [invoice for invoice in named.invoices if invoice.due_krw > 0]
    if len(due) > 1 and sum(invoice.due_krw for invoice in due) != row.unapplied_krw:
        return []
    if not due and not named.top_ups:
        return []
    row = assign_payment(payment=row, customer=customer, reason=row.depositor_name, actor=actor, now=now)
    made = [allocate_payment(payment=row, invoice=invoice, actor=actor, now=now) for invoice in due]
    if named.top_ups and row.unapplied_krw:
        set_aside(payment=row, actor=actor, now=now)
    return made


@transaction.atomic
def top_up(
    *,
    customer: Customer,
    reference: str,
    received_at: datetime,
    amount_krw: int,
    depositor_name: str,
    actor: str,
    now: datetime,
) -> Payment:
    """Record a deposit and keep the whole of it as a prepayment. The same line again changes nothing."""
    payment = record_payment(
        reference=reference,
        received_at=received_at,
        amount_krw=amount_krw,
        depositor_name=depositor_name,
        customer=customer,
        actor=actor,
        now=now,
    )
    if payment.customer_id != customer.pk:
        raise WrongCustomer("the payment is another customer's", field="customer")
    if not payment.prepayments.exists():
        set_aside(payment=payment, actor=actor, now=now)
    return payment


@transaction.atomic
def refund_payment(
    *,
    payment: Payment,
    reference: str,
    refunded_at: datetime,
    reason: str,
    actor: str,
    amount_krw: int | None = None,
) -> Refund:
    """Note that so many unapplied won (all) went back to the payer. Raises NotEnoughLeft or AlreadyRecorded."""
    reason = require_reason(reason)
    row = _held(payment)
    require_new_transfer(reference)
    won = won_of(amount_krw, left=row.unapplied_krw, what="payment")
    posted = post_transfer(
        kind=Kind.REFUNDED,
        occurred_on=day_of(refunded_at),
        memo=f"{row.customer.name if row.customer else row.depositor_name} {reason}",
        debit=Account.UNAPPLIED,
        credit=Account.BANK,
        amount_krw=won,
        customer=row.customer,
        actor=actor,
    )
    made = Refund.objects.create(
        payment=row,
        reference=reference,
        amount_krw=won,
        refunded_at=refunded_at,
        reason=reason,
        actor=actor,
        ledger_transaction=posted,
    )
    record_audit(actor=actor, action="refund_payment", subject=made, reason=reason, data={"amount_krw": won})
    return made


@transaction.atomic
def reverse_payment(*, payment: Payment, reason: str, actor: str, now: datetime) -> PaymentReversal:
    """Take a payment back that was none, with everything that hangs on it: its invoices are due again.

    Raises AlreadyReversed, and NotEnoughLeft when some of it was sent back: that money did arrive.
    """
    reason = require_reason(reason)
    row = _held(payment)
    if row.is_reversed:
        raise AlreadyReversed("this payment was taken back before", field="payment")
    if row.refunded_krw or row.prepayments.filter(refunded_krw__gt=0).exists():
        raise NotEnoughLeft("some of this payment was refunded already", field="payment")
    for allocation in [*standing_allocations(payment=row), *standing_allocations(prepayment__payment=row)]:
        reverse_allocation(allocation=allocation, reason=reason, actor=actor, now=now)
    for prepayment in row.prepayments.order_by("pk"):
        if prepayment.remaining_krw:
            withdraw_prepayment(prepayment=prepayment, reason=reason, actor=actor, now=now)
    memo = f"{row.customer.name if row.customer else row.depositor_name} {reason}"
    assignment = PaymentAssignment.objects.filter(payment=row).first()
    if assignment is not None:
        post_reversal(original=assignment.ledger_transaction, occurred_on=day_of(now), memo=memo, actor=actor)
    posted = post_reversal(original=row.ledger_transaction, occurred_on=day_of(now), memo=memo, actor=actor)
    made = PaymentReversal.objects.create(
        payment=row, reason=reason, actor=actor, reversed_at=now, ledger_transaction=posted
    )
    payment.refresh_from_db()
    record_audit(actor=actor, action="reverse_payment", subject=row, reason=reason)
    return made


def _recorded(reference: str, received_at: datetime, amount_krw: int, depositor_name: str) -> Payment | None:
    found = Payment.objects.filter(reference=reference).first()
    if found is None:
        return None
    if (found.amount_krw, found.received_at, found.depositor_name) != (amount_krw, received_at, depositor_name[:100]):
        raise AlreadyRecorded(f"{reference} is recorded as another deposit", field="reference")
    return found


def _held(payment: Payment) -> Payment:
    """The payment as it stands, with its customer's months held."""
    if payment.customer_id is not None:
        hold_customer(payment.customer_id)
    return _locked(payment)


def _locked(payment: Payment) -> Payment:
    return (
        Payment.objects.select_for_update(of=("self",))
        .select_related("customer", "ledger_transaction")
        .get(pk=payment.pk)
    )
