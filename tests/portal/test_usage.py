"""사용량: by day and by model, in Korean days, with sums that agree."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client

from tests.portal.factories import Cast, make_usage, this_month
from tests.portal.test_dashboard import page
from usage.periods import BillingMonth

pytestmark = pytest.mark.django_db


@pytest.fixture
def last_month(cast: Cast) -> BillingMonth:
    """Beside the USD 2 of the cast: an awkward fraction, another model, both edges of the month."""
    month, acme = this_month().previous(), cast.acme.customer
    make_usage(customer=acme, event_id="a", occurred_at=month.start_at, prompt=7, cached=3, completion=1)
    make_usage(
        customer=acme,
        event_id="b",
        occurred_at=month.end_at - timedelta(seconds=1),
        model="anthropic/claude-sonnet-4.5",
        prompt=1_234_567,
        cached=4_321,
        completion=89,
    )
    make_usage(customer=acme, event_id="before", occurred_at=month.start_at - timedelta(seconds=1))
    return month


def cells(text: str) -> list[list[str]]:
    """Every table row as the texts of its cells."""
    rows = re.findall(r"<tr.*?>(.*?)</tr>", text)
    return [
        [" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row)]
        for row in rows
    ]


def test_days_and_models_add_up_to_the_same(last_month: BillingMonth, acme: Client) -> None:
    rows = cells(page(acme, f"/c/acme/usage/?month={last_month}"))
    # 7 tokens, 3 of them cached: 4 x 0.000001 + 3 x 0.0000001 + 1 x 0.000004 = 0.0000083, shown to six decimals.
    # The digit that rounding leaves over goes to the first of equals, in each table.
    # 1,230,246 x 0.000003 + 4,321 x 0.0000003 + 89 x 0.000015 = 3.6933693
    total = ["합계", "3", "2,234,574", "4,324", "250,090", "5.693378"]
    assert rows.count(total) == 3
    assert ["Claude Sonnet 4.5 anthropic/claude-sonnet-4.5", "1", "1,234,567", "4,321", "89", "3.693370"] in rows
    assert ["GPT-5 mini openai/gpt-5-mini", "2", "1,000,007", "3", "250,001", "2.000008"] in rows
    assert [str(last_month.first_on), "1", "7", "3", "1", "0.000009"] in rows
    assert [str(last_month.last_on), "1", "1,234,567", "4,321", "89", "3.693369"] in rows


def test_the_second_before_midnight_in_korea_belongs_to_the_month_before(
    last_month: BillingMonth, acme: Client
) -> None:
    rows = cells(page(acme, f"/c/acme/usage/?month={last_month.previous()}"))
    assert [str(last_month.previous().last_on), "1", "1,000,000", "0", "250,000", "2.00"] in rows


def test_this_month_is_the_default_and_earlier_ones_can_be_chosen(last_month: BillingMonth, acme: Client) -> None:
    text = page(acme, "/c/acme/usage/")
    month = this_month()
    assert re.findall(r'<option value="([0-9-]+)"', text) == [
        str(month),
        str(month.previous()),
        str(month.previous().previous()),
    ]
    assert f'<option value="{month}" selected>' in text
    chosen = page(acme, f"/c/acme/usage/?month={month.previous()}")
    assert f'<option value="{month.previous()}" selected>' in chosen


def test_a_month_without_usage_says_so(cast: Cast, acme: Client) -> None:
    text = page(acme, "/c/acme/usage/?month=2026-01")
    assert "2026년 1월에는 사용 내역이 없습니다." in text
    assert "<table" not in text
    assert '<option value="2026-01" selected>' in text


@pytest.mark.parametrize(
    "month", ["2026-13", "2026-1", "x", "２０２６-０１", "9999-01", "1999-12", "2026-01-01", "\x00"]
)
def test_what_is_no_month_is_not_found(month: str, acme: Client) -> None:
    assert acme.get("/c/acme/usage/", {"month": month}).status_code == 404


def test_next_month_does_not_exist_yet(acme: Client) -> None:
    assert acme.get(f"/c/acme/usage/?month={this_month().next()}").status_code == 404


def test_usage_whose_price_is_being_checked_is_announced_in_its_month(cast: Cast, acme: Client) -> None:
    make_usage(customer=cast.acme.customer, event_id="q", occurred_at=this_month().start_at, model="x/unheard-of")
    assert "가격 확인 중인 사용 1건은 아직 포함되지 않았습니다." in page(acme, "/c/acme/usage/")
    assert "가격 확인 중" not in page(acme, f"/c/acme/usage/?month={this_month().previous()}")


def test_every_bar_is_a_row_of_the_table(last_month: BillingMonth, acme: Client) -> None:
    text = page(acme, f"/c/acme/usage/?month={last_month}")
    assert text.count("<rect ") == 3
    assert '<svg class="plot"' in text
    assert 'role="img"' in text
    assert f"{last_month.last_on.year}년 {last_month.last_on.month}월 {last_month.last_on.day}일 · $3.693369" in text
