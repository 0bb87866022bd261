"""A customer whose contract is in dollars reads dollars, and the won beside them, on every page that shows an invoice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import pytest
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, BrowserContext, Page
from pytest_django.live_server_helper import LiveServer

from accounts.models import Customer, User
from accounts.services import add_seller_profile
from billing.models import CreditNote, Invoice
from billing.services.crediting import issue_credit_note
from billing.services.granting import grant_credit
from tests.portal.factories import (
    ACTOR,
    PASSWORD,
    close_month,
    make_catalog,
    make_customer,
    make_rate,
    make_terms,
    make_usage,
    make_user,
    this_month,
)
from tests.portal.test_dashboard import page
from tests.portal.test_usage import cells

ACCOUNT = "국민은행 외환센터 (SWIFT CZNBKRSE), 123456-56-001234 (USD)"


@dataclass(frozen=True)
class Debtor:
    """USD 4 of usage last month, of which a credit of 1,000 won took some off, and a credit note of 500 won since."""

    customer: Customer
    owner: User
    invoice: Invoice
    note: CreditNote


def make_debtor() -> Debtor:
    make_catalog()
    add_seller_profile(
        valid_from=date(2026, 1, 1),
        actor=ACTOR,
        registration_no="1248100998",
        name="정산파트너 주식회사",
        ceo_name="이정산",
        address="서울특별시 중구 세종대로 110",
        email="billing@seller.example",
        bank_name="국민은행",
        bank_account_no="123456-04-567890",
        bank_account_holder="정산파트너 주식회사",
        bank_account_usd=ACCOUNT,
    )
    make_terms()
    last = this_month().previous()
    make_rate(rate_on=last.last_on)
    customer = make_customer(slug="dollar", name="달러 주식회사", brn="2208162517", invoice_currency="USD")
    grant_credit(
        customer=customer,
        name="체험",
        amount_krw=1_000,
        valid_from=last.first_on,
        expires_on=last.last_on,
        models=None,
        priority=0,
        reason="test",
        actor=ACTOR,
        now=timezone.now(),
    )
    used_at = last.start_at + timedelta(days=13)
    make_usage(customer=customer, event_id="last", occurred_at=used_at)
    claude = {"model": "anthropic/claude-sonnet-4.5", "prompt": 0, "completion": 133_333}
    make_usage(customer=customer, event_id="claude", occurred_at=used_at, **claude)
    make_usage(customer=customer, event_id="now", occurred_at=this_month().start_at)
    invoice = close_month(customer=customer, month=last)
    note = issue_credit_note(
        invoice=invoice,
        amounts_krw={2: 500},
        amendment_code="02",
        reason="계량 오류",
        actor=ACTOR,
        now=timezone.now(),
    )
    invoice.refresh_from_db()
    return Debtor(customer, make_user(email="owner@dollar.example", customers=(customer,)), invoice, note)


@pytest.fixture
def debtor(db: None) -> Debtor:
    return make_debtor()


@pytest.fixture
def client(debtor: Debtor) -> Client:
    made = Client()
    made.force_login(debtor.owner)
    return made


@pytest.mark.django_db
def test_the_list_and_the_page_of_the_invoice(debtor: Debtor, client: Client) -> None:
    """USD 3.999995 are 6,588 won, less 1,000: 5,588 + 559, at 1,400: 3.99 + 0.40. Credited 500 + 50 of 6,147."""
    invoice = debtor.invoice
    assert (invoice.supply_krw, invoice.vat_krw, invoice.total_krw, invoice.due_krw) == (5588, 559, 6147, 5597)
    assert cells(page(client, "/c/dollar/invoices/"))[1][2:5] == ["US$3.99", "US$0.40", "US$4.39 6,147원"]
    text = page(client, f"/c/dollar/invoices/{invoice.number}/")
    for words in (
        "<dt>공급가액</dt><dd>US$3.99</dd>",
        "<dt>부가세(10%)</dt><dd>US$0.40</dd>",
        "<dt>합계</dt><dd>US$4.39</dd>",
        "<dt>공급가액(원화)</dt><dd>5,588원</dd>",
        "<dt>세액(원화)</dt><dd>559원</dd>",
        "<dt>합계(원화)</dt><dd>6,147원</dd>",
        "<dt>차감 청구서</dt><dd>−US$0.39</dd>",
        "이용요금 = 사용액(USD) × 적용환율 ÷ (1 − 수수료율)",
        "<dt>수수료율</dt><dd>이용요금의 15%</dd>",
        "모델별 공급가액은 그 합이 이용요금과 같도록 나눈 금액입니다.",
        "<dd>US$4.00 (5,597원)</dd>",  # 4.39 x 5,597 / 6,147 = 3.9972
        '<dt>달러로 납부하실 금액</dt><dd><span class="strong">US$4.00</span></dd>',
        '<dt>원화로 납부하실 금액</dt><dd><span class="strong">5,597원</span></dd>',
        ACCOUNT,
        "세금계산서는 원화로만 발급됩니다.",
        '5,588 ÷ 1,400.00 = 3.9914… → <span class="strong">US$3.99</span>',
        '559 ÷ 1,400.00 = 0.3992… → <span class="strong">US$0.40</span>',
    ):
        assert words in text.replace("→<span", "→ <span"), words
    table = cells(text)
    assert table[0][-1] == "공급가액(USD)"
    assert [row[-1] for row in table[1:6]] == ["2.35", "2.35", "4.70", "−0.71", "3.99"]
    assert table[-1][3:6] == ["−500원", "−50원", "−US$0.39 −550원"]


@pytest.mark.django_db
def test_the_other_pages(debtor: Debtor, client: Client) -> None:
    note = page(client, f"/c/dollar/credit-notes/{debtor.note.number}/")
    for words in (
        "<dt>합계(원화)</dt><dd>−550원</dd>",
        "당초 공급가액은 청구서의 항목 금액에서 할인과 프로모션 크레딧을 뺀 금액입니다.",
        "<dt>합계</dt><dd>−US$0.39</dd>",
        "<dt>당초 청구</dt><dd>US$4.39</dd>",
        "<dt>차감 후</dt><dd>US$4.00</dd>",
        "<dt>합계(원화)</dt><dd>5,597원</dd>",
    ):
        assert words in note, words
    line = page(client, f"/c/dollar/invoices/{debtor.invoice.number}/lines/1/")
    assert "3,294 ÷ 1,400.00, 공급가액 US$3.99 가운데 이 항목의 몫" in line
    owed = page(client, "/c/dollar/balance/")
    assert "US$4.00" in owed
    assert "5,597원" in owed
    home = page(client, "/c/dollar/")
    assert "<dt>합계(원화)</dt><dd>3,623원</dd>" in home
    assert "<dt>결제 금액</dt><dd>US$2.59</dd>" in home  # 3,294 and 329 won at 1,400: 2.35 and 0.24


@pytest.fixture
def visit(live_server: LiveServer, chromium: Browser) -> Iterator[Callable[[str, int], Page]]:
    """Opens the invoices' pages as the owner."""
    contexts: list[BrowserContext] = []

    def open_page(language: str, width: int) -> Page:
        context = chromium.new_context(
            base_url=live_server.url,
            locale={"ko": "ko-KR", "en": "en-US"}[language],
            viewport={"width": width, "height": 800},
        )
        contexts.append(context)
        made = context.new_page()
        made.goto("/login/")
        made.get_by_label({"ko": "이메일", "en": "E-mail"}[language]).fill("owner@dollar.example")
        made.get_by_label({"ko": "비밀번호", "en": "Password"}[language]).fill(PASSWORD)
        made.keyboard.press("Enter")
        made.wait_for_url("**/c/dollar/")
        return made

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("language", ["ko", "en"])
@pytest.mark.parametrize("width", [360, 1280])
def test_pages_in_dollars_fit(language: str, width: int, visit: Callable[[str, int], Page]) -> None:
    debtor = make_debtor()
    made = visit(language, width)
    for path in (
        "",
        "invoices/",
        f"invoices/{debtor.invoice.number}/",
        f"invoices/{debtor.invoice.number}/lines/1/",
        f"credit-notes/{debtor.note.number}/",
        "balance/",
    ):
        made.goto(f"/c/dollar/{path}")
        inner, scroll = made.evaluate("[innerWidth, document.scrollingElement.scrollWidth]")
        assert scroll <= inner, f"{path} is {scroll} wide"
    made.goto(f"/c/dollar/invoices/{debtor.invoice.number}/")
    for row in made.locator("section[aria-labelledby=lines] tr").all():
        box = row.locator(":scope > :last-child").bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= width, row.inner_text()
