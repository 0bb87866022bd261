"""What a customer may still spend follows the ledger, the rollups and the close by itself, and equals a recount."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, timedelta
from decimal import Decimal

import pytest

from accounts.errors import InvalidInput
from accounts.models import AuditEntry, Customer
from billing.models import ExchangeRate, MarginRule, SpendingAccount
from billing.models.ledger import LedgerEntry, LedgerTransaction
from billing.selectors.spending import available_krw, recount, selling_factor
from billing.services.posting import Posting, post_transaction
from billing.services.spending import refresh_all_spending, refresh_spending, set_credit_terms
from tests.gateway.money import ACTOR, MODEL, NOW, account, caller, shop
from tests.usage.factories import NOVEMBER, close_period, ingest, line, model
from usage.services.rerating import rate_quarantined

pytestmark = pytest.mark.django_db

Account = LedgerEntry.Account


def post(who: int, amounts: dict[LedgerEntry.Account, int]) -> None:
    customer = Customer.objects.get(pk=who)
    entries = [Posting(account, amount, customer) for account, amount in amounts.items()]
    kind = LedgerTransaction.Kind.PAYMENT_RECEIVED
    post_transaction(kind=kind, occurred_on=date(2026, 11, 20), memo="tests", entries=entries, actor=ACTOR)


def agrees(pk: int) -> bool:
    row = SpendingAccount.objects.get(pk=pk)
    counted = asdict(recount([pk], at=NOW)[pk])
    return counted == {name: getattr(row, name) for name in counted}


def test_the_factor_is_rate_over_one_minus_margin_with_vat_rounded_up() -> None:
    assert selling_factor(rate_krw_per_usd=Decimal(1000), margin=Decimal(0)) == 1100
    # 1400 / 0.85 x 1.1 = 1811.76470588235294…
    assert selling_factor(rate_krw_per_usd=Decimal(1400), margin=Decimal("0.15")) == Decimal("1811.7647058824")


def test_every_customer_has_an_account_from_the_start() -> None:
    who = caller()
    assert account(who).held_krw == 0
    assert available_krw(account(who)) is None


def test_money_received_and_owed_moves_the_account_at_once() -> None:
    shop()
    who = caller(is_prepaid=True)
    post(who.customer_id, {Account.BANK: 10_000, Account.PREPAYMENTS: -10_000})
    post(who.customer_id, {Account.RECEIVABLE: 1_100, Account.REVENUE: -1_000, Account.VAT_PAYABLE: -100})
    post(who.customer_id, {Account.BANK: 300, Account.UNAPPLIED: -300})
    row = account(who)
    assert (row.prepaid_krw, row.receivable_krw, available_krw(row)) == (10_000, 800, 9_200)
    assert agrees(who.customer_id)
    refresh_spending(customer_ids=[who.customer_id], now=NOW)
    assert available_krw(account(who)) == 9_200


def test_usage_of_every_door_counts_until_its_month_is_closed() -> None:
    shop()
    who = caller(limit_krw=1_000)
    owner = Customer.objects.get(pk=who.customer_id)
    usage = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
    moment = "2026-11-05T12:00:00+09:00"
    ingest(line("a", usage=usage, occurred_at=moment), line("b", usage=usage, occurred_at=moment, model="x/new"))
    assert available_krw(account(who)) == 780  # USD 0.2 at 1,100
    model("x/new", {"prompt": "0.0001", "completion": "0"})
    rate_quarantined(now=NOW, actor=ACTOR)
    assert available_krw(account(who)) == 769  # and 0.01, once it is priced
    assert agrees(owner.pk)
    close_period(owner, NOVEMBER)
    assert account(who).unbilled_usd == 0
    assert agrees(owner.pk)
    # What comes late is billed in the next month that is open.
    ingest(line("c", usage=usage, occurred_at=moment))
    assert account(who).unbilled_usd == Decimal("0.2")
    assert agrees(owner.pk)


def test_the_rate_and_the_margin_of_the_day_turn_dollars_into_won() -> None:
    shop()
    who = caller(limit_krw=10_000)
    ingest(line("a", usage={"prompt_tokens": 1000, "completion_tokens": 0, "total_tokens": 1000}, model=MODEL))
    assert account(who).unbilled_krw == 1100
    ExchangeRate.objects.create(rate_on=date(2026, 11, 21), rate=Decimal(1400), source="tests", actor=ACTOR)
    MarginRule.objects.create(
        customer_id=who.customer_id, margin=Decimal("0.3"), effective_from=date(2026, 11, 1), created_by=ACTOR
    )
    assert refresh_all_spending(now=NOW) == 1
    assert account(who).unbilled_krw == 2200
    # A rate that nobody published for two weeks is none: nothing is assumed.
    refresh_spending(customer_ids=[who.customer_id], now=NOW + timedelta(days=30))
    assert account(who).factor_krw_per_usd is None


def test_terms_change_with_a_reason_and_leave_an_entry() -> None:
    who = caller()
    owner = Customer.objects.get(pk=who.customer_id)
    terms = {"customer": owner, "actor": ACTOR, "now": NOW}
    set_credit_terms(credit_limit_krw=5_000, is_prepaid=False, reason="new contract", **terms)
    set_credit_terms(credit_limit_krw=5_000, is_prepaid=False, reason="again", **terms)
    entry = AuditEntry.objects.get(action="set_credit_terms")
    assert entry.data == {
        "before": {"credit_limit_krw": None, "is_prepaid": False},
        "after": {"credit_limit_krw": 5_000, "is_prepaid": False},
    }
    assert available_krw(account(who)) == 5_000
    for wrong in ({"credit_limit_krw": -1, "reason": "x"}, {"credit_limit_krw": 1, "reason": " "}):
        with pytest.raises(InvalidInput):
            set_credit_terms(is_prepaid=False, **wrong, **terms)
