"""The books as people read them: statement, journal, and what upstreams cost at which rate."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction
from hypothesis import given
from hypothesis import strategies as st

from accounts.errors import InvalidInput
from accounts.models import Customer
from billing.errors import AlreadyRecorded, MonthNotEnded, NoExchangeRate
from billing.models import ExchangeRate, Invoice, LedgerTransaction, UpstreamAccrual
from billing.selectors.balances import account_balances, balance_of, statement_rows
from billing.selectors.journal import ACCOUNT_NAMES, journal_csv
from billing.services.costing import accrue_upstream_cost, record_upstream_payment
from billing.services.crediting import issue_credit_note
from billing.services.paying import match_payment
from billing.services.posting import Account, Kind, Posting, post_reversal, post_transaction
from tests.billing.commands import run
from tests.billing.factories import ACTOR
from tests.billing.money import billed, broken_checks, deposit, grant, plain_house, prepay, spend
from tests.billing.month import DOLLAR, IN_OCTOBER, LATER, NOVEMBER, NOW, OCTOBER, publish, tenant
from usage.services.ingesting import ingest_events

pytestmark = pytest.mark.django_db

DAY = date(2026, 10, 31)


@pytest.fixture
def gaon() -> Customer:
    return plain_house()


@pytest.fixture
def october(gaon: Customer) -> Customer:
    """15,000 paid ahead on 20 October, 20,000 of usage less 3,000 of free credit, 3,700 paid on 2 November."""
    grant(gaon, 3_000)
    prepay(gaon, 15_000, at=datetime(2026, 10, 20, 3, tzinfo=UTC))
    spend(gaon, 20_000)
    invoice = billed(gaon)
    match_payment(payment=deposit(5_000, name=invoice.document["deposit_code"]), actor=ACTOR, now=NOW)  # type: ignore[index]
    return gaon


def test_a_statement_runs_from_one_balance_to_the_next(october: Customer) -> None:
    rows = list(statement_rows(october, first_on=date(2026, 10, 1), last_on=date(2026, 11, 30)))
    assert [(str(row.occurred_on), row.kind, row.charged_krw, row.paid_krw, row.balance.net_krw) for row in rows] == [
        ("2026-10-20", "payment_received", 0, 15_000, -15_000),
        ("2026-10-20", "prepayment_received", 0, 0, -15_000),
        ("2026-10-31", "invoice_issued", 18_700, 0, 3_700),
        ("2026-11-02", "prepayment_applied", 0, 0, 3_700),
        ("2026-11-02", "payment_assigned", 0, 5_000, -1_300),
        ("2026-11-02", "payment_allocated", 0, 0, -1_300),
    ]
    last = rows[-1]
    assert (last.invoice_number, last.position) == ("INV-202610-0001", 6)
    assert (last.balance.receivable_krw, last.balance.unapplied_krw, last.balance.prepaid_krw) == (0, 1_300, 0)
    assert last.balance == balance_of(october)
    november = list(statement_rows(october, first_on=date(2026, 11, 1), last_on=date(2026, 11, 30)))
    assert [row.balance for row in november] == [row.balance for row in rows[3:]]
    page = list(statement_rows(october, first_on=date(2026, 10, 1), last_on=date(2026, 11, 30), after=2, limit=2))
    assert page == rows[2:4]


def test_a_statement_is_one_customers(october: Customer) -> None:
    other = tenant("other")
    deposit(7_000, customer=other)
    assert len(list(statement_rows(other, first_on=date(2026, 1, 1), last_on=date(2026, 12, 31)))) == 1
    assert balance_of(other).net_krw == -7_000
    assert balance_of(october).net_krw == -1_300


def test_the_journal_of_october_is_what_an_accountant_expects(october: Customer) -> None:
    text = journal_csv(OCTOBER)
    assert text.encode().startswith(b"\xef\xbb\xbf")
    assert list(csv.reader(io.StringIO(text.lstrip("\ufeff")))) == [
        ["일자", "계정", "차변", "대변", "적요"],
        ["2026-10-20", "보통예금", "15000", "", rows_memo(text, 1)],
        ["2026-10-20", "가수금", "", "15000", rows_memo(text, 1)],
        ["2026-10-20", "가수금", "15000", "", rows_memo(text, 3)],
        ["2026-10-20", "선수금", "", "15000", rows_memo(text, 3)],
        ["2026-10-31", "외상매출금", "18700", "", "gaon 2026-10 INV-202610-0001"],
        ["2026-10-31", "매출에누리", "3000", "", "gaon 2026-10 INV-202610-0001"],
        ["2026-10-31", "부가세예수금", "", "1700", "gaon 2026-10 INV-202610-0001"],
        ["2026-10-31", "용역매출", "", "20000", "gaon 2026-10 INV-202610-0001"],
    ]


def rows_memo(text: str, number: int) -> str:
    return text.splitlines()[number].split(",")[4]


def test_the_journal_names_a_credited_invoice_once(october: Customer) -> None:
    """1,000 won of supply and 100 of VAT off the invoice."""
    issue_credit_note(
        invoice=Invoice.objects.get(),
        amounts_krw={1: 1_000},
        amendment_code="02",
        reason="장애 보상",
        actor=ACTOR,
        now=NOW,
    )
    rows = [row for row in csv.reader(io.StringIO(journal_csv(NOVEMBER))) if row[4].endswith("장애 보상")]
    assert [row[1:] for row in rows] == [
        ["용역매출", "1000", "", "gaon INV-202610-0001 장애 보상"],
        ["부가세예수금", "100", "", "gaon INV-202610-0001 장애 보상"],
        ["가수금", "", "1100", "gaon INV-202610-0001 장애 보상"],
    ]


def test_no_cell_of_the_journal_is_a_formula(gaon: Customer) -> None:
    deposit(1_000, name='=HYPERLINK("http://evil.example")')
    memos = {row[4] for row in csv.reader(io.StringIO(journal_csv(NOVEMBER)))} - {"적요"}
    assert len(memos) == 1
    assert memos.pop().startswith("'=HYPERLINK")


def test_the_command_writes_the_file_and_says_its_sums(october: Customer, tmp_path: Path) -> None:
    target = tmp_path / "분개장.csv"
    code, answer = run("export_ledger", "2026-10", "--output", str(target))
    assert (code, answer["entries"], answer["debit_krw"], answer["credit_krw"]) == (0, 8, 51_700, 51_700)
    assert target.read_bytes() == journal_csv(OCTOBER).encode()
    output = io.StringIO()
    call_command("export_ledger", "2026-10", stdout=output)
    assert output.getvalue() == journal_csv(OCTOBER)
    assert run("export_ledger", "October")[0] == 2
    assert run("export_ledger", "2026-10", "--output", str(tmp_path / "no" / "where.csv"))[0] == 2


def test_every_account_has_a_korean_name() -> None:
    assert set(ACCOUNT_NAMES) | {Account.EXCHANGE_DIFFERENCE} == set(Account)


@given(amounts=st.lists(st.integers(min_value=-(10**12), max_value=10**12), min_size=1, max_size=6))
def test_only_what_sums_to_zero_is_posted(amounts: list[int]) -> None:
    for posted in (amounts, [*amounts, -sum(amounts)]):
        entries = [Posting(Account.BANK, won) for won in posted]
        try:
            with transaction.atomic():
                post_transaction(kind=Kind.PAYMENT_RECEIVED, occurred_on=DAY, memo="x", entries=entries, actor=ACTOR)
                with transaction.get_connection().cursor() as cursor:
                    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
                    cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        except IntegrityError:
            assert sum(posted) != 0
        else:
            assert sum(posted) == 0


def test_a_reversal_mirrors_and_happens_once(gaon: Customer) -> None:
    payment = deposit(5_000, customer=gaon)
    post_reversal(original=payment.ledger_transaction, occurred_on=DAY, memo="x", actor=ACTOR)
    assert set(account_balances().values()) == {Decimal(0)}
    with pytest.raises(IntegrityError), transaction.atomic():
        post_reversal(original=payment.ledger_transaction, occurred_on=DAY, memo="x", actor=ACTOR)


# -- What upstreams cost -----------------------------------------------------------------------------------------------
def pay(usd: str, won: int, *, reference: str = "wire-1", at: datetime = LATER) -> None:
    record_upstream_payment(
        reference=reference,
        payee="OpenRouter",
        paid_at=at,
        amount_usd=Decimal(usd),
        amount_krw=won,
        actor=ACTOR,
        now=LATER,
    )


def won_of(account: Account) -> int:
    return int(account_balances().get((account, "KRW"), 0))


def test_a_debt_in_dollars_is_booked_at_the_months_rate_and_paid_at_the_banks(gaon: Customer) -> None:
    """USD 20 at 1,000 are 20,000 won; the bank takes 20,900 for them: 900 of exchange loss."""
    spend(gaon, 20_000)
    assert accrue_upstream_cost(month=OCTOBER, actor=ACTOR, now=NOW) is not None
    assert (won_of(Account.COST_OF_SALES), won_of(Account.UPSTREAM_PAYABLE)) == (20_000, -20_000)
    assert accrue_upstream_cost(month=OCTOBER, actor=ACTOR, now=NOW) is None
    pay("20", 20_900)
    assert won_of(Account.UPSTREAM_PAYABLE) == 0
    assert (won_of(Account.EXCHANGE_DIFFERENCE), won_of(Account.BANK)) == (900, -20_900)
    assert account_balances()[Account.UPSTREAM_PAYABLE, "USD"] == 0
    assert "2026-12-02,외환차손,900," in journal_csv(OCTOBER.next().next())
    assert broken_checks() == {}


def test_a_part_takes_its_share_of_the_won_owed(gaon: Customer) -> None:
    """USD 20 owed at 20,000: 5 take 5,000 off, whatever they cost; the gain of 250 is booked at once."""
    spend(gaon, 20_000)
    accrue_upstream_cost(month=OCTOBER, actor=ACTOR, now=NOW)
    pay("5", 4_750)
    assert (won_of(Account.UPSTREAM_PAYABLE), won_of(Account.EXCHANGE_DIFFERENCE)) == (-15_000, -250)


def test_dollars_bought_ahead_are_used_up_at_what_they_cost(gaon: Customer) -> None:
    """USD 30 bought for 33,000; USD 20 of usage at 1,000 is 20,000 of cost and takes 22,000 off: 2,000 of loss."""
    pay("30", 33_000, at=datetime(2026, 10, 1, tzinfo=UTC))
    assert won_of(Account.UPSTREAM_PAYABLE) == 33_000
    spend(gaon, 20_000)
    accrue_upstream_cost(month=OCTOBER, actor=ACTOR, now=NOW)
    assert (won_of(Account.UPSTREAM_PAYABLE), won_of(Account.EXCHANGE_DIFFERENCE)) == (11_000, 2_000)
    spend(gaon, 15_000, at="2026-11-10T12:00:00+09:00")
    accrue_upstream_cost(month=NOVEMBER, actor=ACTOR, now=LATER)
    # 10 of the 15 dollars take the last 11,000 off, 5 are owed at 1,000.
    assert (won_of(Account.UPSTREAM_PAYABLE), won_of(Account.EXCHANGE_DIFFERENCE)) == (-5_000, 3_000)
    assert broken_checks() == {}


def test_each_response_costs_what_was_charged_for_it_or_its_list_price(gaon: Customer) -> None:
    """Three of USD 1 by list, on one day and price: charged 0.9, charged nothing at all, and not stated: 1.9."""
    for number, charged in enumerate(({"cost": 0.9}, {"cost": 0}, {})):
        event = {
            "id": f"one-{number}", "customer": "gaon", "model": "acme/dollar", "occurred_at": IN_OCTOBER,
            "dialect": "openrouter",
            "usage": {"prompt_tokens": DOLLAR, "completion_tokens": 0, "total_tokens": DOLLAR, **charged},
        }  # fmt: skip
        ingest_events(lines=[json.dumps(event).encode()], now=NOW, actor=ACTOR)
    made = accrue_upstream_cost(month=OCTOBER, actor=ACTOR, now=NOW)
    assert made is not None
    assert (made.cost_usd, made.cost_krw) == (Decimal("1.9"), 1_900)
    assert broken_checks() == {}


def test_late_usage_is_accrued_on_top(gaon: Customer) -> None:
    spend(gaon, 20_000)
    accrue_upstream_cost(month=OCTOBER, actor=ACTOR, now=NOW)
    spend(gaon, 1_500)
    made = accrue_upstream_cost(month=OCTOBER, actor=ACTOR, now=NOW)
    assert made is not None
    assert (made.cost_usd, made.cost_krw) == (Decimal("1.5"), 1_500)
    assert UpstreamAccrual.objects.count() == 2


def test_refusals_of_upstream_costs(gaon: Customer) -> None:
    spend(gaon, 20_000)
    with pytest.raises(MonthNotEnded):
        accrue_upstream_cost(month=NOVEMBER, actor=ACTOR, now=NOW)
    pay("1", 1_000)
    pay("1", 1_000)
    with pytest.raises(AlreadyRecorded):
        pay("1", 1_001)
    for usd, won, field in (
        ("0.0000001", 1, "amount_usd"),
        ("1000000000000.01", 1, "amount_usd"),
        ("NaN", 1, "amount_usd"),
        ("1", 0, "amount_krw"),
    ):
        with pytest.raises(InvalidInput) as refused:
            pay(usd, won, reference="wire-2")
        assert refused.value.field == field
    assert LedgerTransaction.objects.filter(kind="upstream_paid").count() == 1


def test_without_a_rate_nothing_is_accrued(gaon: Customer) -> None:
    september = OCTOBER.previous()
    spend(gaon, 1_000, at="2026-09-10T12:00:00+09:00")
    with pytest.raises(NoExchangeRate):
        accrue_upstream_cost(month=september, actor=ACTOR, now=NOW)
    publish(date(2026, 9, 30), "1300")
    assert ExchangeRate.objects.filter(rate_on=date(2026, 9, 30)).exists()
    made = accrue_upstream_cost(month=september, actor=ACTOR, now=NOW)
    assert made is not None
    assert made.cost_krw == 1_300
