"""청구서: what was issued, as it was issued, and the bytes of its PDF."""

from __future__ import annotations

import io
from datetime import timedelta
from decimal import Decimal
from urllib.parse import unquote

import pytest
from django.test import Client, override_settings
from django.utils import timezone
from pypdf import PdfReader

from billing.models import Invoice, InvoicePdf, TaxInvoice
from billing.services.crediting import void_invoice
from billing.services.paying import match_payment, record_payment
from tests.portal.factories import Cast, close_month, make_customer, make_rate, make_usage, make_user, this_month
from tests.portal.test_dashboard import page
from tests.portal.test_usage import cells

pytestmark = pytest.mark.django_db


def test_the_list_has_amounts_state_and_tax_invoice(cast: Cast, acme: Client) -> None:
    invoice = cast.acme.invoice
    month = this_month().previous()
    rows = cells(page(acme, "/c/acme/invoices/"))
    due = invoice.due_on
    state = "연체" if due < timezone.localdate() else "입금 대기"
    assert rows[1] == [
        f"{month.year}년 {month.month}월",
        invoice.number,
        *("3,294원", "329원", "3,623원"),
        state,
        str(due),
        "발급 준비 중",
        "PDF",
    ]


def test_the_page_shows_how_the_won_came_about(cast: Cast, acme: Client) -> None:
    invoice, month = cast.acme.invoice, this_month().previous()
    text = page(acme, f"/c/acme/invoices/{invoice.number}/")
    assert f"<h1>{month.year}년 {month.month}월 청구서" in text
    assert ["GPT-5 mini openai/gpt-5-mini", "1", "1,000,000", "250,000", "2.00", "3,294"] in cells(text)
    assert '2.00 × 1,400.00 ÷ (1 − 15%) = 3,294.1176… →<span class="strong">3,294원</span>' in text
    assert '3,294 × 10% = 329.4 →<span class="strong">329원</span>' in text
    assert f"출처 한국수출입은행, 고시일 {month.last_on}" in text
    assert "원 미만 반올림, 청구서 단위 1회." in text


def test_the_page_says_where_to_pay_with_which_name(cast: Cast, acme: Client) -> None:
    invoice = cast.acme.invoice
    text = page(acme, f"/c/acme/invoices/{invoice.number}/")
    assert "국민은행" in text
    assert "123456-04-567890" in text
    assert invoice.document["deposit_code"] in text
    deposit = record_payment(
        reference="bank-1",
        received_at=timezone.now(),
        amount_krw=invoice.total_krw,
        depositor_name=invoice.document["deposit_code"],
        actor="test",
        now=timezone.now(),
    )
    match_payment(payment=deposit, actor="test", now=timezone.now())
    paid = page(acme, f"/c/acme/invoices/{invoice.number}/")
    assert "<dt>입금</dt><dd>−3,623원</dd>" in paid
    assert "<dt>납부하실 금액</dt><dd>0원</dd>" in paid
    assert "완납" in paid
    assert "납부하실 금액이 없습니다." in paid
    assert "123456-04-567890" not in paid


def test_the_tax_invoice_is_followed_to_the_tax_office(cast: Cast, acme: Client) -> None:
    invoice, month = cast.acme.invoice, this_month().previous()
    path = f"/c/acme/invoices/{invoice.number}/"
    text = page(acme, path)
    assert f"<dt>작성일자</dt><dd>{month.last_on.year}년 {month.last_on.month}월 {month.last_on.day}일</dd>" in text
    assert "발급 준비 중" in text
    assert "시험 환경입니다. 국세청으로 전송되지 않습니다." in text
    TaxInvoice.objects.filter(invoice=invoice).update(
        status="issued", nts_status="accepted", approval_no="202611011234567890123456", issued_at=timezone.now()
    )
    with override_settings(TAX_PROVIDER="real"):
        issued = page(acme, path)
    assert "발급 완료" in issued
    assert "202611011234567890123456" in issued
    assert "전송 완료" in issued
    assert "시험 환경" not in issued


def test_a_void_invoice_tells_no_dates_of_a_tax_invoice_that_never_comes(cast: Cast, acme: Client) -> None:
    invoice = cast.acme.invoice
    void_invoice(invoice=invoice, amendment_code="01", reason="상호 오기", actor="test", now=timezone.now())
    text = page(acme, f"/c/acme/invoices/{invoice.number}/")
    assert '전자세금계산서<span class="state neutral">없음</span>' in text
    assert "작성일자" not in text
    assert "발급 기한" not in text


