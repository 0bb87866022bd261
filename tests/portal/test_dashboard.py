"""홈: what the month costs so far, and plain words where it can't be said."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Customer
from tests.portal import factories
from tests.portal.factories import Cast, make_customer, make_usage, make_user, this_month

pytestmark = pytest.mark.django_db


def page(client: Client, path: str = "/c/acme/") -> str:
    """A page without the white space around its tags, every other run of it as one blank."""
    answer = client.get(path)
    assert answer.status_code == 200
    return re.sub(r"\s*(<[^>]*>)\s*", r"\1", " ".join(answer.content.decode().split()))


def logged_in(customer: Customer) -> Client:
    client = Client()
    client.force_login(make_user(email=f"someone@{customer.slug}.example", customers=(customer,)))
    return client


def test_amounts_of_the_running_month(cast: Cast, acme: Client) -> None:
    text = page(acme)
    assert '<p class="figure">$2.00<span class="rest"></span></p>' in text
    assert "<dt>공급가액</dt><dd>3,294원</dd>" in text  # 2 x 1,400 / 0.85 = 3,294.117...
    assert "<dt>부가세(10%)</dt><dd>329원</dd>" in text
    assert "<dt>결제 금액</dt><dd>3,623원</dd>" in text
    assert "확정 아님 (예상)" in text
    yesterday = factories.today() - timedelta(days=1)
    assert f"1 USD = 1,400.00원 (고시일 {yesterday}, 한국수출입은행)." in text
    assert "<dt>입력 토큰</dt><dd>1,000,000</dd>" in text
    assert "<dt>출력 토큰</dt><dd>250,000</dd>" in text
    assert "가격 확인 중" not in text


def test_the_same_in_english(cast: Cast, acme: Client) -> None:
    acme.cookies["django_language"] = "en"
    text = page(acme)
    assert "<dt>Supply value</dt><dd>₩3,294</dd>" in text
    assert "<dt>VAT (10%)</dt><dd>₩329</dd>" in text
    assert "<dt>Amount to pay</dt><dd>₩3,623</dd>" in text
    assert "Estimate, not final" in text


def test_usage_whose_price_is_being_checked_is_announced(cast: Cast, acme: Client) -> None:
    for number in range(2):
        make_usage(
            customer=cast.acme.customer, event_id=f"q{number}", occurred_at=this_month().start_at, model="x/unheard-of"
        )
    text = page(acme)
    assert "가격 확인 중인 사용 2건은 아직 포함되지 않았습니다." in text
    assert "3,623원" in text


def test_late_usage_of_last_month_is_in_the_sum_and_said(cast: Cast, acme: Client) -> None:
    make_usage(
        customer=cast.acme.customer, event_id="late", occurred_at=this_month().previous().start_at + timedelta(days=1)
    )
    text = page(acme)
    assert "$4.00" in text
    assert "이전 달 마감 뒤에 접수된 사용액 포함: $2.00" in text
    assert "<dd>6,588원</dd>" in text  # 4 x 1,400 / 0.85 = 6,588.23...


def test_without_a_rate_it_says_why_and_shows_no_won(db: None) -> None:
    factories.make_catalog()
    factories.make_seller()
    factories.set_margin(
        customer=None, margin=factories.MARGIN, effective_from=this_month().first_on, actor=factories.ACTOR
    )
    customer = make_customer(slug="norate", name="환율 없음", brn="2208162517")
    make_usage(customer=customer, event_id="1", occurred_at=this_month().start_at)
    text = page(logged_in(customer), "/c/norate/")
    assert "$2.00" in text
    assert "아직 원화 금액을 보여 드릴 수 없습니다." in text
    assert "이번 달에 적용할 환율이 아직 고시되지 않았습니다." in text
    assert "결제 금액" not in text
    assert "0원" not in text


def test_without_a_margin_it_says_why_and_shows_no_won(db: None) -> None:
    factories.make_catalog()
    factories.make_seller()
    factories.make_rate(rate_on=factories.today())
    customer = make_customer(slug="nomargin", name="요율 없음", brn="2208162517")
    make_usage(customer=customer, event_id="1", occurred_at=this_month().start_at)
    text = page(logged_in(customer), "/c/nomargin/")
    assert "계약 수수료율이 아직 등록되지 않았습니다. 담당자에게 문의해 주세요." in text
    assert "결제 금액" not in text


def test_contract_rate_and_daily_rate_are_named(cast: Cast) -> None:
    fixed = make_customer(
        slug="fixed", name="고정", brn="2208162517", exchange_rule="fixed", fixed_rate_krw_per_usd=Decimal("1350")
    )
    make_usage(customer=fixed, event_id="1", occurred_at=this_month().start_at)
    text = page(logged_in(fixed), "/c/fixed/")
    assert "1 USD = 1,350.00원 · 계약 환율" in text
    assert "<dt>공급가액</dt><dd>3,176원</dd>" in text  # 2 x 1,350 / 0.85 = 3,176.47...

    daily = make_customer(slug="daily", name="일별", brn="2208162517", exchange_rule="daily")
    make_usage(customer=daily, event_id="1", occurred_at=this_month().start_at)
    factories.make_rate(rate_on=this_month().first_on, rate=Decimal("1412.3"))
    first = this_month().first_on
    assert f"이용일별 매매기준율 적용. 최근 1 USD = 1,412.30원 (고시일 {first}, 한국수출입은행)." in page(
        logged_in(daily), "/c/daily/"
    )


def test_a_new_customer_sees_nothing_used_and_nothing_to_pay(db: None) -> None:
    factories.make_seller()
    customer = make_customer(slug="fresh", name="새싹")
    text = page(logged_in(customer), "/c/fresh/")
    assert "$0.00" in text
    assert "0원" in text
    assert "이번 달 사용 내역이 없습니다." in text
    assert "아직 발행된 청구서가 없습니다." in text
    assert "사업자 정보가 아직 등록되지 않아 청구서를 발행할 수 없습니다." in text
    assert "<svg" not in text


def test_a_suspended_and_an_ended_customer_are_told_so(cast: Cast, acme: Client) -> None:
    Customer.objects.filter(slug="acme").update(status="suspended")
    assert "서비스가 정지된 상태입니다." in page(acme)
    Customer.objects.filter(slug="acme").update(status="closed")
    assert "계약이 종료되었습니다." in page(acme)


def test_recent_invoices_are_listed(cast: Cast, acme: Client) -> None:
    text = page(acme)
    assert f'<a href="/c/acme/invoices/{cast.acme.invoice.number}/">{cast.acme.invoice.number}</a>' in text


def test_a_hostile_name_is_text(db: None) -> None:
    name = "<script>alert(1)</script>\"'&\u202e{{ 7|add:7 }}"
    customer = make_customer(slug="hostile", name=name)
    text = page(logged_in(customer), "/c/hostile/")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&amp;{{ 7|add:7 }}" in text
    assert "alert(1)</script>" not in text
    assert "\u202e" not in text


def test_several_companies_can_be_switched(cast: Cast, acme: Client) -> None:
    assert '<details class="switch">' not in page(acme)
    second = make_customer(slug="second", name="한빛 두번째")
    cast.acme.owner.memberships.create(customer=second)
    text = page(acme)
    assert '<details class="switch">' in text
    assert 'href="/c/second/"' in text


def test_the_page_needs_few_queries(cast: Cast, acme: Client, django_assert_max_num_queries: object) -> None:
    for number in range(5):
        make_usage(
            customer=cast.acme.customer,
            event_id=f"more{number}",
            occurred_at=max(this_month().start_at, timezone.now() - timedelta(hours=number)),
        )
    with django_assert_max_num_queries(22):
        page(acme)
