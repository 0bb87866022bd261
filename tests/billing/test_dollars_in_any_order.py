"""Dollars and won in whatever order they come, go, settle, are credited and taken back: nothing is lost on either side."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.errors import DomainError
from accounts.models import Customer
from billing.audit import check_books
from billing.audit.money import balances_agree, credit_notes_add_up, payments_add_up
from billing.models import Allocation, Invoice, Payment, Prepayment
from billing.selectors.balances import account_balances
from billing.selectors.credit_notes import creditable_krw
from billing.services.allocating import allocate_payment, reverse_allocation, write_off_invoice
from billing.services.crediting import issue_credit_note, void_invoice
from billing.services.paying import record_payment, refund_payment, reverse_payment
from billing.services.prepaying import pay_from_prepayment, refund_prepayment, set_aside, withdraw_prepayment
from tests.billing.factories import ACTOR
from tests.billing.money import billed
from tests.billing.month import DOLLAR, LATER, NOVEMBER, open_house, publish, tenant, use

pytestmark = pytest.mark.django_db

#: What a dollar is from 24 November on, odd digits and all.
DAILY = ("1400", "1312.7", "1450.05", "999.9999")
CENTS = st.integers(min_value=1, max_value=9_000)
WHICH = st.integers(min_value=0, max_value=7)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("dollars", "dollars", "dollars", "pay", "pay", "pay", "pay_part", "pay_part", "pay_part", "won"),
                *("won_part", "reverse_allocation", "reverse_allocation", "reverse_payment", "refund", "set_aside"),
                *("withdraw", "pay_from_prepayment", "refund_prepayment", "write_off", "credit", "credit", "void"),
            ]
        ),
        CENTS,
        WHICH,
    ),
    min_size=5,
    max_size=25,
)


@dataclass
class World:
    """A customer with two invoices in dollars; each step does what it can and is refused otherwise."""

    customer: Customer
    references: int = 0
    now: datetime = LATER

    def step(self, name: str, cents: int, which: int) -> None:
        with suppress(DomainError), transaction.atomic():
            getattr(self, name)(cents, which)

    def received(self, which: int, **amount: Any) -> Payment:
        self.references += 1
        return record_payment(
            reference=f"wire-{self.references}",
            received_at=datetime(2026, 11, 24 + which % len(DAILY), 3, tzinfo=UTC),
            depositor_name="",
            customer=self.customer,
            actor=ACTOR,
            now=self.now,
            **amount,
        )

    def dollars(self, cents: int, which: int) -> None:
        self.received(which, received_usd=Decimal(cents).scaleb(-2))

    def won(self, cents: int, which: int) -> None:
        self.received(which, amount_krw=cents * 13)

    def pay(self, cents: int, which: int) -> None:
        self.allocate(which)

    def pay_part(self, cents: int, which: int) -> None:
        self.allocate(which, amount_usd=Decimal(cents if which < 4 else 1 + cents // 100).scaleb(-2))

    def won_part(self, cents: int, which: int) -> None:
        self.allocate(which, amount_krw=cents)

    def allocate(self, which: int, **amount: Any) -> None:
        payment, invoice = self.pick(Payment, which), self.pick(Invoice, which // 2)
        if payment is None:
            return
        before = (payment.unapplied_usd, invoice.due_usd)
        made = allocate_payment(payment=payment, invoice=invoice, actor=ACTOR, now=self.now, **amount)
        payment.refresh_from_db()
        if made.allocated_usd is None:
            return
        assert None not in before
        assert before[0] - made.allocated_usd == payment.unapplied_usd
        assert before[1] - made.allocated_usd == invoice.due_usd
        assert (invoice.due_usd == 0) == (invoice.due_krw == 0)
        assert (payment.unapplied_usd == 0) == (payment.unapplied_krw == 0)

    def reverse_allocation(self, cents: int, which: int) -> None:
        if allocation := self.pick(Allocation, which):
            reverse_allocation(allocation=allocation, reason="x", actor=ACTOR, now=self.now)

    def reverse_payment(self, cents: int, which: int) -> None:
        if payment := self.pick(Payment, which):
            reverse_payment(payment=payment, reason="x", actor=ACTOR, now=self.now)

    def refund(self, cents: int, which: int) -> None:
        if payment := self.pick(Payment, which):
            refund_payment(payment=payment, amount_krw=cents, **self.transfer())

    def set_aside(self, cents: int, which: int) -> None:
        if payment := self.pick(Payment, which):
            set_aside(payment=payment, amount_krw=cents, actor=ACTOR, now=self.now)

    def withdraw(self, cents: int, which: int) -> None:
        if prepayment := self.pick(Prepayment, which):
            withdraw_prepayment(prepayment=prepayment, amount_krw=cents, reason="x", actor=ACTOR, now=self.now)

    def pay_from_prepayment(self, cents: int, which: int) -> None:
        pay_from_prepayment(invoice=self.pick(Invoice, which), actor=ACTOR, now=self.now)

    def refund_prepayment(self, cents: int, which: int) -> None:
        if prepayment := self.pick(Prepayment, which):
            refund_prepayment(prepayment=prepayment, amount_krw=cents, **self.transfer())

    def write_off(self, cents: int, which: int) -> None:
        write_off_invoice(invoice=self.pick(Invoice, which), amount_krw=cents, reason="x", actor=ACTOR, now=self.now)

    def credit(self, cents: int, which: int) -> None:
        invoice = self.pick(Invoice, which)
        left = creditable_krw(invoice.lines.get())
        amounts = {1: left if which > 5 else min(cents, left)}
        issue_credit_note(
            invoice=invoice, amounts_krw=amounts, amendment_code="02", reason="x", actor=ACTOR, now=self.now
        )

    def void(self, cents: int, which: int) -> None:
        if cents % 3 == 0:
            void_invoice(invoice=self.pick(Invoice, which), reason="x", actor=ACTOR, now=self.now, amendment_code="04")

    def pick(self, model: Any, which: int) -> Any:
        rows = list(model.objects.order_by("pk"))
        return rows[which % len(rows)] if rows else None

    def transfer(self) -> dict[str, Any]:
        self.references += 1
        return {"reference": f"out-{self.references}", "refunded_at": self.now, "reason": "x", "actor": ACTOR}

    def pay_all_that_is_due(self) -> None:
        """By the dollars that each invoice says, which came for it; what reads as none by its won."""
        for which, invoice in enumerate(Invoice.objects.filter(status="issued").order_by("pk")):
            if invoice.due_usd:
                payment = self.received(which, received_usd=invoice.due_usd)
                allocate_payment(payment=payment, invoice=invoice, actor=ACTOR, now=self.now)
                payment.refresh_from_db()
                assert (payment.unapplied_krw, payment.unapplied_usd) == (0, 0)
            else:
                payment = self.received(which, amount_krw=invoice.due_krw)
                allocate_payment(payment=payment, invoice=invoice, actor=ACTOR, now=self.now)
            assert (invoice.status, invoice.due_krw, invoice.due_usd) == ("paid", 0, 0)


def findings() -> list[str]:
    """What does not hold of the money."""
    checks = (payments_add_up, credit_notes_add_up, balances_agree)
    found = [finding for check in checks for finding in check() if finding is not None]
    balances = account_balances()
    standing = Allocation.objects.filter(reversal__isnull=True)
    gained = sum(one.exchange_krw for one in standing)
    if balances.get(("exchange_difference", "KRW"), 0) != -gained:
        found.append(f"exchange difference {balances} is not {gained}")
    for payment in Payment.objects.filter(currency="USD"):
        used = sum(one.allocated_usd or 0 for one in standing.filter(payment=payment))
        left = payment.unapplied_usd
        if left is None or not 0 <= left <= (payment.received_usd or 0) - used or used != payment.allocated_usd:
            found.append(f"{payment}: {used} used, {left} left")
    return found


class Undo(Exception):
    """Ends an example without a trace."""


def test_nothing_is_lost_on_either_side() -> None:
    open_house()
    for day, rate in enumerate(DAILY, start=24):
        publish(date(2026, 11, day), rate)
    customer = tenant(invoice_currency="USD")
    use(customer, 60 * DOLLAR + 123_457)
    use(customer, 5 * DOLLAR + 3_331, at="2026-11-10T12:00:00+09:00", now=LATER)
    billed(customer, now=LATER)
    billed(customer, NOVEMBER, now=LATER)

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(steps=STEPS)
    def run(steps: list[tuple[str, int, int]]) -> None:
        with suppress(Undo), transaction.atomic():
            world = World(customer)
            for first in (("dollars", 7_000, 1), ("dollars", 3_333, 2), ("pay_part", 3_000, 0), ("won", 2_000, 0)):
                world.step(*first)
            for step in steps:
                world.step(*step)
                assert findings() == [], step
            world.pay_all_that_is_due()
            assert findings() == []
            with connection.cursor() as cursor:
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            assert [result.violations for result in check_books() if result.violations] == []
            raise Undo

    run()
