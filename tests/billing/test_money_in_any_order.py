"""Whatever order people grant, top up, pay, refund, void, expire and close in: no won is lost, made or spent twice."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.errors import DomainError
from accounts.models import Customer
from billing.audit import check_books
from billing.audit.money import (
    balances_agree,
    credit_notes_add_up,
    credits_add_up,
    note_documents_hold,
    payments_add_up,
    tax_amendments_add_up,
)
from billing.margins import Basis
from billing.models import Allocation, Invoice, Payment, Prepayment, PromotionalCredit, TaxInvoice, ZeroRating
from billing.selectors.bills import month_bill
from billing.selectors.credit_notes import creditable_krw
from billing.services.allocating import allocate_payment, reverse_allocation, write_off_invoice
from billing.services.crediting import issue_credit_note, reissue_invoice, void_invoice
from billing.services.discounting import add_discount
from billing.services.exchange import set_rate
from billing.services.granting import expire_credits, grant_credit, void_credit
from billing.services.margins import set_margin
from billing.services.minimums import set_minimum
from billing.services.paying import match_payment, record_payment, refund_payment, reverse_payment
from billing.services.prepaying import pay_from_prepayment, refund_prepayment, set_aside, withdraw_prepayment
from billing.services.zero_rating import withdraw_zero_rating
from catalog.models import Provider
from tests.billing.factories import ACTOR
from tests.billing.money import deposit, prepay, spend, zero_rate
from tests.billing.month import OCTOBER, close, open_house, publish, tenant
from usage.periods import BillingMonth
from usage.services.ingesting import Status, ingest_events

pytestmark = pytest.mark.django_db

WON = st.integers(min_value=1, max_value=60_000)
WHICH = st.integers(min_value=0, max_value=5)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("spend", "spend", "close", "grant", "prepay", "deposit", "match", "allocate", "pay_from_prepayment"),
                *("set_aside", "withdraw", "refund", "refund_prepayment", "void", "expire", "reverse_payment"),
                *("reverse_allocation", "write_off", "discount", "minimum", "margin", "charge", "charge"),
                *("zero_rate", "vat_again", "credit", "credit", "issue_tax", "void_invoice", "reissue"),
                *("dollars", "dollars", "allocate_all", "allocate_all"),
            ]
        ),
        WON,
        WHICH,
    ),
    min_size=5,
    max_size=30,
)


@dataclass
class World:
    """One customer through the months; each step does what it can and is refused otherwise."""

    customer: Customer
    month: BillingMonth = OCTOBER
    references: int = 0
    refusals: int = field(default=0)

    @property
    def now(self) -> datetime:
        return self.month.end_at + timedelta(days=1)

    def step(self, name: str, won: int, which: int) -> None:
        try:
            with transaction.atomic():
                getattr(self, name)(won, which)
        except DomainError:
            self.refusals += 1

    def spend(self, won: int, which: int) -> None:
        model = "acme/cent" if which % 2 else "acme/dollar"
        day = self.month.first_on + timedelta(days=which * 5)
        spend(self.customer, won, model=model, at=f"{day}T12:00:00+09:00", now=self.now)

    def charge(self, won: int, which: int) -> None:
        """Usage for which the upstream names a charge: more than our list price, less, or nothing."""
        self.references += 1
        day = self.month.first_on + timedelta(days=which * 5)
        usage = {"prompt_tokens": won * 1_000, "completion_tokens": 0, "total_tokens": won * 1_000}
        event = {
            "id": f"charged-{self.references}",
            "customer": self.customer.slug,
            "model": "acme/dollar",
            "occurred_at": f"{day}T12:00:00+09:00",
            "dialect": "openrouter",
            "usage": {**usage, "cost": won * which / 2_000},
        }
        [result] = ingest_events(lines=[json.dumps(event).encode()], now=self.now, actor=ACTOR)
        assert result.status == Status.ACCEPTED

    def margin(self, won: int, which: int) -> None:
        scopes = ({"family": "acme/c"}, {"family": "acme/d"}, {"provider": Provider.objects.get(slug="acme")}, {})
        set_margin(
            customer=self.customer if which % 2 else None,
            margin=Decimal(won % 90) / 100,
            basis=list(Basis)[won % 3],
            effective_from=self.month.last_on,
            actor=ACTOR,
            **scopes[which % 4],
        )

    def close(self, won: int, which: int) -> None:
        preview = month_bill(self.customer, self.month)
        close(self.month, now=self.now)
        invoice = Invoice.objects.filter(customer=self.customer, month=self.month.first_on).first()
        assert (preview is None or preview.is_nothing) == (invoice is None)
        if preview is not None and invoice is not None:
            assert (invoice.supply_krw, invoice.total_krw) == (preview.totals.supply_krw, preview.totals.total_krw)
        self.month = self.month.next()
        set_rate(rate_on=self.month.last_on, rate=Decimal(1000), source="test", reason="x", actor=ACTOR, now=self.now)

    def grant(self, won: int, which: int) -> None:
        grant_credit(
            customer=self.customer,
            name="무료",
            amount_krw=won,
            valid_from=self.month.first_on,
            expires_on=self.month.first_on + timedelta(days=which * 12),
            models=["acme/cent"] if which == 3 else None,
            priority=which % 3,
            reason="x",
            actor=ACTOR,
            now=self.now,
        )

    def discount(self, won: int, which: int) -> None:
        is_share = which % 2 == 0
        add_discount(
            customer=self.customer,
            name="할인",
            share=Decimal(won) / 100_000 if is_share else None,
            amount_krw=None if is_share else won,
            models=["acme/cent"] if which == 3 else None,
            effective_from=self.month.first_on,
            effective_to=self.month.next().first_on if which > 2 else None,
            reason="x",
            actor=ACTOR,
            now=self.now,
        )

    def minimum(self, won: int, which: int) -> None:
        set_minimum(
            customer=self.customer,
            amount_krw=won,
            applies_without_usage=which % 2 == 0,
            effective_from=self.month.first_on + timedelta(days=which * 4),
            effective_to=self.month.last_on + timedelta(days=which * 10) if which > 2 else None,
            reason="x",
            actor=ACTOR,
            now=self.now,
        )

    def zero_rate(self, won: int, which: int) -> None:
        zero_rate(self.customer, first=self.month.first_on)

    def vat_again(self, won: int, which: int) -> None:
        if evidence := self.pick(ZeroRating, which):
            withdraw_zero_rating(zero_rating=evidence, reason="x", actor=ACTOR, now=self.now)

    def prepay(self, won: int, which: int) -> None:
        prepay(self.customer, won, at=self.now)

    def deposit(self, won: int, which: int) -> None:
        invoice = self.pick(Invoice, which)
        name = invoice.document["deposit_code"] if invoice is not None and invoice.document else "?"
        deposit(won, name=name, customer=self.customer if which % 2 else None, at=self.now)

    def dollars(self, won: int, which: int) -> None:
        """Dollars at a rate of their own, which pay by the dollar where the invoice is in dollars."""
        self.references += 1
        rate = Decimal(900 + 41 * which)
        set_rate(rate_on=self.now.date(), rate=rate, source="test", reason="x", actor=ACTOR, now=self.now)
        record_payment(
            reference=f"wire-{self.references}",
            received_at=self.now,
            received_usd=Decimal(won).scaleb(-2),
            depositor_name="",
            customer=self.customer,
            actor=ACTOR,
            now=self.now,
        )

    def match(self, won: int, which: int) -> None:
        if payment := self.pick(Payment, which):
            match_payment(payment=payment, actor=ACTOR, now=self.now)

    def allocate(self, won: int, which: int) -> None:
        payment, invoice = self.pick(Payment, which), self.pick(Invoice, which)
        if payment and invoice:
            allocate_payment(payment=payment, invoice=invoice, amount_krw=won, actor=ACTOR, now=self.now)

    def allocate_all(self, won: int, which: int) -> None:
        payment, invoice = self.pick(Payment, -1 - which), self.pick(Invoice, which)
        if payment and invoice:
            allocate_payment(payment=payment, invoice=invoice, actor=ACTOR, now=self.now)

    def pay_from_prepayment(self, won: int, which: int) -> None:
        if invoice := self.pick(Invoice, which):
            pay_from_prepayment(invoice=invoice, actor=ACTOR, now=self.now)

    def set_aside(self, won: int, which: int) -> None:
        if payment := self.pick(Payment, which):
            set_aside(payment=payment, amount_krw=won, actor=ACTOR, now=self.now)

    def withdraw(self, won: int, which: int) -> None:
        if prepayment := self.pick(Prepayment, which):
            withdraw_prepayment(prepayment=prepayment, amount_krw=won, reason="x", actor=ACTOR, now=self.now)

    def refund(self, won: int, which: int) -> None:
        if payment := self.pick(Payment, which):
            refund_payment(payment=payment, amount_krw=won, **self.transfer())

    def refund_prepayment(self, won: int, which: int) -> None:
        if prepayment := self.pick(Prepayment, which):
            refund_prepayment(prepayment=prepayment, amount_krw=won, **self.transfer())

    def void(self, won: int, which: int) -> None:
        if credit := self.pick(PromotionalCredit, which):
            void_credit(credit=credit, amount_krw=won, reason="x", actor=ACTOR, now=self.now)

    def expire(self, won: int, which: int) -> None:
        expire_credits(now=self.now, actor=ACTOR)

    def reverse_payment(self, won: int, which: int) -> None:
        if payment := self.pick(Payment, which):
            reverse_payment(payment=payment, reason="x", actor=ACTOR, now=self.now)

    def reverse_allocation(self, won: int, which: int) -> None:
        if allocation := self.pick(Allocation, which):
            reverse_allocation(allocation=allocation, reason="x", actor=ACTOR, now=self.now)

    def write_off(self, won: int, which: int) -> None:
        if invoice := self.pick(Invoice, which):
            write_off_invoice(invoice=invoice, amount_krw=won, reason="x", actor=ACTOR, now=self.now)

    def credit(self, won: int, which: int) -> None:
        """Some won of one line, or all that is left of the invoice, by whichever code."""
        invoice = self.pick(Invoice, which)
        if invoice is None:
            return
        left = {line.position: creditable_krw(line) for line in invoice.lines.all()}
        left = {position: krw for position, krw in left.items() if krw}
        code = ("01", "02", "04", "06")[which % 4]
        first = min(left, default=1)
        amounts = left if code in ("04", "06") else {first: min(won, left.get(first, won))}
        issue_credit_note(
            invoice=invoice, amounts_krw=amounts, amendment_code=code, reason="x", actor=ACTOR, now=self.now
        )

    def issue_tax(self, won: int, which: int) -> None:
        """What the provider would have answered to all that waits."""
        TaxInvoice.objects.filter(status="queued").update(status="issued", approval_no=str(won).zfill(24))

    def void_invoice(self, won: int, which: int) -> None:
        if invoice := self.pick(Invoice, which):
            code = ("01", "04", "06")[won % 3]
            void_invoice(invoice=invoice, reason="x", actor=ACTOR, now=self.now, amendment_code=code)

    def reissue(self, won: int, which: int) -> None:
        if invoice := self.pick(Invoice, which):
            reissue_invoice(invoice=invoice, actor=ACTOR, now=self.now)

    def reissue_all(self) -> None:
        """Until then the usage of what was voided as an error is billed to nobody, which the books say."""
        for which in range(Invoice.objects.count()):
            self.step("reissue", 1, which)

    def pick(self, model: Any, which: int) -> Any:
        """One of the rows there are, or None."""
        rows = list(model.objects.order_by("pk"))
        return rows[which % len(rows)] if rows else None

    def transfer(self) -> dict[str, Any]:
        self.references += 1
        return {"reference": f"out-{self.references}", "refunded_at": self.now, "reason": "x", "actor": ACTOR}


class Undo(Exception):
    """Ends an example without a trace."""


def found() -> list[str]:
    checks = (
        payments_add_up,
        credits_add_up,
        credit_notes_add_up,
        note_documents_hold,
        tax_amendments_add_up,
        balances_agree,
    )
    return [finding for check in checks for finding in check() if finding is not None]


@pytest.mark.parametrize("currency", ["KRW", "USD"])
def test_every_identity_holds_after_every_step(currency: str) -> None:
    open_house(margin="0", rate="1000")
    customer = tenant(invoice_currency=currency)
    publish(date(2026, 10, 31), "1000")

    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
    @given(steps=STEPS)
    def run(steps: list[tuple[str, int, int]]) -> None:
        with suppress(Undo), transaction.atomic():
            world = World(customer)
            for first in (("grant", 20_000, 2), ("prepay", 30_000, 0), ("deposit", 25_000, 1), ("spend", 40_000, 1)):
                world.step(*first)
            for step in steps:
                world.step(*step)
                assert found() == [], step
            world.reissue_all()
            with connection.cursor() as cursor:
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            assert [result.violations for result in check_books() if result.violations] == []
            raise Undo

    run()
