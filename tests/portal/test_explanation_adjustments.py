"""산출 근거 of what stands behind the usage: discounts, a minimum of a part of the month, credits, in won and dollars."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date

import pytest
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page
from pytest_django.live_server_helper import LiveServer

from accounts.models import Customer
from billing.models import Invoice
from tests.billing.money import at_least, billed, cut, grant, plain_house, spend
from tests.billing.month import tenant
from tests.portal.factories import PASSWORD, make_user
from tests.portal.test_dashboard import page
from tests.portal.test_usage import cells

EMAIL = "kim@gaon.example"


def make_invoice(customer: Customer) -> Invoice:
    """Usage of 40,003 and 60,002 won, a tenth and 5,000 off, 1,000,000 at least from the 17th on, two credits."""
    cut(customer, share="0.1")
    cut(customer, won=5_000, name="파트너 할인", models=["acme/dollar"], first=date(2026, 9, 1))
    at_least(customer, 1_000_000, first=date(2026, 10, 17))
    grant(customer, 15_000, last=date(2026, 10, 10), name="체험 크레딧")
    grant(customer, 30_005, last=date(2026, 12, 31), models=["acme/dollar"], name="장애 보상")
    spend(customer, 40_003, model="acme/cent", at="2026-10-05T12:00:00+09:00")
    spend(customer, 20_002, at="2026-10-05T12:00:00+09:00")
    spend(customer, 40_000, at="2026-10-25T12:00:00+09:00")
    return billed(customer)


def make_house() -> tuple[Invoice, Invoice]:
    """The same contract in won and in dollars, at 1,000 won each."""
    gaon, dollar = plain_house(), tenant("dollar", invoice_currency="USD")
    make_user(email=EMAIL, customers=(gaon, dollar))
    return make_invoice(gaon), make_invoice(dollar)


@pytest.fixture
def invoices(db: None) -> tuple[Invoice, Invoice]:
    return make_house()


@pytest.fixture
def client(invoices: tuple[Invoice, Invoice]) -> Client:
    made = Client()
    made.force_login(invoices[0].customer.memberships.get().user)
    return made


def path_of(invoice: Invoice, position: int) -> str:
    return f"/c/{invoice.customer.slug}/invoices/{invoice.number}/lines/{position}/"


def text_of(client: Client, invoice: Invoice, position: int, *, language: str = "ko") -> str:
    client.cookies["django_language"] = language
    return page(client, path_of(invoice, position))


def test_every_line_of_the_invoice_leads_to_its_reckoning(invoices: tuple[Invoice, Invoice], client: Client) -> None:
    invoice, _ = invoices
    kinds = list(invoice.lines.order_by("position").values_list("kind", "amount_krw"))
    assert kinds == [
        ("usage", 40_003),
        ("usage", 60_002),
        ("discount", -10_001),
        ("discount", -5_000),
        ("minimum", 398_867),
        ("promotion", -15_000),
        ("promotion", -30_005),
    ]
    text = page(client, f"/c/gaon/invoices/{invoice.number}/")
    for position in range(1, 8):
        assert f'href="{path_of(invoice, position)}"' in text
        assert client.get(path_of(invoice, position)).status_code == 200
    assert client.get(path_of(invoice, 8)).status_code == 404


def test_a_share(invoices: tuple[Invoice, Invoice], client: Client) -> None:
    text = text_of(client, invoices[0], 3)
    for words in (
        "<h1>할인 · 약정 할인</h1>",
        "이용요금의 10% · 모든 모델 · 2026년 10월 이용분부터",
        "100,005원 (아래 항목의 할인 전 공급가액 합계)",
        "100,005 × 10% = 10,000.5",
        '10,000.5 →<span class="strong">10,001원</span>(원 미만 반올림: 10,000 + 1)',
        '<span class="strong">−10,001원</span>',
    ):
        assert words in text, words
    assert cells(text)[1:] == [
        ["Acme: Cent", "40,003", "4,000.3", "4,001"],
        ["Acme: Dollar", "60,002", "6,000.2", "6,000"],
        ["합계", "100,005", "10,000.5", "10,001"],
    ]


def test_won_a_month_after_a_share(invoices: tuple[Invoice, Invoice], client: Client) -> None:
    text = text_of(client, invoices[0], 4)
    for words in (
        "월 5,000원 · acme/dollar · 2026년 9월 이용분부터",
        "60,002원 (아래 항목의 할인 전 공급가액 합계)<br>먼저 적용된 할인을 뺀 금액 54,002원",
        "원 미만 끝수가 없습니다.",
    ):
        assert words in text, words
    assert cells(text)[1] == ["Acme: Dollar", "60,002", "54,002", "5,000", "5,000"]
    english = text_of(client, invoices[0], 4, language="en")
    assert "₩5,000 a month · acme/dollar · since September 2026" in english
    usage = text_of(client, invoices[0], 2)
    assert f'−6,000원 ·<a href="{path_of(invoices[0], 3)}">약정 할인</a>' in usage


def test_a_minimum_of_a_part_of_the_month(invoices: tuple[Invoice, Invoice], client: Client) -> None:
    text = text_of(client, invoices[0], 5)
    for words in (
        "<h1>최소 이용 금액 차액</h1>",
        "2026-10-17 ~ 2026-10-31, 해당 월 31일 중 15일:",
        '<span class="keep">1,000,000 × 15 ÷ 31</span>= 483,870.9677…',
        '483,870.9677… →<span class="strong">483,871원</span>(원 미만 반올림: 483,870 + 1)',
        "100,005 − 15,001 (할인) = 85,004원",
        '483,871 − 85,004 =<span class="strong">398,867원</span>',
    ):
        assert words in text, words
    english = text_of(client, invoices[0], 5, language="en")
    assert "2026-10-17 to 2026-10-31, 15 of the month's 31 days:" in english


def test_two_credits(invoices: tuple[Invoice, Invoice], client: Client) -> None:
    """Of 5 October the first pays 15,000 of the first line's 34,002; the other has 49,002 won of the second to pay."""
    first = text_of(client, invoices[0], 6)
    for words in (
        "<h1>프로모션 크레딧 · 체험 크레딧</h1>",
        "2026-10-01 ~ 2026-10-10 이용분 · 모든 모델",
        "<dt>적용 전 잔액</dt><dd>15,000원</dd>",
        '잔액 전부 →<span class="strong">−15,000원</span>',
        "15,000 − 15,000 = 0원",
        "공급가액에서 차감: 483,871 − 15,000 = 468,871원",
        "세액 48,387 → 46,887 (1,500원 감소)",
    ):
        assert words in first, words
    assert cells(first)[1] == ["Acme: Cent", "40,003", "36,002", "36,002", "15,000"]

    second = text_of(client, invoices[0], 7)
    assert "2026-10-01 ~ 2026-12-31 이용분 · acme/dollar" in second
    assert "세액 46,887 → 43,887 (3,000원 감소)" in second
    rows = cells(second)
    assert rows[1] == ["Acme: Dollar", "60,002", "49,002", "49,002", "30,005"]
    # 49,002 won by 20,002 and 40,000 of usage: 16,335.3 and 32,666.7.
    assert rows[-2:] == [["2026-10-05", "16,335", "16,335"], ["2026-10-25", "32,667", "13,670"]]


