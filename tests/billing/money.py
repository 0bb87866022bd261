"""Deposits, top-ups and free credit for tests, in a house where a dollar is 1,000 won and nothing is added."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from itertools import count
from typing import Any

from accounts.models import Customer
from billing.audit import check_books
from billing.models import Discount, Invoice, MonthlyMinimum, Payment, PromotionalCredit, ZeroRating
from billing.services.discounting import add_discount
from billing.services.granting import grant_credit
from billing.services.minimums import set_minimum
from billing.services.paying import record_payment, top_up
from billing.services.zero_rating import record_zero_rating
from catalog.models import Provider
from tests.billing.factories import ACTOR
from tests.billing.month import LATER, NOW, OCTOBER, close, open_house, tenant, use
from usage.periods import BillingMonth

_numbers = count(1)


def plain_house() -> Customer:
    """A customer to whom a dollar of usage is 1,000 won of supply."""
    open_house(margin="0", rate="1000")
    return tenant()


def spend(
    customer: Customer,
    won: int,
    *,
    model: str = "acme/dollar",
    at: str = "2026-10-15T12:00:00+09:00",
    divisor: int = 1,
    now: datetime = LATER,
) -> None:
    """Use so many won of supply, or a part of them; 1,000 tokens of acme/dollar, or 100,000 of acme/cent, are one."""
    tokens = won * {"acme/dollar": 1_000, "acme/cent": 100_000}[model] // divisor
    use(customer, tokens, model=model, at=at, event_id=f"event-{next(_numbers)}", now=now)


def billed(customer: Customer, month: BillingMonth = OCTOBER, *, now: datetime = NOW) -> Invoice:
    """The customer's invoice of the month, which is closed now."""
    close(month, now=now)
    return Invoice.objects.get(customer=customer, month=month.first_on)


def deposit(
    won: int, *, name: str = "", customer: Customer | None = None, reference: str = "", at: datetime = NOW
) -> Payment:
    """One line of the bank account."""
    return record_payment(
        reference=reference or f"bank-{next(_numbers)}",
        received_at=at,
        amount_krw=won,
        depositor_name=name,
        customer=customer,
        actor=ACTOR,
        now=at,
    )


def prepay(customer: Customer, won: int, *, at: datetime = NOW) -> Payment:
    """A deposit that is kept for invoices to come."""
    return top_up(
        customer=customer,
        reference=f"bank-{next(_numbers)}",
        received_at=at,
        amount_krw=won,
        depositor_name="",
        actor=ACTOR,
        now=at,
    )


def grant(
    customer: Customer,
    won: int,
    *,
    first: date = date(2026, 10, 1),
    last: date = date(2026, 10, 31),
    models: list[str] | None = None,
    priority: int = 0,
    name: str = "첫 달 무료",
) -> PromotionalCredit:
    """Free credit."""
    return grant_credit(
        customer=customer,
        name=name,
        amount_krw=won,
        valid_from=first,
        expires_on=last,
        models=models,
        priority=priority,
        reason="test",
        actor=ACTOR,
        now=NOW,
    )


def cut(
    customer: Customer,
    *,
    share: str | None = None,
    won: int | None = None,
    first: date = date(2026, 10, 1),
    end: date | None = None,
    models: list[str] | None = None,
    provider: Provider | None = None,
    name: str = "약정 할인",
) -> Discount:
    """A discount."""
    return add_discount(
        customer=customer,
        name=name,
        share=None if share is None else Decimal(share),
        amount_krw=won,
        effective_from=first,
        effective_to=end,
        models=models,
        provider=provider,
        reason="test",
        actor=ACTOR,
        now=NOW,
    )


def at_least(
    customer: Customer,
    won: int,
    *,
    first: date = date(2026, 10, 1),
    end: date | None = None,
    without_usage: bool = True,
    now: datetime = NOW,
) -> MonthlyMinimum:
    """A monthly minimum."""
    return set_minimum(
        customer=customer,
        amount_krw=won,
        applies_without_usage=without_usage,
        effective_from=first,
        effective_to=end,
        reason="test",
        actor=ACTOR,
        now=now,
    )


def zero_rate(
    customer: Customer, *, first: date = date(2026, 10, 1), end: date | None = None, **terms: Any
) -> ZeroRating:
    """Evidence that a customer's supplies carry no VAT."""
    wanted = {
        "article": ZeroRating.Article.FOREIGN_EXCHANGE,
        "clause": "시행령 제33조 제2항 제1호",
        "reference": "외화입금증명서 2026-10-01",
        "sha256": "ab" * 32,
        "accepted_by": "세무사 김하나",
        "reason": "test",
    }
    return record_zero_rating(
        customer=customer, effective_from=first, effective_to=end, actor=ACTOR, now=NOW, **(wanted | terms)
    )


def amounts(invoice: Invoice) -> tuple[int, int, int]:
    """Supply, VAT and total."""
    return invoice.supply_krw, invoice.vat_krw, invoice.total_krw


def remaining(*credits: PromotionalCredit) -> list[int]:
    for credit in credits:
        credit.refresh_from_db()
    return [credit.remaining_krw for credit in credits]


def broken_checks() -> dict[str, list[str]]:
    """What check_books finds."""
    return {result.name: list(result.violations) for result in check_books() if result.violations}
