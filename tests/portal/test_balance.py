"""잔액: what is owed, ahead and free, and the month's movements, as a customer reads them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from billing.services.granting import grant_credit
from billing.services.paying import top_up
from tests.portal.factories import Cast, this_month
from tests.portal.test_dashboard import page
from tests.portal.test_usage import cells

pytestmark = pytest.mark.django_db


def test_the_page_shows_what_is_owed_ahead_and_free(cast: Cast, acme: Client) -> None:
    customer, now = cast.acme.customer, timezone.now()
    top_up(
        customer=customer, reference="b-1", received_at=now, amount_krw=50_000, depositor_name="", actor="t", now=now
    )
    grant_credit(
        customer=customer,
        name="첫 달 무료",
        amount_krw=30_000,
        valid_from=this_month().first_on,
        expires_on=this_month().last_on + timedelta(days=30),
        reason="비밀",
        actor="t",
        now=now,
    )
    text = page(acme, "/c/acme/balance/")
    due = cast.acme.invoice.total_krw
    for shown in (
        f"{due:,}원",
        cast.acme.invoice.number,
        "50,000원",
        "첫 달 무료",
        "30,000원 / 30,000원",
        "남은 금액 / 부여액",
        "단위는 원",
    ):
        assert shown in text
    assert "비밀" not in text
    today = timezone.localdate().isoformat()
    rows = cells(text)
    assert rows[0] == ["날짜", "항목", "청구번호", "청구", "입금·차감", "미납", "선납금", "잔액"]
    assert rows[1][1:] == ["이월", "", "", "", f"{due:,}", "0", f"{due:,}"]
    assert rows[2] == [today, "입금", "", "", "50,000", f"{due:,}", "0", "−46,377"]
    assert rows[3] == [today, "선납금 충전", "", "", "", f"{due:,}", "50,000", "−46,377"]


def test_the_file_holds_the_months_movements(cast: Cast, acme: Client) -> None:
    month = this_month().previous()
    answer = acme.get(f"/c/acme/balance/statement.csv?month={month}")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    lines = answer.content.decode("utf-8-sig").splitlines()
    invoice = cast.acme.invoice
    total = invoice.total_krw
    assert lines[1:] == [f"{month.last_on},invoice_issued,{invoice.number},{total},0,{total},0,0,{total},,0"]


@pytest.mark.parametrize("month", ["2999-01", "x", "2026-13", "2000-12"])
def test_a_month_that_is_none_is_not_found(acme: Client, cast: Cast, month: str) -> None:
    assert acme.get(f"/c/acme/balance/?month={month}").status_code == 404
