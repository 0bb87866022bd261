"""Money received ahead: set aside from a payment, spent on invoices oldest first, sent back when somebody asks for it."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from accounts.models import Customer
from accounts.services import record_audit
from billing.errors import AlreadyRecorded, WrongCustomer
from billing.models import Allocation, Invoice, Payment, Prepayment, PrepaymentWithdrawal, Refund
from billing.selectors.prepayments import drawn, waiting_prepayments
from billing.services.allocating import Settlement, day_of, settle_all, won_of
from billing.services.posting import Account, Kind, bank_of, post_transfer
from billing.services.requiring import require_reason
from usage.services.locking import hold_customer


@transaction.atomic
def set_aside(*, payment: Payment, actor: str, now: datetime, amount_krw: int | None = None) -> Prepayment:
    """Keep so many of a payment's unapplied won (all that are left) for invoices to come (가수금 -> 선수금).

    Raises WrongCustomer for a payment that nobody's yet, and NotEnoughLeft.
    """
    customer = payment.customer
    if customer is None:
        raise WrongCustomer("assign the payment to a customer first", field="payment")
    hold_customer(customer.pk)
    payment.refresh_from_db()
    won = won_of(amount_krw, left=payment.unapplied_krw, what="payment")
    posted = post_transfer(
        kind=Kind.PREPAYMENT_RECEIVED,
        # The day of the money, as the deposit itself: it was received as a prepayment.
        occurred_on=day_of(payment.received_at),
        memo=f"{customer.name} {payment.reference}",
        debit=Account.UNAPPLIED,
        credit=Account.PREPAYMENTS,
        amount_krw=won,
        customer=customer,
        actor=actor,
    )
    made = Prepayment.objects.create(
        customer=customer, payment=payment, amount_krw=won, ledger_transaction=posted, actor=actor, created_at=now
    )
    payment.refresh_from_db()
    record_audit(actor=actor, action="set_aside", subject=made, data={"payment": payment.reference, "amount_krw": won})
    return made


@transaction.atomic
def pay_from_prepayment(*, invoice: Invoice, actor: str, now: datetime) -> list[Allocation]:
    """Pay what is due of an invoice from the customer's prepayments, the oldest first, as far as they go.

    With nothing due or nothing left it does nothing.
    """
    hold_customer(invoice.customer_id)
    invoice.refresh_from_db(fields=["status", "allocated_krw"])
    waiting = waiting_prepayments([invoice.customer_id])[invoice.customer_id]
    settlements = [
        Settlement(invoice, won, prepayment=prepayment) for prepayment, won in drawn(waiting, due_krw=invoice.due_krw)
    ]
    return settle_all(settlements=settlements, actor=actor, now=now)


@transaction.atomic
def withdraw_prepayment(
    *, prepayment: Prepayment, reason: str, actor: str, now: datetime, amount_krw: int | None = None
) -> PrepaymentWithdrawal:
    """Put so many of its remaining won (all) back among the payment's unapplied ones: they pay what somebody says."""
    reason = require_reason(reason)
    hold_customer(prepayment.customer_id)
    prepayment.refresh_from_db()
    won = won_of(amount_krw, left=prepayment.remaining_krw, what="prepayment")
    posted = post_transfer(
        kind=Kind.PREPAYMENT_WITHDRAWN,
        occurred_on=day_of(now),
        memo=f"{prepayment.customer.name} {reason}",
        debit=Account.PREPAYMENTS,
        credit=Account.UNAPPLIED,
        amount_krw=won,
        customer=prepayment.customer,
        actor=actor,
    )
    made = PrepaymentWithdrawal.objects.create(
        prepayment=prepayment,
        amount_krw=won,
        reason=reason,
        actor=actor,
        withdrawn_at=now,
        ledger_transaction=posted,
    )
    prepayment.refresh_from_db()
    record_audit(actor=actor, action="withdraw_prepayment", subject=prepayment, reason=reason, data={"amount_krw": won})
    return made


@transaction.atomic
def refund_prepayment(
    *,
    prepayment: Prepayment,
    reference: str,
    refunded_at: datetime,
    reason: str,
    actor: str,
    amount_krw: int | None = None,
) -> Refund:
    """Note that so many remaining won (all) went back to the customer by that transfer. No supply, so no tax document.

    Raises NotEnoughLeft, and AlreadyRecorded for a transfer that is noted already.
    """
    reason = require_reason(reason)
    hold_customer(prepayment.customer_id)
    prepayment.refresh_from_db()
    require_new_transfer(reference)
    won = won_of(amount_krw, left=prepayment.remaining_krw, what="prepayment")
    posted = post_transfer(
        kind=Kind.REFUNDED,
        occurred_on=day_of(refunded_at),
        memo=f"{prepayment.customer.name} {reason}",
        debit=Account.PREPAYMENTS,
        credit=bank_of(prepayment.payment.currency),
        amount_krw=won,
        customer=prepayment.customer,
        actor=actor,
    )
    made = Refund.objects.create(
        prepayment=prepayment,
        reference=reference,
        amount_krw=won,
        refunded_at=refunded_at,
        reason=reason,
        actor=actor,
        ledger_transaction=posted,
    )
    prepayment.refresh_from_db()
    record_audit(actor=actor, action="refund_prepayment", subject=made, reason=reason, data={"amount_krw": won})
    return made


def require_new_transfer(reference: str) -> None:
    """Raise AlreadyRecorded when a refund under that bank reference is noted."""
    if Refund.objects.filter(reference=reference).exists():
        raise AlreadyRecorded(f"a refund under the bank reference {reference} is noted already", field="reference")


def prepaid_krw(customer: Customer) -> int:
    """What is left of all of a customer's prepayments."""
    return sum(one.remaining_krw for one in Prepayment.objects.filter(customer=customer))
