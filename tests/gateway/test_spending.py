"""What a customer may still spend follows the ledger, the rollups and the close by itself, and equals a recount."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from accounts.errors import InvalidInput
from accounts.models import AuditEntry, Customer
from billing.models import ExchangeRate, MarginRule, SpendingAccount, SpendingTerm
from billing.models.ledger import LedgerEntry, LedgerTransaction
from billing.selectors.spending import available_krw, recount, selling_factor
from billing.services.posting import Posting, post_transaction
from billing.services.spending import refresh_all_spending, refresh_spending, set_credit_terms
from catalog.models import Model, Provider
from gateway.audit import check_gateway
from gateway.calls import Admission, CallRefused
from gateway.services import admitting
from tests.gateway.money import (
    ACTOR,
    MODEL,
    NOW,
    account,
    admit,
    caller,
    limit,
    outcome,
    request,
    settle,
    shop,
)
from tests.usage.factories import NOVEMBER, close_period, ingest, line, model
from usage.services.replacing import exclude_priced_event
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


# -- models that sell on terms of their own ----------------------------------------------------------------------------
def rule(margin: str, **scope: Any) -> None:
    MarginRule.objects.create(margin=Decimal(margin), effective_from=date(2026, 11, 1), created_by=ACTOR, **scope)


def told(event_id: str, usd: float | None, **changes: Any) -> bytes:
    """100 and 50 tokens at list price USD 0.2, for which the upstream names this charge."""
    usage: dict[str, Any] = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
    if usd is not None:
        usage["cost"] = usd
    return line(event_id, usage=usage, dialect="openrouter", occurred_at="2026-11-05T12:00:00+09:00", **changes)


def test_each_model_counts_on_its_own_terms_until_its_month_is_closed() -> None:
    shop()
    model("x/dear", {"prompt": "0.001", "completion": "0.002"})
    model("y/new", {"prompt": "0.001", "completion": "0.002"})
    who, other = caller(limit_krw=10_000), caller("other", limit_krw=10_000)
    owner = Customer.objects.get(pk=who.customer_id)
    ingest(told("before", None, model="x/dear"))
    assert account(who).unbilled_krw == 220  # at no margin, as everything
    # Half the price is ours for everybody's x/dear, and 20 % on our customer's y/...
    rule("0.5", family="x/d")
    rule("0.2", customer=owner, family="y/n")
    refresh_all_spending(now=NOW)
    assert (account(who).unbilled_usd, account(who).unbilled_by_model_krw, account(who).unbilled_krw) == (0, 440, 440)
    ingest(told("a", None), told("b", None, model="x/dear"), told("c", None, model="y/new"))
    ingest(told("d", None, model="y/new", customer="other"), told("e", None, model="x/dear", customer="other"))
    row = account(who)
    assert (row.unbilled_usd, row.unbilled_by_model_krw, row.unbilled_krw) == (Decimal("0.2"), 440 + 440 + 275, 1375)
    assert available_krw(row) == 8625
    assert account(other).unbilled_krw == 220 + 440
    assert agrees(owner.pk)
    assert agrees(other.customer_id)
    exclude_priced_event(customer_id=owner.pk, event_id="b", reason="a test call", actor=ACTOR, now=NOW)
    assert account(who).unbilled_krw == 1375 - 440
    close_period(owner, NOVEMBER)
    row = account(who)
    assert (row.unbilled_usd, row.unbilled_by_model_krw, row.unbilled_krw) == (0, 0, 0)
    assert agrees(owner.pk)
    ingest(told("late", None, model="x/dear"))
    assert account(who).unbilled_krw == 440
    assert [result.violations for result in check_gateway() if result.name == "spending_equals_a_recount"] == [[]]


@pytest.mark.parametrize(("basis", "krw"), [("catalog", 660), ("upstream", 770), ("higher", 880)])
def test_what_is_not_yet_billed_goes_by_the_basis(basis: str, krw: int) -> None:
    """USD 0.4, 0.1 and no charge for events of USD 0.2 each: 0.6 at list price, 0.7 as charged, 0.8 of the higher."""
    shop()
    who = caller(limit_krw=10_000)
    rule("0", customer_id=who.customer_id, basis=basis)
    refresh_all_spending(now=NOW)
    for event_id, usd in (("a", 0.4), ("b", 0.1), ("c", None)):
        ingest(told(event_id, usd))
    assert account(who).unbilled_krw == krw
    assert agrees(who.customer_id)
    # A rule about the model with another basis takes over whole, and goes again.
    rule("0", customer_id=who.customer_id, basis="higher", model=Model.objects.get(model_id=MODEL))
    refresh_spending(customer_ids=[who.customer_id], now=NOW)
    assert account(who).unbilled_krw == 880
    assert agrees(who.customer_id)
    ingest(told("d", 0.4))
    assert account(who).unbilled_krw == 880 + 440
    SpendingTerm.objects.all().delete()
    assert not agrees(who.customer_id) or basis == "higher"
    refresh_spending(customer_ids=[who.customer_id], now=NOW)
    assert account(who).unbilled_krw == 880 + 440
    close_period(Customer.objects.get(pk=who.customer_id), NOVEMBER)
    assert account(who).unbilled_krw == 0


def test_a_model_that_enters_the_catalog_gets_its_terms_with_the_next_recount() -> None:
    shop()
    rule("0.5", provider=Provider.objects.get(slug="anthropic"))
    who = caller(limit_krw=10_000)
    assert set(SpendingTerm.objects.values_list("account_id", "factor_krw_per_usd")) == {(who.customer_id, 2200)}
    model("anthropic/new", {"prompt": "0.001", "completion": "0.002"})
    ingest(told("a", None, model="anthropic/new"))
    assert account(who).unbilled_krw == 220
    refresh_all_spending(now=NOW)
    assert account(who).unbilled_krw == 440
    # Without a rate nothing is assumed.
    refresh_spending(customer_ids=[who.customer_id], now=NOW + timedelta(days=30))
    assert (SpendingTerm.objects.count(), account(who).unbilled_krw) == (0, 0)
    assert agrees(who.customer_id)


def test_a_hold_is_of_the_dearest_model_that_may_answer() -> None:
    shop()
    model("x/dear", {"prompt": "0.001", "completion": "0.002"})
    limit("x/dear", context=1000, longest=500)
    who = caller(limit_krw=900)
    plain = request(who)
    [answer] = admit(plain)
    assert isinstance(answer, Admission)
    assert answer.hold_krw == 220
    rule("0.5", model=Model.objects.get(model_id="x/dear"))
    refresh_all_spending(now=NOW)
    admitting._terms.clear()  # ten seconds later
    for changes, krw in (({"model": "x/dear"}, 440), ({}, 220)):
        [answer] = admit(request(who, **changes))
        assert isinstance(answer, Admission), answer
        assert answer.hold_krw == krw
    # 20 won are left: the dear model would take 2.2 won a prompt token, and 440 with all of its answer.
    [refused] = admit(request(who, models=("x/dear",)))
    assert isinstance(refused, CallRefused)
    assert (refused.status, refused.metadata) == (402, {"affordable_max_tokens": 0})
    settle(outcome(plain))
    [refused] = admit(request(who, models=("x/dear",)))
    # 218 won are left after 22 were used: USD 0.0990909… at 2,200, less 0.1 for the prompt.
    assert isinstance(refused, CallRefused)
    assert refused.metadata == {"affordable_max_tokens": 0}
    [refused] = admit(request(who, models=("x/dear",), prompt_tokens_worst=50))
    # USD 0.05 for the prompt leaves 0.0490909…: 24 tokens of 0.002.
    assert isinstance(refused, CallRefused)
    assert refused.metadata == {"affordable_max_tokens": 24}
