"""산출 근거: a line's won on a page, down to its requests, and the file of all of them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.test import Client

from billing.margins import Basis
from billing.selectors.statements import statement_digest
from billing.services.margins import set_margin
from billing.statements import read_statement
from tests.billing.month import LATER, NOVEMBER, OCTOBER, close, open_house, tenant, use
from tests.portal.factories import Cast, make_user
from tests.portal.test_dashboard import page
from tests.portal.test_usage import cells
from usage.periods import BillingMonth

pytestmark = pytest.mark.django_db


def test_every_step_from_the_request_to_the_won(cast: Cast, acme: Client) -> None:
    invoice = cast.acme.invoice
    path = f"/c/acme/invoices/{invoice.number}/lines/1/"
    assert f'href="{path}"' in page(acme, f"/c/acme/invoices/{invoice.number}/")
    text = page(acme, path)
    assert "2.00 × 1,400.00 = 2,800" in text
    assert "2,800 ÷ (1 − 15%) = 3,294.1176…" in text
    assert '<span class="strong">3,294원</span>' in text
    assert '3,294.1176… →<span class="strong">3,294원</span>(원 미만 반올림: 3,294 + 0)' in text
    rows = cells(text)
    prices = "입력 $1.00/M 출력 $4.00/M 캐시 읽기 $0.10/M"
    assert ["2026-01-01 00:00 KST", prices, "1", "1,000,000", "250,000", "2.00"] in rows
    [event] = [row for row in rows if row[-1] == "3,294.1176…"]
    assert event[1:4] == ["last", "입력 1,000,000 × $1.00/M + 출력 250,000 × $4.00/M", "2.00"]


def test_what_is_no_line_or_no_page_is_not_found(cast: Cast, acme: Client) -> None:
    assert acme.get(f"/c/acme/invoices/{cast.acme.invoice.number}/lines/1/?after=zzz").status_code == 404
    assert acme.get(f"/c/acme/invoices/{cast.acme.invoice.number}/lines/9/").status_code == 404


def test_nobody_sees_another_customers_lines(cast: Cast, acme: Client) -> None:
    number = cast.globex.invoice.number
    for path in (f"{number}/lines/1/", f"{number}.ndjson"):
        assert acme.get(f"/c/acme/invoices/{path}").status_code == 404
        assert acme.get(f"/c/{cast.globex.customer.slug}/invoices/{path}").status_code == 404


def test_the_file_is_the_statement_of_the_month(cast: Cast, acme: Client) -> None:
    invoice = cast.acme.invoice
    answer = acme.get(f"/c/acme/invoices/{invoice.number}.ndjson")
    statement = read_statement(b"".join(answer.streaming_content).splitlines(keepends=True))
    month = BillingMonth(invoice.month.year, invoice.month.month)
    assert (statement.head.events, statement.digest) == statement_digest(invoice.customer, month)


def test_lines_that_sell_on_terms_of_their_own(client: Client) -> None:
    """USD 1 at 15 %, USD 0.5 at 30 %, both at 1,400; and the same contract on the higher of both costs in November."""
    open_house()
    gaon = tenant("gaon")
    client.force_login(make_user(email="kim@gaon.example", customers=(gaon,)))
    set_margin(customer=None, margin=Decimal("0.3"), family="acme/c", effective_from=OCTOBER.first_on, actor="tests")
    use(gaon, 1_000_000)
    use(gaon, 50_000_000, model="acme/cent")
    close()
    number = "INV-202610-0001"
    text = " ".join(page(client, f"/c/gaon/invoices/{number}/").split())
    assert "<dt>수수료율 30%</dt><dd>Acme: Cent<br>0.50 × 1,400.00 ÷ (1 − 30%) = 1,000<" in text
    assert "1.00 × 1,400.00 ÷ (1 − 15%) = 1,647.0588…" in text
    assert '위 금액의 합계 2,647.0588… →<span class="strong">2,647원</span>' in text
    text = " ".join(page(client, f"/c/gaon/invoices/{number}/lines/1/").split())
    assert "700 ÷ (1 − 30%) = 1,000" in text

    set_margin(
        customer=gaon, margin=Decimal("0.2"), basis=Basis.HIGHER, effective_from=NOVEMBER.first_on, actor="tests"
    )
    use(gaon, 1_000_000, at="2026-11-05T12:00:00+09:00", now=LATER)
    close(NOVEMBER, now=LATER)
    number = "INV-202611-0001"
    text = " ".join(page(client, f"/c/gaon/invoices/{number}/").split())
    assert "(요청별로 정가와 공급사 청구액 중 높은 금액 기준)" in text
    text = " ".join(page(client, f"/c/gaon/invoices/{number}/lines/1/").split())
    assert "1.00, 요청 1건의 합계 (요청별로 정가와 공급사 청구액 중 높은 금액)" in text
