"""Prepayments: a deposit that pays month-end invoices, to the won; what is left goes back; low balances are told once."""

from __future__ import annotations

import io
from datetime import date
from pathlib import Path

import pytest
from pypdf import PdfReader

from accounts.errors import InvalidInput
from accounts.models import Customer
from billing.documents import InvoiceDocument
from billing.errors import NotEnoughLeft, WrongCustomer
from billing.models import Alert, Delivery, Prepayment, TopUpRequest
from billing.pdf import render_invoice
from billing.selectors.balances import account_balances, balance_of, prepayment_outlook
from billing.services.allocating import reverse_allocation
from billing.services.paying import match_payment, reverse_payment
from billing.services.prepaying import pay_from_prepayment, refund_prepayment, set_aside, withdraw_prepayment
from billing.services.topping_up import request_top_ups, set_top_up, stop_top_up
from tests.billing.factories import ACTOR
from tests.billing.money import amounts, billed, broken_checks, deposit, grant, plain_house, prepay, spend
from tests.billing.month import LATER, NOVEMBER, NOW, OCTOBER, close, use
from tests.billing.outbox import deliver, mails

pytestmark = pytest.mark.django_db

NOVEMBER_10 = "2026-11-10T12:00:00+09:00"


@pytest.fixture
def gaon() -> Customer:
    return plain_house()


def left(customer: Customer) -> list[int]:
    return [one.remaining_krw for one in Prepayment.objects.filter(customer=customer).order_by("pk")]


def test_two_months_from_one_wallet(gaon: Customer) -> None:
    """39,000 paid ahead; 14,290 and 14,270 of usage: 15,719 and 15,697 with VAT."""
    prepay(gaon, 39_000)
    spend(gaon, 14_290)
    first = billed(gaon)
    assert (first.total_krw, first.status, first.due_krw, left(gaon)) == (15_719, "paid", 0, [23_281])
    spend(gaon, 14_270, at=NOVEMBER_10)
    second = billed(gaon, NOVEMBER, now=LATER)
    assert (second.total_krw, second.status, left(gaon)) == (15_697, "paid", [7_584])
    assert account_balances() == {
        ("bank", "KRW"): 39_000,
        ("unapplied", "KRW"): 0,
        ("prepayments", "KRW"): -7_584,
        ("receivable", "KRW"): 0,
        ("revenue", "KRW"): -28_560,
        ("vat_payable", "KRW"): -2_856,
    }
    assert broken_checks() == {}


def test_usage_below_a_won_a_line_is_billed_by_its_sum(gaon: Customer) -> None:
    """Six times 0.4 and twice 1 won are 4.4: 4 won, not the 2 that lines rounded one by one would come to."""
    prepay(gaon, 10_000)
    for number in range(6):
        use(gaon, 40_000, model="acme/cent", event_id=f"small-{number}")
    for number in range(2):
        use(gaon, 100_000, model="acme/cent", event_id=f"whole-{number}")
    assert amounts(billed(gaon)) == (4, 0, 4)
    assert left(gaon) == [9_996]


def test_granted_30_and_bought_70(gaon: Customer) -> None:
    """80,000 of usage: free credit takes 30,000 off before VAT, the prepayment pays 50,000 + 5,000."""
    grant(gaon, 30_000)
    prepay(gaon, 70_000)
    spend(gaon, 80_000)
    invoice = billed(gaon)
    assert amounts(invoice) == (50_000, 5_000, 55_000)
    assert (invoice.status, left(gaon)) == ("paid", [15_000])
    assert broken_checks() == {}


def test_the_oldest_pays_first_and_the_rest_is_due(gaon: Customer) -> None:
    prepay(gaon, 10_000)
    prepay(gaon, 5_000)
    spend(gaon, 20_000)
    invoice = billed(gaon)
    assert (invoice.status, invoice.due_krw, left(gaon)) == ("issued", 7_000, [0, 0])
    assert [made.amount_krw for made in invoice.allocations.order_by("pk")] == [10_000, 5_000]
    document = InvoiceDocument.from_json(invoice.document or {})
    assert (document.prepaid_krw, document.due_krw) == (15_000, 7_000)
    assert invoice.tax_invoice.purpose_code == "02"
    assert broken_checks() == {}


def test_what_is_paid_ahead_as_a_whole_is_receipted(gaon: Customer) -> None:
    prepay(gaon, 22_000)
    spend(gaon, 20_000)
    assert billed(gaon).tax_invoice.purpose_code == "01"


def test_money_that_comes_later_pays_once_somebody_says_so(gaon: Customer) -> None:
    spend(gaon, 20_000)
    invoice = billed(gaon)
    prepay(gaon, 30_000)
    for _ in range(2):
        pay_from_prepayment(invoice=invoice, actor=ACTOR, now=NOW)
    assert (invoice.status, left(gaon)) == ("paid", [8_000])
    (made,) = invoice.allocations.all()
    reverse_allocation(allocation=made, reason="x", actor=ACTOR, now=NOW)
    assert (left(gaon), broken_checks()) == ([30_000], {})


def test_what_is_left_is_sent_back(gaon: Customer) -> None:
    prepay(gaon, 30_000)
    spend(gaon, 20_000)
    billed(gaon)
    (wallet,) = Prepayment.objects.all()
    with pytest.raises(NotEnoughLeft, match="8000 won"):
        refund_prepayment(
            prepayment=wallet, amount_krw=8_001, reference="out", refunded_at=NOW, reason="해지", actor=ACTOR
        )
    refund_prepayment(prepayment=wallet, reference="out", refunded_at=NOW, reason="해지", actor=ACTOR)
    assert (wallet.remaining_krw, wallet.consumed_krw, wallet.refunded_krw) == (0, 22_000, 8_000)
    assert balance_of(gaon).net_krw == 0
    assert account_balances()["bank", "KRW"] == 22_000
    assert broken_checks() == {}


