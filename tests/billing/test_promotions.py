"""Promotional credit: what it takes off, in which order, until when, and that VAT follows to the won."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from django.db import IntegrityError, transaction

from accounts.errors import InvalidInput
from accounts.models import Customer
from billing.documents import InvoiceDocument
from billing.errors import NotEnoughLeft, UnknownModel
from billing.models import Delivery, Invoice, PromotionalCredit, PromotionalCreditMove, TaxInvoice
from billing.selectors.balances import account_balances
from billing.selectors.bills import month_bill
from billing.services.granting import expire_credits, return_credits, void_credit
from tests.billing.factories import ACTOR
from tests.billing.money import amounts, billed, broken_checks, grant, plain_house, remaining, spend
from tests.billing.month import LATER, NOVEMBER, NOW, OCTOBER, close, open_house, publish, tenant

pytestmark = pytest.mark.django_db


@pytest.fixture
def gaon() -> Customer:
    return plain_house()


def lines_of(invoice: Invoice) -> list[tuple[str, str, int, int]]:
    return list(invoice.lines.values_list("kind", "model_name", "amount_krw", "promotion_krw"))


def test_credit_is_a_negative_line_and_vat_follows_the_reduced_supply(gaon: Customer) -> None:
    credit = grant(gaon, 30_005)
    spend(gaon, 50_000)
    spend(gaon, 10_000, model="acme/cent")
    preview = month_bill(gaon, OCTOBER, on=date(2026, 10, 31))
    assert preview is not None
    invoice = billed(gaon)
    # 60,000 - 30,005 = 29,995; a tenth of it is 2,999.5.
    assert amounts(invoice) == (29_995, 3_000, 32_995)
    assert (preview.totals.supply_krw, preview.totals.vat_krw) == (29_995, 3_000)
    assert lines_of(invoice) == [
        ("usage", "acme/cent", 10_000, 10_000),
        ("usage", "acme/dollar", 50_000, 20_005),
        ("promotion", "첫 달 무료", -30_005, 0),
    ]
    document = InvoiceDocument.from_json(invoice.document or {})
    assert document.lines == preview.document_lines
    assert (document.usage_krw, document.promotion_krw, document.supply_krw) == (60_000, 30_005, 29_995)
    assert invoice.tax_invoice.supply_krw == 29_995
    assert remaining(credit) == [0]
    assert account_balances() == {
        ("receivable", "KRW"): 32_995,
        ("promotions", "KRW"): 30_005,
        ("revenue", "KRW"): -60_000,
        ("vat_payable", "KRW"): -3_000,
    }
    assert broken_checks() == {}


def test_coupon_over_four_fees(gaon: Customer) -> None:
    """Fees of 100, 50, 30 and 20 with 10 off: 190, VAT 19, total 209 (in thousands of won)."""
    grant(gaon, 10_000)
    for won, day in ((100_000, 1), (50_000, 2), (30_000, 3), (20_000, 4)):
        spend(gaon, won, at=f"2026-10-0{day}T12:00:00+09:00")
    assert amounts(billed(gaon)) == (190_000, 19_000, 209_000)


def test_more_credit_than_usage_leaves_a_rest_and_no_tax_document(gaon: Customer) -> None:
    credit = grant(gaon, 100_000)
    spend(gaon, 60_000)
    invoice = billed(gaon)
    assert amounts(invoice) == (0, 0, 0)
    assert (invoice.status, invoice.due_krw) == ("paid", 0)
    assert lines_of(invoice) == [("usage", "acme/dollar", 60_000, 60_000), ("promotion", "첫 달 무료", -60_000, 0)]
    assert remaining(credit) == [40_000]
    assert not TaxInvoice.objects.exists()
    assert list(Delivery.objects.values_list("kind", flat=True)) == ["invoice_email"]
    assert broken_checks() == {}


@pytest.mark.parametrize(
    ("grants", "used", "taken"),
    [
        ([(30_000, 0), (50_000, 0)], 60_000, [30_000, 30_000]),
        ([(20_000, 1), (25_000, 1), (25_000, 1), (30_000, 2)], 80_000, [20_000, 25_000, 25_000, 10_000]),
        ([(30_000, 2), (20_000, 1)], 25_000, [5_000, 20_000]),
    ],
)
def test_priority_comes_first_and_then_age(
    gaon: Customer, grants: list[tuple[int, int]], used: int, taken: list[int]
) -> None:
    made = [grant(gaon, won, priority=priority) for won, priority in grants]
    spend(gaon, used)
    assert amounts(billed(gaon))[0] == 0
    assert remaining(*made) == [won - part for (won, _), part in zip(grants, taken, strict=True)]
    assert broken_checks() == {}


def test_what_expires_first_is_used_first(gaon: Customer) -> None:
    long = grant(gaon, 10_000, last=date(2026, 12, 31))
    short = grant(gaon, 10_000, last=date(2026, 10, 31))
    spend(gaon, 15_000)
    billed(gaon)
    assert remaining(long, short) == [5_000, 0]


def test_the_last_valid_day_is_korean_and_whole(gaon: Customer) -> None:
    """What was used at 23:59:59 is covered, what was used the second after is not; the day of the close is nothing."""
    credit = grant(gaon, 100_000, last=date(2026, 10, 15))
    spend(gaon, 7_000, at="2026-10-15T23:59:59+09:00")
    spend(gaon, 3_000, at="2026-10-16T00:00:00+09:00")
    assert amounts(billed(gaon, now=LATER)) == (3_000, 300, 3_300)
    assert remaining(credit) == [93_000]


def test_usage_before_the_first_day_is_not_covered(gaon: Customer) -> None:
    grant(gaon, 100_000, first=date(2026, 10, 10))
    spend(gaon, 7_000, at="2026-10-09T23:59:59+09:00")
    spend(gaon, 3_000, at="2026-10-10T00:00:00+09:00")
    assert amounts(billed(gaon)) == (7_000, 700, 7_700)


def test_two_credits_of_the_same_days_never_cover_days_beyond(gaon: Customer) -> None:
    """100 won on covered days and 50 later: two credits of 100 cover 100 together."""
    first, second = (grant(gaon, 100, last=date(2026, 10, 10)) for _ in range(2))
    spend(gaon, 100, at="2026-10-05T12:00:00+09:00")
    spend(gaon, 50, at="2026-10-20T12:00:00+09:00")
    assert amounts(billed(gaon)) == (50, 5, 55)
    assert remaining(first, second) == [0, 100]


def test_only_the_models_named_are_covered(gaon: Customer) -> None:
    credit = grant(gaon, 50_000, models=["acme/cent"])
    assert credit.models_covered == ["acme/cent"]
    spend(gaon, 20_000)
    spend(gaon, 8_000, model="acme/cent")
    assert amounts(billed(gaon)) == (20_000, 2_000, 22_000)
    assert remaining(credit) == [42_000]


def test_under_the_daily_rule_each_day_weighs_by_its_rate() -> None:
    open_house(margin="0.15", rate="1400")
    customer = tenant(exchange_rule="daily")
    publish(date(2026, 10, 5), "1000")
    publish(date(2026, 10, 20), "2000")
    grant(customer, 1_000_000, last=date(2026, 10, 10))
    spend(customer, 1_000, at="2026-10-05T12:00:00+09:00")
    spend(customer, 1_000, at="2026-10-20T12:00:00+09:00")
    invoice = billed(customer)
    # 1 x 1,000 + 1 x 2,000 = 3,000 / 0.85 = 3,529.41; the first day's third of 3,529 is 1,176.33.
    assert amounts(invoice) == (2_353, 235, 2_588)
    assert broken_checks() == {}


def test_a_rest_goes_on_to_the_next_month_while_it_is_valid(gaon: Customer) -> None:
    credit = grant(gaon, 50_000, last=date(2026, 11, 30))
    spend(gaon, 20_000)
    assert amounts(billed(gaon)) == (0, 0, 0)
    spend(gaon, 45_000, at="2026-11-10T12:00:00+09:00")
    assert amounts(billed(gaon, NOVEMBER, now=LATER)) == (15_000, 1_500, 16_500)
    assert remaining(credit) == [0]
    assert broken_checks() == {}


def test_late_usage_is_covered_only_while_the_credit_has_not_ended(gaon: Customer) -> None:
    ended, running = grant(gaon, 10_000), grant(gaon, 10_000, last=date(2026, 11, 30), priority=9)
    spend(gaon, 1_000)
    close()
    spend(gaon, 4_000, at="2026-10-20T12:00:00+09:00")
    assert amounts(billed(gaon, NOVEMBER, now=LATER)) == (0, 0, 0)
    assert remaining(ended, running) == [9_000, 6_000]


def test_expiry_waits_for_the_bill_and_then_writes_the_rest_off(gaon: Customer) -> None:
    credit = grant(gaon, 50_000)
    spend(gaon, 20_000)
    assert expire_credits(now=NOW, actor=ACTOR) == 0
    billed(gaon)
    assert expire_credits(now=NOW, actor=ACTOR) == 1
    assert expire_credits(now=NOW, actor=ACTOR) == 0
    credit.refresh_from_db()
    assert (credit.used_krw, credit.expired_krw, credit.voided_krw, credit.remaining_krw) == (20_000, 30_000, 0, 0)
    assert broken_checks() == {}


def test_a_customer_without_usage_loses_what_has_ended(gaon: Customer) -> None:
    grant(gaon, 50_000)
    assert expire_credits(now=datetime(2026, 10, 31, 14, 59, 59, tzinfo=UTC), actor=ACTOR) == 0
    assert expire_credits(now=datetime(2026, 10, 31, 15, 0, tzinfo=UTC), actor=ACTOR) == 1


def test_voiding_takes_what_is_left_and_no_more(gaon: Customer) -> None:
    first, second = grant(gaon, 30_000), grant(gaon, 50_000)
    void_credit(credit=first, reason="mistake", actor=ACTOR, now=NOW)
    void_credit(credit=second, amount_krw=30_000, reason="mistake", actor=ACTOR, now=NOW)
    assert remaining(first, second) == [0, 20_000]
    with pytest.raises(NotEnoughLeft, match="20000 won of the credit are left, not 60000"):
        void_credit(credit=second, amount_krw=60_000, reason="mistake", actor=ACTOR, now=NOW)
    assert void_credit(credit=first, reason="again", actor=ACTOR, now=NOW).voided_krw == 30_000
    assert PromotionalCreditMove.objects.filter(kind="voided").count() == 2
    assert broken_checks() == {}


def test_what_an_invoice_used_can_not_be_voided(gaon: Customer) -> None:
    credit = grant(gaon, 10_000)
    spend(gaon, 8_000)
    billed(gaon)
    with pytest.raises(NotEnoughLeft, match="2000 won"):
        void_credit(credit=credit, amount_krw=10_000, reason="mistake", actor=ACTOR, now=NOW)


def test_a_void_invoice_gives_its_credit_back_once(gaon: Customer) -> None:
    credit = grant(gaon, 10_000)
    spend(gaon, 30_000)
    invoice = billed(gaon)
    for _ in range(2):
        return_credits(invoice=invoice, reason="void", actor=ACTOR, now=NOW)
    assert remaining(credit) == [10_000]
    assert PromotionalCreditMove.objects.count() == 2


def test_refusals_name_the_field(gaon: Customer) -> None:
    with pytest.raises(InvalidInput) as refused:
        grant(gaon, 0)
    assert refused.value.field == "amount_krw"
    with pytest.raises(InvalidInput) as refused:
        grant(gaon, 1, first=date(2026, 10, 2), last=date(2026, 10, 1))
    assert refused.value.field == "expires_on"
    with pytest.raises(UnknownModel):
        grant(gaon, 1, models=["acme/nothing"])
    assert not PromotionalCredit.objects.exists()


@pytest.mark.parametrize(
    "write",
    [
        lambda credit: PromotionalCredit.objects.filter(pk=credit.pk).update(used_krw=1),
        lambda credit: PromotionalCredit.objects.filter(pk=credit.pk).update(amount_krw=1_000_000),
        lambda credit: credit.delete(),
        lambda credit: PromotionalCreditMove.objects.create(
            credit=credit, kind="voided", amount_krw=10_001, actor="x", moved_at=NOW
        ),
    ],
)
def test_the_database_refuses_what_the_service_would(gaon: Customer, write: object) -> None:
    credit = grant(gaon, 10_000)
    with pytest.raises(IntegrityError), transaction.atomic():
        write(credit)  # type: ignore[operator]
    assert remaining(credit) == [10_000]
