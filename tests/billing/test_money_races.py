"""Many at once: one payment, one balance, one credit, one line of the bank. Exactly one wins each won."""

from __future__ import annotations

from decimal import Decimal

import pytest

from accounts.errors import DomainError
from billing.models import Allocation, BillingRunItem, Invoice, Payment, Prepayment, PromotionalCredit
from billing.services.allocating import allocate_payment
from billing.services.closing import close_customer, start_run
from billing.services.granting import void_credit
from billing.services.paying import record_payment, reverse_payment
from billing.services.prepaying import pay_from_prepayment, refund_prepayment
from tests.billing.factories import ACTOR
from tests.billing.money import billed, broken_checks, deposit, grant, plain_house, prepay, spend
from tests.billing.month import LATER, NOVEMBER, NOW, OCTOBER, open_house, tenant
from tests.billing.test_close_races import in_threads

pytestmark = pytest.mark.django_db(transaction=True)


def test_one_payment_for_many_allocations() -> None:
    """Eight times 5,000 of a deposit of 23,000 on an invoice of 22,000: four go through."""
    customer = plain_house()
    spend(customer, 20_000)
    invoice, payment = billed(customer), deposit(23_000, customer=customer)
    refused: list[str] = []

    def work(number: int) -> None:
        own = Payment.objects.get(pk=payment.pk)
        try:
            allocate_payment(
                payment=own, invoice=Invoice.objects.get(pk=invoice.pk), amount_krw=5_000, actor=ACTOR, now=NOW
            )
        except DomainError as error:
            refused.append(error.code)

    in_threads(8, work)
    assert Allocation.objects.count() == 4
    assert refused == ["not_enough_left"] * 4
    invoice.refresh_from_db()
    assert invoice.due_krw == 2_000
    assert broken_checks() == {}


def test_one_payment_in_dollars_for_many_allocations() -> None:
    """Eight times 3 of 10 dollars, on an invoice of 22 dollars: three go through."""
    open_house(margin="0", rate="1000")
    customer = tenant(invoice_currency="USD")
    spend(customer, 20_000)
    invoice = billed(customer)
    payment = record_payment(
        reference="wire-1",
        received_at=NOW,
        received_usd=Decimal("10"),
        depositor_name="",
        customer=customer,
        actor=ACTOR,
        now=NOW,
    )
    refused: list[str] = []

    def work(number: int) -> None:
        try:
            allocate_payment(
                payment=Payment.objects.get(pk=payment.pk),
                invoice=Invoice.objects.get(pk=invoice.pk),
                amount_usd=Decimal("3"),
                actor=ACTOR,
                now=NOW,
            )
        except DomainError as error:
            refused.append(error.code)

    in_threads(8, work)
    payment.refresh_from_db()
    invoice.refresh_from_db()
    assert (refused, payment.allocated_usd, payment.unapplied_usd) == (["not_enough_left"] * 5, 9, 1)
    assert (invoice.due_krw, invoice.due_usd) == (13_000, 13)
    assert broken_checks() == {}


def test_two_closes_refunds_and_one_balance() -> None:
    """30,000 ahead, 22,000 due for October and 22,000 for November, and two refunds of 10,000 at the same time."""
    customer = plain_house()
    spend(customer, 20_000)
    spend(customer, 20_000, at="2026-11-10T12:00:00+09:00")
    prepay(customer, 30_000)
    items = [start_run(month=month, actor=ACTOR, now=LATER).items.get().pk for month in (OCTOBER, NOVEMBER)]
    wallet = Prepayment.objects.get()

    def work(number: int) -> None:
        if number < 4:
            close_customer(item_id=items[number % 2], actor=ACTOR, now=LATER)
            return
        try:
            refund_prepayment(
                prepayment=Prepayment.objects.get(pk=wallet.pk),
                amount_krw=10_000,
                reference=f"out-{number}",
                refunded_at=LATER,
                reason="x",
                actor=ACTOR,
            )
        except DomainError as error:
            assert error.code == "not_enough_left"  # noqa: PT017

    in_threads(6, work)
    wallet.refresh_from_db()
    assert wallet.consumed_krw + wallet.refunded_krw == 30_000
    assert set(BillingRunItem.objects.values_list("status", flat=True)) == {"done"}
    assert sum(invoice.due_krw for invoice in Invoice.objects.all()) == 44_000 - wallet.consumed_krw
    assert broken_checks() == {}


def test_one_credit_for_a_close_and_a_void() -> None:
    customer = plain_house()
    spend(customer, 20_000)
    credit = grant(customer, 15_000)
    item = start_run(month=OCTOBER, actor=ACTOR, now=NOW).items.get().pk

    def work(number: int) -> None:
        if number == 0:
            close_customer(item_id=item, actor=ACTOR, now=NOW)
        else:
            void_credit(credit=PromotionalCredit.objects.get(pk=credit.pk), reason="x", actor=ACTOR, now=NOW)

    in_threads(4, work)
    credit.refresh_from_db()
    assert (credit.used_krw, credit.voided_krw) in {(15_000, 0), (0, 15_000)}
    assert Invoice.objects.get().supply_krw == 20_000 - credit.used_krw
    assert broken_checks() == {}


def test_one_line_of_the_bank_recorded_by_many() -> None:
    customer = plain_house()
    refused: list[str] = []

    def work(number: int) -> None:
        try:
            record_payment(
                reference="line-1",
                received_at=NOW,
                amount_krw=10_000,
                depositor_name="가온",
                customer=customer,
                actor=ACTOR,
                now=NOW,
            )
        except DomainError as error:
            refused.append(error.code)

    in_threads(6, work)
    assert Payment.objects.count() == 1
    assert set(refused) <= {"already_recorded"}
    assert broken_checks() == {}


def test_many_reversals_and_payments_of_one_top_up() -> None:
    customer = plain_house()
    spend(customer, 20_000)
    invoice = billed(customer)
    payment = prepay(customer, 30_000)

    def work(number: int) -> None:
        try:
            if number % 2:
                reverse_payment(payment=Payment.objects.get(pk=payment.pk), reason="x", actor=ACTOR, now=NOW)
            else:
                pay_from_prepayment(invoice=Invoice.objects.get(pk=invoice.pk), actor=ACTOR, now=NOW)
        except DomainError as error:
            assert error.code == "already_reversed"  # noqa: PT017

    in_threads(6, work)
    payment.refresh_from_db()
    invoice.refresh_from_db()
    assert (payment.is_reversed, invoice.due_krw, payment.allocated_krw, payment.prepaid_krw) == (True, 22_000, 0, 0)
    assert broken_checks() == {}