def test_won_set_aside_by_mistake_are_free_again(gaon: Customer) -> None:
    payment = prepay(gaon, 30_000)
    (wallet,) = Prepayment.objects.all()
    withdraw_prepayment(prepayment=wallet, amount_krw=10_000, reason="x", actor=ACTOR, now=NOW)
    payment.refresh_from_db()
    assert (payment.unapplied_krw, payment.prepaid_krw, left(gaon)) == (10_000, 20_000, [20_000])
    set_aside(payment=payment, actor=ACTOR, now=NOW)
    assert left(gaon) == [20_000, 10_000]
    with pytest.raises(NotEnoughLeft):
        set_aside(payment=payment, actor=ACTOR, now=NOW)
    with pytest.raises(WrongCustomer):
        set_aside(payment=deposit(1), actor=ACTOR, now=NOW)
    assert broken_checks() == {}


def test_a_returned_top_up_makes_its_invoices_due_again(gaon: Customer) -> None:
    payment = prepay(gaon, 30_000)
    spend(gaon, 20_000)
    invoice = billed(gaon)
    reverse_payment(payment=payment, reason="반환", actor=ACTOR, now=NOW)
    invoice.refresh_from_db()
    assert (invoice.status, invoice.due_krw, left(gaon)) == ("issued", 22_000, [0])
    assert account_balances()["bank", "KRW"] == 0
    assert broken_checks() == {}


def test_the_outlook_takes_off_what_is_not_invoiced_yet(gaon: Customer) -> None:
    """10,000 paid ahead; usage of 5,000 and 1,000 with VAT: 3,400 are left. Invoicing changes nothing about that."""
    prepay(gaon, 10_000)
    spend(gaon, 5_000)
    before = prepayment_outlook(gaon, OCTOBER, on=date(2026, 10, 31))
    spend(gaon, 1_000)
    after = prepayment_outlook(gaon, OCTOBER, on=date(2026, 10, 31))
    assert (before.unbilled_krw, before.available_krw) == (5_500, 4_500)
    assert (after.unbilled_krw, after.available_krw) == (6_600, 3_400)
    close()
    closed = prepayment_outlook(gaon, NOVEMBER, on=NOW.date())
    assert (closed.prepaid_krw, closed.unbilled_krw, closed.available_krw) == (3_400, 0, 3_400)


def test_a_low_balance_is_told_once_and_again_after_it_was_up(gaon: Customer, mail_dir: Path) -> None:
    set_top_up(customer=gaon, threshold_krw=50_000, amount_krw=100_000, actor=ACTOR, now=NOW)
    prepay(gaon, 60_000)
    assert request_top_ups(now=NOW) == []
    spend(gaon, 10_000)
    (request,) = request_top_ups(now=NOW)
    assert request_top_ups(now=NOW) == []
    (delivery,) = Delivery.objects.filter(kind="top_up_email")
    assert (delivery.recipient, Alert.objects.get().kind) == ("tax@gaonrobotics.example", "prepayment_low")
    deliver(now=NOW)
    (mail,) = mails(mail_dir)
    body = mail.get_content()
    assert mail["Subject"].strip() == "[주식회사 정산] 선납금 잔액이 부족합니다 (사용 가능 ₩49,000)"
    for text in ("₩60,000", "₩11,000", "₩100,000을 입금", request.deposit_code, "한빛은행 100-027-418265"):
        assert text in body
    payment = deposit(100_000, name=f"가온 {request.deposit_code}")
    assert match_payment(payment=payment, actor=ACTOR, now=NOW) == []
    assert left(gaon) == [60_000, 100_000]
    assert request_top_ups(now=NOW) == []
    request.refresh_from_db()
    assert request.status == TopUpRequest.Status.ANSWERED
    spend(gaon, 110_000)
    assert len(request_top_ups(now=NOW)) == 1
    assert broken_checks() == {}


def test_without_an_amount_the_customer_is_only_told(gaon: Customer, mail_dir: Path) -> None:
    set_top_up(customer=gaon, threshold_krw=1, amount_krw=None, actor=ACTOR, now=NOW)
    assert len(request_top_ups(now=NOW)) == 1
    deliver(now=NOW)
    assert "아래 계좌로 입금해 주시면 선납금으로 충전됩니다." in mails(mail_dir)[0].get_content()
    stop_top_up(customer=gaon, actor=ACTOR, now=NOW)
    assert (request_top_ups(now=NOW), TopUpRequest.objects.get().status) == ([], "answered")
    with pytest.raises(InvalidInput):
        set_top_up(customer=gaon, threshold_krw=0, amount_krw=None, actor=ACTOR, now=NOW)


@pytest.mark.parametrize(
    ("locale", "texts"),
    [
        ("ko", ["선납금 결제", "–₩15,000", "납부하실 금액", "₩3,700", "프로모션 크레딧", "–3,000", "17,000"]),
        ("en", ["Paid from prepayment", "–₩15,000", "Amount due", "₩3,700", "Promotional credit", "–3,000", "17,000"]),
    ],
)
def test_the_pdf_says_what_was_taken_off_and_what_is_due(gaon: Customer, locale: str, texts: list[str]) -> None:
    Customer.objects.update(locale=locale)
    grant(gaon, 3_000)
    prepay(gaon, 15_000)
    spend(gaon, 20_000)
    document = InvoiceDocument.from_json(billed(gaon).document or {})
    page = PdfReader(io.BytesIO(render_invoice(document))).pages[0].extract_text()
    assert [text for text in texts if text not in page] == []