def test_daily_rates_are_listed_day_by_day(cast: Cast) -> None:
    month = this_month().previous()
    first = month.first_on
    make_rate(rate_on=first)
    make_rate(rate_on=first + timedelta(days=1), rate=Decimal("1410.5"))
    customer = make_customer(slug="daily", name="일별", brn="2208162517", exchange_rule="daily")
    for number in range(2):
        make_usage(customer=customer, event_id=str(number), occurred_at=month.start_at + timedelta(days=number))
    invoice = close_month(customer=customer, month=month)
    client = Client()
    client.force_login(make_user(email="someone@daily.example", customers=(customer,)))
    text = page(client, f"/c/daily/invoices/{invoice.number}/")
    rows = cells(text)
    assert [str(first), "2.00", "1,400.00", str(first), "2,800.00"] in rows
    second = str(first + timedelta(days=1))
    assert [second, "2.00", "1,410.50", second, "2,821.00"] in rows
    assert '일별 환산액 합계 5,621.00 ÷ (1 − 15%) = 6,612.9411… →<span class="strong">6,613원</span>' in text


@pytest.fixture
def older(cast: Cast) -> tuple[Client, list[Invoice]]:
    """A customer with two closed months; an event of the first arrived when it was closed already."""
    last, customer = this_month().previous(), make_customer(slug="older", name="오래된 고객", brn="2208162517")
    before = last.previous()
    make_rate(rate_on=before.last_on)
    make_usage(customer=customer, event_id="1", occurred_at=before.start_at)
    invoices = [close_month(customer=customer, month=before)]
    make_usage(customer=customer, event_id="late", occurred_at=before.end_at - timedelta(seconds=1))
    make_usage(customer=customer, event_id="2", occurred_at=last.start_at)
    invoices.append(close_month(customer=customer, month=last))
    client = Client()
    client.force_login(make_user(email="someone@older.example", customers=(customer,)))
    return client, invoices


def test_late_usage_keeps_its_own_month_on_the_invoice(older: tuple[Client, list[Invoice]]) -> None:
    client, invoices = older
    rows = cells(page(client, f"/c/older/invoices/{invoices[1].number}/"))
    last = this_month().previous()
    before = last.previous()
    name, counts = "GPT-5 mini openai/gpt-5-mini", ["1", "1,000,000", "250,000", "2.00"]
    assert [name, f"{before.year}년 {before.month}월 추가 정산", *counts, "3,294"] in rows
    assert [name, f"{last.year}년 {last.month}월", *counts, "3,294"] in rows
    assert rows[-1] == ["합계", *[""] * 4, "4.00", "6,588"]


def test_the_list_takes_the_same_queries_for_one_and_for_many(
    older: tuple[Client, list[Invoice]], acme: Client, django_assert_num_queries: object
) -> None:
    for client, slug in ((acme, "acme"), (older[0], "older")):
        with django_assert_num_queries(6):
            page(client, f"/c/{slug}/invoices/")


def test_the_pdf_is_made_once_and_the_same_ever_after(cast: Cast, acme: Client) -> None:
    invoice = cast.acme.invoice
    path = f"/c/acme/invoices/{invoice.number}.pdf"
    assert not InvoicePdf.objects.filter(invoice=invoice).exists()
    first, second = acme.get(path), acme.get(path)
    assert first.status_code == 200
    assert first["Content-Type"] == "application/pdf"
    disposition = first["Content-Disposition"]
    assert disposition.startswith("attachment; filename*=utf-8''")
    assert unquote(disposition.partition("''")[2]) == f"청구서_{invoice.number}.pdf"
    assert first.content == second.content == bytes(InvoicePdf.objects.get(invoice=invoice).content)
    text = "".join(PdfReader(io.BytesIO(first.content)).pages[0].extract_text().split())
    assert "한빛주식회사" in text
    assert "3,623" in text


def test_a_customer_without_invoices_is_told_when_the_first_comes(db: None) -> None:
    customer = make_customer(slug="fresh", name="새싹")
    client = Client()
    client.force_login(make_user(email="someone@fresh.example", customers=(customer,)))
    assert "첫 청구서는 이달이 끝난 뒤에 발행됩니다." in page(client, "/c/fresh/invoices/")
