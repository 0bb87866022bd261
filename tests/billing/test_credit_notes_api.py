"""The credit notes API: what was taken off, as it was issued, and nobody else's."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from billing.models import CreditNote, Invoice
from billing.services.crediting import issue_credit_note
from tests.billing.factories import ACTOR
from tests.billing.month import DOLLAR, LATER, close, open_house, tenant, use
from tests.usage_api.asking import asked, get, key_of, refused

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("mail_dir")]

NOTES = "/billing/v1/credit-notes"


@pytest.fixture
def invoice(db: None) -> Invoice:
    """824 (acme/cent, line 1) + 1,647 = 2,471, VAT 247."""
    open_house()
    customer = tenant()
    use(customer, DOLLAR)
    use(customer, 50 * DOLLAR, model="acme/cent")
    close()
    return Invoice.objects.get()


def credit(invoice: Invoice, amounts: dict[int, int], *, days: int = 0) -> CreditNote:
    return issue_credit_note(
        invoice=invoice,
        amounts_krw=amounts,
        amendment_code="02",
        reason="계량 오류",
        actor=ACTOR,
        now=LATER + timedelta(days=days),
    )


def won(amount: int) -> dict[str, str]:
    return {"amount": str(amount), "currency": "KRW"}


def test_one_note_says_what_it_takes_off(invoice: Invoice) -> None:
    credit(invoice, {1: 324})
    note = credit(invoice, {1: 500, 2: 100}, days=1)
    secret, _ = key_of(invoice.customer)
    answer = asked(secret, f"{NOTES}/{note.number}")
    assert answer == {
        "number": "CN-202612-0002",
        "invoice": "INV-202610-0001",
        "month": "2026-10",
        "issued_on": "2026-12-03",
        "amendment_code": "02",
        "reason": "계량 오류",
        "supply": won(600),
        "vat": won(60),
        "total": won(660),
        "invoice_issued_on": "2026-11-02",
        "invoice_total": won(2718),
        "credited_before": won(356),
        "invoice_left": won(1702),
        "dollars": None,
        "lines": [
            {
                "position": position,
                "month": "2026-10",
                "model": model,
                "model_name": name,
                "billed": won(billed),
                "credited_before": won(before),
                "supply": won(supply),
                "vat": won(vat),
            }
            for position, model, name, billed, before, supply, vat in (
                (1, "acme/cent", "Acme: Cent", 824, 324, 500, 50),
                (2, "acme/dollar", "Acme: Dollar", 1647, 0, 100, 10),
            )
        ],
        "tax_invoices": [
            {
                "status": "queued",
                "approval_number": None,
                "written_on": "2026-12-03",
                "deadline_on": "2027-01-11",
                "supply": won(-600),
                "vat": won(-60),
            }
        ],
    }


def test_the_list_is_paged_newest_first(invoice: Invoice) -> None:
    numbers = [credit(invoice, {1: 10}, days=days).number for days in (0, 0, 1, 2)]
    secret, _ = key_of(invoice.customer)
    seen: list[str] = []
    query = "?limit=3"
    while True:
        page = asked(secret, NOTES + query)
        seen += [row["number"] for row in page["rows"]]
        if page["next_cursor"] is None:
            break
        query = f"?limit=3&cursor={page['next_cursor']}"
    assert seen == numbers[::-1]
    assert [row["number"] for row in asked(secret, f"{NOTES}?invoice={invoice.number}")["rows"]] == seen
    assert refused(secret, f"{NOTES}?cursor=x")[:2] == (400, "invalid_input")
    assert refused(secret, f"{NOTES}?invoice=INV-1")[:2] == (404, "not_found")
    assert refused(secret, f"{NOTES}?month=2026-10")[:2] == (400, "invalid_input")


def test_the_pdf_is_the_one_that_is_mailed(invoice: Invoice) -> None:
    note = credit(invoice, {1: 10})
    pdf: Any = get(key_of(invoice.customer)[0], f"{NOTES}/{note.number}/pdf")
    assert pdf["Content-Type"] == "application/pdf"
    assert pdf.content == bytes(note.pdf.content)
    assert pdf["Cache-Control"] == "private, no-store"
    assert "CN-202612-0001.pdf" in pdf["Content-Disposition"]


def test_nobody_sees_another_customers_notes(invoice: Invoice) -> None:
    note = credit(invoice, {1: 10})
    secret, _ = key_of(tenant("naru"))
    assert asked(secret, NOTES) == {"rows": [], "next_cursor": None}
    for path in ("", "/pdf"):
        assert refused(secret, f"{NOTES}/{note.number}{path}") == (404, "not_found", "number")
    assert refused(secret, f"{NOTES}?invoice={invoice.number}") == (404, "not_found", "number")
