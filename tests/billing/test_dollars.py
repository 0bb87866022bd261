"""Invoices in US dollars: a contract says so, the won stay what they are, and everything says the same dollars."""

from __future__ import annotations

from decimal import Decimal

import pytest

from accounts.models import Customer
from billing.documents import InvoiceDocument
from billing.models import Invoice
from billing.selectors.bills import month_bill
from billing.selectors.drafts import bill_digest
from tests.billing.money import amounts, broken_checks
from tests.billing.month import DOLLAR, OCTOBER, close, open_house, tenant, use

pytestmark = pytest.mark.django_db


@pytest.fixture
def gaon() -> Customer:
    """Dollars at 1,400 and 15 %: USD 1 of usage is 1,647 + 165 = 1,812 won, 1.18 + 0.12 = 1.30 dollars."""
    open_house()
    return tenant(invoice_currency="USD")


def document_of(invoice: Invoice) -> InvoiceDocument:
    return InvoiceDocument.from_json(invoice.document or {})


def in_dollars(invoice: Invoice) -> tuple[str, str, str]:
    return str(invoice.supply_usd), str(invoice.vat_usd), str(invoice.total_usd)


def test_the_invoice_says_its_won_in_dollars(gaon: Customer) -> None:
    use(gaon, DOLLAR)
    close()
    invoice = Invoice.objects.get()
    assert amounts(invoice) == (1647, 165, 1812)
    assert (invoice.currency, *in_dollars(invoice), str(invoice.due_usd)) == ("USD", "1.18", "0.12", "1.30", "1.30")
    document = document_of(invoice)
    assert (invoice.document or {})["dollars"] == {
        "supply_usd": "1.18",
        "vat_usd": "0.12",
        "total_usd": "1.30",
        "bank_account": "",
    }
    assert [line.amount_usd for line in document.lines] == [Decimal("1.18")]
    assert document.due_usd == Decimal("1.30")
    assert (invoice.tax_invoice.supply_krw, invoice.tax_invoice.vat_krw) == (1647, 165)
    assert broken_checks() == {}


def test_a_contract_in_won_says_no_dollars() -> None:
    open_house()
    use(tenant(), DOLLAR)
    close()
    invoice = Invoice.objects.get()
    assert (invoice.currency, invoice.supply_usd, invoice.vat_usd, invoice.total_usd, invoice.due_usd) == (
        "KRW", None, None, None, None,
    )  # fmt: skip
    assert "dollars" not in (invoice.document or {})
    assert "amount_usd" not in (invoice.document or {})["lines"][0]


def test_a_draft_that_was_approved_in_won_is_not_issued_in_dollars(gaon: Customer) -> None:
    use(gaon, DOLLAR)
    in_usd = bill_digest(month_bill(gaon, OCTOBER))
    gaon.invoice_currency = "KRW"
    assert bill_digest(month_bill(gaon, OCTOBER)) != in_usd
