"""The monthly minimum: what is short of it is invoiced, by days, also without usage; credit never pays it."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.errors import Conflict, InvalidInput
from accounts.models import Customer
from billing.documents import InvoiceDocument, MinimumPart
from billing.models import BillingDraft, BillingRunItem, Invoice, MonthlyMinimum
from billing.pdf import invoice_html
from billing.selectors.balances import account_balances
from billing.selectors.bills import month_bill
from billing.selectors.drafts import bill_digest
from billing.services.crediting import issue_credit_note
from billing.services.minimums import end_minimum
from tests.billing.factories import ACTOR
from tests.billing.money import amounts, at_least, billed, broken_checks, cut, grant, plain_house, spend
from tests.billing.month import LATER, NOVEMBER, NOW, OCTOBER, close, outcome, publish
from usage.models import BillingPeriod
from usage.periods import BillingMonth

pytestmark = pytest.mark.django_db


@pytest.fixture
def gaon() -> Customer:
    customer = plain_house()
    customer.created_at = datetime(2026, 1, 1, tzinfo=UTC)
    customer.save()
    return customer


def lines_of(invoice: Invoice) -> list[tuple[str, int, int, int]]:
    return list(invoice.lines.values_list("kind", "amount_krw", "discount_krw", "promotion_krw"))


def document_of(invoice: Invoice) -> InvoiceDocument:
    return InvoiceDocument.from_json(invoice.document or {})


def test_it_looks_at_discounted_usage_and_credit_comes_after_it(gaon: Customer) -> None:
    """Usage 800 less 10 % is 720; 280 are short of 1,000; credit of 5,000 pays the 720 and not the 280."""
    at_least(gaon, 1_000)
    cut(gaon, share="0.1")
    grant(gaon, 5_000)
    spend(gaon, 800)
    preview = month_bill(gaon, OCTOBER)
    assert preview is not None
    invoice = billed(gaon)
    assert amounts(invoice) == (280, 28, 308)
    assert lines_of(invoice) == [
        ("usage", 800, 80, 720),
        ("discount", -80, 0, 0),
        ("minimum", 280, 0, 0),
        ("promotion", -720, 0, 0),
    ]
    document = document_of(invoice)
    assert document.lines == preview.document_lines
    assert (document.minimum_krw, document.shortfall_krw) == (1_000, 280)
    assert document.minimums == (MinimumPart(amount_krw=1_000, first_on=date(2026, 10, 1), last_on=date(2026, 10, 31)),)
    assert invoice.tax_invoice.supply_krw == 280
    assert account_balances() == {
        ("receivable", "KRW"): 308,
        ("discounts", "KRW"): 80,
        ("promotions", "KRW"): 720,
        ("revenue", "KRW"): -1_080,
        ("vat_payable", "KRW"): -28,
    }
    assert broken_checks() == {}


def test_usage_that_reaches_it_owes_nothing_more(gaon: Customer) -> None:
    at_least(gaon, 1_000)
    spend(gaon, 1_000)
    invoice = billed(gaon)
    assert lines_of(invoice) == [("usage", 1_000, 0, 0)]
    assert document_of(invoice).minimum_krw == 1_000
    assert broken_checks() == {}


def test_twenty_five_days_of_twenty_eight(gaon: Customer) -> None:
    """1,000 a month from 4 February: 892.857 are 893; usage of 800 is 93 short; 893 with VAT 89."""
    publish(date(2026, 2, 27), "1000")
    at_least(gaon, 1_000, first=date(2026, 2, 4))
    spend(gaon, 800, at="2026-02-10T12:00:00+09:00")
    invoice = billed(gaon, BillingMonth(2026, 2))
    assert lines_of(invoice) == [("usage", 800, 0, 0), ("minimum", 93, 0, 0)]
    assert amounts(invoice) == (893, 89, 982)
    assert document_of(invoice).minimums[0].days == 25
    assert broken_checks() == {}


def test_a_change_within_the_month_counts_by_days(gaon: Customer) -> None:
    """16 days of 31,000 and 15 of 62,000: 16,000 + 30,000."""
    at_least(gaon, 31_000)
    at_least(gaon, 62_000, first=date(2026, 10, 17))
    spend(gaon, 1)
    assert amounts(billed(gaon))[0] == 46_000
    assert list(MonthlyMinimum.objects.order_by("effective_from").values_list("effective_to", flat=True)) == [
        date(2026, 10, 17),
        None,
    ]
    assert broken_checks() == {}


def test_a_month_without_usage_is_invoiced(gaon: Customer) -> None:
    at_least(gaon, 100_000)
    invoice = billed(gaon)
    assert amounts(invoice) == (100_000, 10_000, 110_000)
    assert lines_of(invoice) == [("minimum", 100_000, 0, 0)]
    assert invoice.tax_invoice.total_krw == 110_000
    assert BillingPeriod.objects.get(customer=gaon).outcome == BillingPeriod.Outcome.INVOICED
    for locale, words in (("ko", "최소 이용 금액 차액"), ("en", "Shortfall of the monthly minimum")):
        gaon.locale = locale
        page = invoice_html(InvoiceDocument.from_json((invoice.document or {}) | {"locale": locale}))
        assert words in page
        assert "100,000" in page
    assert broken_checks() == {}


def test_also_under_the_daily_rule_and_when_the_customer_is_suspended(gaon: Customer) -> None:
    gaon.exchange_rule = Customer.ExchangeRule.DAILY
    gaon.status = Customer.Status.SUSPENDED
    gaon.save()
    at_least(gaon, 1_000)
    assert amounts(billed(gaon)) == (1_000, 100, 1_100)
    assert broken_checks() == {}


def test_a_month_without_usage_is_not_invoiced_where_the_contract_says_so(gaon: Customer) -> None:
    at_least(gaon, 100_000, without_usage=False)
    run = close()
    assert outcome(run, gaon) == ("done", "")
    assert BillingPeriod.objects.get(customer=gaon).outcome == BillingPeriod.Outcome.NO_USAGE
    assert month_bill(gaon, OCTOBER) is None
    assert broken_checks() == {}


def test_a_day_of_almost_nothing_is_nothing(gaon: Customer) -> None:
    """1 won a month for the last of 31 days rounds to 0: no invoice, and the books know why."""
    at_least(gaon, 1, first=date(2026, 10, 31))
    close()
    assert BillingPeriod.objects.get(customer=gaon).outcome == BillingPeriod.Outcome.NO_CHARGE
    assert not Invoice.objects.exists()
    assert broken_checks() == {}


def test_before_its_first_and_after_its_last_day_nothing_is_owed(gaon: Customer) -> None:
    at_least(gaon, 31_000, first=date(2026, 11, 1), end=date(2026, 11, 11))
    run = close()
    assert run.items.get(customer=gaon).invoice is None
    assert amounts(billed(gaon, NOVEMBER, now=LATER))[0] == 10_333  # 10 of 30 days


def test_an_end_is_not_on_a_day_that_was_billed(gaon: Customer) -> None:
    minimum = at_least(gaon, 1_000)
    spend(gaon, 5_000)
    billed(gaon)
    with pytest.raises(Conflict, match="2026-10 was billed with it; not before 2026-11-01"):
        end_minimum(minimum=minimum, effective_to=date(2026, 10, 20), reason="x", actor=ACTOR)
    with pytest.raises(Conflict, match="2026-10 was billed with it"):
        at_least(gaon, 2_000, first=date(2026, 10, 20))
    end_minimum(minimum=minimum, effective_to=date(2026, 11, 1), reason="x", actor=ACTOR)
    with pytest.raises(Conflict, match="ends on 2026-11-01 already"):
        end_minimum(minimum=minimum, effective_to=date(2026, 12, 1), reason="x", actor=ACTOR)
    assert broken_checks() == {}


def test_one_that_never_held_can_be_taken_back(gaon: Customer) -> None:
    minimum = at_least(gaon, 1_000)
    end_minimum(minimum=minimum, effective_to=date(2026, 10, 1), reason="x", actor=ACTOR)
    at_least(gaon, 500)
    assert amounts(billed(gaon))[0] == 500


def test_the_draft_that_was_approved_holds_the_minimum(gaon: Customer) -> None:
    spend(gaon, 5_000)
    plain = bill_digest(month_bill(gaon, OCTOBER))
    at_least(gaon, 1_000)
    assert bill_digest(month_bill(gaon, OCTOBER)) != plain


def test_the_shortfall_can_be_credited(gaon: Customer) -> None:
    at_least(gaon, 1_000)
    spend(gaon, 800)
    invoice = billed(gaon)
    note = issue_credit_note(
        invoice=invoice, amounts_krw={2: 200}, amendment_code="02", reason="x", actor=ACTOR, now=NOW
    )
    assert (note.supply_krw, note.vat_krw) == (200, 20)
    assert broken_checks() == {}


def test_refusals_name_the_field(gaon: Customer) -> None:
    for won in (0, 10**15 + 1):
        with pytest.raises(InvalidInput) as refused:
            at_least(gaon, won)
        assert refused.value.field == "amount_krw"
    with pytest.raises(InvalidInput) as refused:
        at_least(gaon, 1, end=date(2026, 10, 1))
    assert refused.value.field == "effective_to"
    at_least(gaon, 1, first=date(2026, 12, 1), end=date(2027, 1, 1))
    with pytest.raises(Conflict) as conflict:
        at_least(gaon, 1, first=date(2026, 11, 1))
    assert conflict.value.field == "effective_from"


@pytest.mark.parametrize(
    "write",
    [
        lambda row: MonthlyMinimum.objects.filter(pk=row.pk).update(amount_krw=1),
        lambda row: MonthlyMinimum.objects.filter(pk=row.pk).update(effective_to=date(2026, 9, 1)),
        lambda row: row.delete(),
        lambda row: MonthlyMinimum.objects.create(
            customer=row.customer, amount_krw=1, effective_from=date(2027, 1, 1), reason="x", actor="x"
        ),
    ],
)
def test_the_database_refuses_what_the_service_would(gaon: Customer, write: object) -> None:
    row = at_least(gaon, 1_000)
    with pytest.raises(IntegrityError), transaction.atomic():
        write(row)  # type: ignore[operator]


@pytest.mark.parametrize("usage", [0, 5_000])
def test_check_books_finds_a_minimum_that_was_not_charged(gaon: Customer, usage: int) -> None:
    if usage:
        spend(gaon, usage)
    close()
    at_least(gaon, 1_000, now=NOW.replace(year=2025))
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    assert set(broken_checks()) == {"minimums_are_charged"}


def test_one_that_was_agreed_after_the_close_changes_nothing(gaon: Customer) -> None:
    close()
    at_least(gaon, 1_000, now=LATER)
    assert broken_checks() == {}
    assert not BillingRunItem.objects.exclude(invoice=None).exists()
    assert not BillingDraft.objects.exists()