def test_in_dollars(invoices: tuple[Invoice, Invoice], client: Client) -> None:
    """Supply of 438,866 won is US$438.87; each line says its share of it."""
    shown = {
        3: '−10,001 ÷ 1,000.00, 공급가액 US$438.87 가운데 이 항목의 몫 →<span class="strong keep">−US$10.00</span>',
        5: '398,867 ÷ 1,000.00, 공급가액 US$438.87 가운데 이 항목의 몫 →<span class="strong keep">US$398.87</span>',
        7: '−30,005 ÷ 1,000.00, 공급가액 US$438.87 가운데 이 항목의 몫 →<span class="strong keep">−US$30.00</span>',
    }
    for position, words in shown.items():
        assert words in text_of(client, invoices[1], position)


@pytest.fixture
def visit(live_server: LiveServer, chromium: Browser) -> Iterator[Callable[[str, int], Page]]:
    """Opens the pages of both customers."""
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
        made.get_by_label({"ko": "이메일", "en": "E-mail"}[language]).fill(EMAIL)
        made.get_by_label({"ko": "비밀번호", "en": "Password"}[language]).fill(PASSWORD)
        made.keyboard.press("Enter")
        made.wait_for_url("**/c/**")
        return made

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("language", ["ko", "en"])
@pytest.mark.parametrize("width", [360, 1280])
def test_explanations_fit(language: str, width: int, visit: Callable[[str, int], Page]) -> None:
    invoices = make_house()
    made = visit(language, width)
    for invoice in invoices:
        for position in range(1, 8):
            made.goto(path_of(invoice, position))
            inner, scroll = made.evaluate("[innerWidth, document.scrollingElement.scrollWidth]")
            assert scroll <= inner, f"line {position} is {scroll} wide"
