"""Deposits: recorded once per line of the bank account, given to what they name, sent back, or found to be none."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from django.db import transaction

from accounts.errors import InvalidInput
from accounts.models import Customer
from accounts.services import record_audit
from billing.dollars import KRW, USD
from billing.errors import AlreadyRecorded, AlreadyReversed, NoExchangeRate, NotEnoughLeft, WrongCustomer
from billing.models import (
    Allocation,
    Invoice,
    Payment,
    PaymentAssignment,
    PaymentReversal,
    Refund,
)
from billing.selectors.deposits import named_in
from billing.selectors.exchange import rate_in_force
from billing.services.allocating import (
    allocate_payment,
    cents_of,
    day_of,
    reverse_allocation,
    standing_allocations,
    won_of,
)
from billing.services.posting import Account, Kind, Posting, bank_of, post_reversal, post_transaction, post_transfer
from billing.services.prepaying import require_new_transfer, set_aside, withdraw_prepayment
from billing.services.requiring import require_reason, require_won
from catalog.money import Rounding, decimal_text, round_won
from usage.services.locking import hold_customer

#: A day of an earlier year, or of one that is far ahead, is a slip of the finger.
_MOST_AHEAD = timedelta(days=366)
_FIRST_YEAR = 2000


@transaction.atomic
def record_payment(
    *,
    reference: str,
    received_at: datetime,
    depositor_name: str,
    actor: str,
    now: datetime,
    amount_krw: int | None = None,
    received_usd: Decimal | None = None,
    customer: Customer | None = None,
) -> Payment:
    """Write a deposit down, won or dollars (보통예금 or 외화예금 / 가수금). `reference` is the bank's own id of the line:
    two equal deposits have two.

    Dollars are booked at their won at the rate in force on the KST day they came; NoExchangeRate without one. The same line
    again gives the payment that is there; with another amount, time or name it raises AlreadyRecorded. Without a customer
    nobody's yet.
    """
    reference, depositor_name = reference.strip(), depositor_name.strip()
    if not reference or len(reference) > 100:
        raise InvalidInput("reference: the bank's id of the line, 1 to 100 characters", field="reference")
    facts = _amount(amount_krw, received_usd)
    _require_received(received_at, now)
    existing = _recorded(reference, received_at, depositor_name, facts)
    if existing is not None:
        return existing
    if customer is not None:
        hold_customer(customer.pk)
    memo = f"{customer.name if customer else depositor_name} {reference}"
    if received_usd is not None:
        facts |= _at_the_days_rate(facts["received_usd"], received_at)
        memo += f" USD {facts['received_usd']:f} x {decimal_text(facts['rate_krw_per_usd'])}"
    won = facts["amount_krw"]
    posted = post_transaction(
        kind=Kind.PAYMENT_RECEIVED,
        occurred_on=day_of(received_at),
        memo=memo,
        entries=[Posting(bank_of(facts["currency"]), won), Posting(Account.UNAPPLIED, -won, customer)],
        actor=actor,
    )
    payment, is_new = Payment.objects.get_or_create(
        reference=reference,
        defaults={
            "received_at": received_at,
            "depositor_name": depositor_name[:100],
            "customer": customer,
            "ledger_transaction": posted,
            "actor": actor,
            "created_at": now,
            **facts,
        },
    )
    if not is_new:
        # Somebody else recorded the line in this very moment; our posting must not stay.
        raise AlreadyRecorded(f"{reference} is being recorded by somebody else", field="reference")
    data = {"reference": reference, "amount_krw": won}
    if received_usd is not None:
        data |= {"received_usd": str(payment.received_usd), "rate_krw_per_usd": decimal_text(facts["rate_krw_per_usd"])}
    record_audit(actor=actor, action="record_payment", subject=payment, data=data)
    return payment


@transaction.atomic
def pay_invoice(
    *,
    invoice: Invoice,
    reference: str,
    received_at: datetime,
    depositor_name: str,
    actor: str,
    now: datetime,
    amount_krw: int | None = None,
    received_usd: Decimal | None = None,
    customer: Customer | None = None,
) -> Payment:
    """Record a deposit of which somebody says what it pays, and pay that; what is beyond stays unapplied.

    The same line again changes nothing, also where it was taken off the invoice since. Raises WrongCustomer for another
    `customer` than the invoice's.
    """
    if customer not in {None, invoice.customer}:
        raise WrongCustomer(f"{invoice.number} is another customer's", field="invoice")
    payment = record_payment(
        reference=reference,
        received_at=received_at,
        depositor_name=depositor_name,
        amount_krw=amount_krw,
        received_usd=received_usd,
        customer=invoice.customer,
        actor=actor,
        now=now,
    )
    if not payment.allocations.filter(invoice=invoice).exists():
        allocate_payment(payment=payment, invoice=invoice, actor=actor, now=now)
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
    makes the rest a prepayment. Codes of two customers, or of another one than the payment's, match nothing. Dollars are
    given to an invoice by whoever knows what they pay.
    """
    if payment.currency == USD:
        return []
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
        credit=bank_of(row.currency),
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


def _require_received(received_at: datetime, now: datetime) -> None:
    """Refuse an instant at which nothing can have been received."""
    if received_at > now + _MOST_AHEAD:
        raise InvalidInput("received_at: more than a year ahead", field="received_at")
    if received_at.year < _FIRST_YEAR:
        raise InvalidInput(f"received_at: a year from {_FIRST_YEAR} on", field="received_at")


def _amount(amount_krw: int | None, received_usd: Decimal | None) -> dict[str, Any]:
    """What was received, of which there is one."""
    if received_usd is None:
        require_won(amount_krw or 0)
        return {"currency": KRW, "amount_krw": amount_krw}
    if amount_krw is not None:
        raise InvalidInput("received_usd: won or dollars, not both", field="received_usd")
    return {"currency": USD, "received_usd": cents_of(received_usd, field="received_usd")}


def _at_the_days_rate(received_usd: Decimal, received_at: datetime) -> dict[str, Any]:
    """The won that dollars are worth on the day they came, and the rate's evidence."""
    on = day_of(received_at)
    published = rate_in_force(on=on)
    if published is None:
        raise NoExchangeRate(f"no exchange rate was published by {on}", field="received_at")
    won = round_won(Fraction(received_usd) * Fraction(published.rate), Rounding.HALF_UP)
    return {
        "amount_krw": won,
        "rate_krw_per_usd": published.rate,
        "rate_on": published.rate_on,
        "rate_source": published.source,
    }


def _recorded(reference: str, received_at: datetime, depositor_name: str, amount: dict[str, Any]) -> Payment | None:
    """The payment of the line that is there. Dollars are told apart by the dollar: their rate may be another one now."""
    found = Payment.objects.filter(reference=reference).first()
    if found is None:
        return None
    said = {"received_at": received_at, "depositor_name": depositor_name[:100], **amount}
    if any(getattr(found, name) != value for name, value in said.items()):
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
