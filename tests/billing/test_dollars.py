"""Invoices in US dollars: a contract says so, the won stay what they are, and everything says the same dollars."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from pypdf import PdfReader

from accounts.models import Customer, SellerProfile
from accounts.services import add_seller_profile
from billing.documents import InvoiceDocument
from billing.models import CreditNote, Invoice
from billing.notes import CreditNoteDocument
from billing.pdf import render_invoice
from billing.selectors.bills import month_bill
from billing.selectors.drafts import bill_digest
from billing.services.allocating import allocate_payment, write_off_invoice
from billing.services.crediting import issue_credit_note, reissue_invoice, void_invoice
from tests.billing.commands import run
from tests.billing.factories import ACTOR, SELLER
from tests.billing.money import amounts, at_least, billed, broken_checks, cut, deposit, grant, prepay, zero_rate
from tests.billing.month import DOLLAR, LATER, NOW, OCTOBER, close, open_house, tenant, use
from tests.usage_api.asking import asked, get, key_of

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


def credit(invoice: Invoice, won_by_line: dict[int, int], *, code: str = "01") -> CreditNote:
    return issue_credit_note(
        invoice=invoice, amounts_krw=won_by_line, amendment_code=code, reason="계량 오류", actor=ACTOR, now=LATER
    )


def usd(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "USD"}


def said(note: CreditNote) -> tuple[str, str, str]:
    """What a note says in dollars: before it, its own, and what it leaves."""
    dollars = CreditNoteDocument.from_json(note.document).dollars
    assert dollars is not None
    return str(dollars.before_usd), str(dollars.total_usd), str(dollars.left_usd)


@pytest.fixture
def two_lines(gaon: Customer) -> Invoice:
    """824 (acme/cent) + 1,647 = 2,471, VAT 247: 1.765, half a cent up, and 0.176 dollars are 1.77 + 0.18 = 1.95."""
    use(gaon, DOLLAR)
    use(gaon, 50 * DOLLAR, model="acme/cent")
    made = billed(gaon)
    assert (amounts(made), in_dollars(made)) == ((2471, 247, 2718), ("1.77", "0.18", "1.95"))
    return made


def test_lines_add_up_to_the_cent(two_lines: Invoice) -> None:
    # 58.86 and 117.64 cents: the two missing of 177 go to both.
    assert [line.amount_usd for line in document_of(two_lines).lines] == [Decimal("0.59"), Decimal("1.18")]


def test_what_is_left_in_dollars_follows_the_won(two_lines: Invoice, gaon: Customer) -> None:
    """Won that pay it, notes and write-offs need no dollars of their own."""
    allocate_payment(payment=deposit(1000, customer=gaon), invoice=two_lines, actor=ACTOR, now=NOW)
    two_lines.refresh_from_db()
    assert (two_lines.due_krw, str(two_lines.due_usd)) == (1718, "1.23")  # 1.95 x 1,718 / 2,718 = 1.2326
    write_off_invoice(invoice=two_lines, amount_krw=1717, reason="수수료", actor=ACTOR, now=LATER)
    two_lines.refresh_from_db()
    assert (two_lines.due_krw, str(two_lines.due_usd)) == (1, "0.00")
    assert broken_checks() == {}


def test_credit_notes_come_to_the_dollars_of_the_invoice(two_lines: Invoice) -> None:
    """500 + 50 won leave 2,168 of 2,718: 1.95 x 2,168 / 2,718 = 1.5554."""
    first = credit(two_lines, {1: 500})
    assert (first.total_krw, said(first)) == (550, ("0.00", "0.39", "1.56"))
    two_lines.refresh_from_db()
    assert str(two_lines.due_usd) == "1.56"
    last = credit(two_lines, {1: 324, 2: 1647}, code="04")
    assert (last.total_krw, said(last)) == (2168, ("0.39", "1.56", "0.00"))
    two_lines.refresh_from_db()
    assert (two_lines.status, str(two_lines.due_usd)) == ("paid", "0.00")
    assert broken_checks() == {}


def test_a_note_on_an_invoice_in_won_says_no_dollars() -> None:
    open_house()
    won = tenant()
    use(won, DOLLAR)
    assert "dollars" not in credit(billed(won), {1: 1}).document


def test_what_is_issued_anew_is_in_the_currency_of_the_contract(two_lines: Invoice, gaon: Customer) -> None:
    void_invoice(invoice=two_lines, reason="상호 오류", actor=ACTOR, now=LATER)
    again = reissue_invoice(invoice=two_lines, actor=ACTOR, now=LATER)
    assert (again.currency, in_dollars(again)) == ("USD", ("1.77", "0.18", "1.95"))
    assert str(two_lines.due_usd) == "0.00"
    gaon.invoice_currency = "KRW"
    gaon.save()
    void_invoice(invoice=again, reason="원화 계약", actor=ACTOR, now=LATER)
    in_won = reissue_invoice(invoice=Invoice.objects.get(pk=again.pk), actor=ACTOR, now=LATER)
    assert (in_won.currency, in_won.total_usd, amounts(in_won)) == ("KRW", None, (2471, 247, 2718))
    assert broken_checks() == {}


def test_everything_behind_the_usage_is_in_dollars_too(gaon: Customer) -> None:
    """USD 10 are 16,471 won: less 10 % 1,647, to the minimum of 20,000 5,176 more, less 3,000 of credit: 17,000, 1,700."""
    cut(gaon, share="0.1")
    at_least(gaon, 20_000)
    grant(gaon, 3_000)
    use(gaon, 10 * DOLLAR)
    invoice = billed(gaon)
    assert (amounts(invoice), in_dollars(invoice)) == ((17_000, 1_700, 18_700), ("12.14", "1.21", "13.35"))
    lines = [(line.kind, line.amount_krw, str(line.amount_usd)) for line in document_of(invoice).lines]
    # 1,176.5, -117.643, 369.714 and -214.286 cents: floors of 1,212, and the two missing of 1,214 to .714 and .714.
    assert lines == [
        ("usage", 16_471, "11.76"),
        ("discount", -1_647, "-1.18"),
        ("minimum", 5_176, "3.70"),
        ("promotion", -3_000, "-2.14"),
    ]
    assert broken_checks() == {}


def test_a_month_that_is_given_away_has_no_dollars_to_pay(gaon: Customer) -> None:
    grant(gaon, 5_000)
    use(gaon, DOLLAR)
    invoice = billed(gaon)
    assert (invoice.status, in_dollars(invoice), str(invoice.due_usd)) == ("paid", ("0.00", "0.00", "0.00"), "0.00")
    assert "납부하실 금액이 없습니다." in printed(invoice)


def test_a_zero_rated_month_has_no_vat_in_dollars(gaon: Customer) -> None:
    zero_rate(gaon)
    use(gaon, DOLLAR)
    invoice = billed(gaon)
    assert (amounts(invoice), in_dollars(invoice)) == ((1647, 0, 1647), ("1.18", "0.00", "1.18"))
    assert "부가세(영세율)" in printed(invoice)
    assert broken_checks() == {}


def printed(invoice: Invoice) -> str:
    pages = PdfReader(io.BytesIO(render_invoice(document_of(invoice)))).pages
    return " ".join("".join(page.extract_text() for page in pages).split())


def test_paper_and_api_say_the_same_dollars(gaon: Customer) -> None:
    seller = SellerProfile.objects.get()
    account = "한빛은행 국제금융센터 (SWIFT HNBKKRSE), 100-027-500123 (USD)"
    add_seller_profile(
        valid_from=NOW.date(), actor=ACTOR, **SELLER | {"phone": seller.phone, "bank_account_usd": account}
    )
    prepay(gaon, 1_000)
    use(gaon, DOLLAR)
    secret, _ = key_of(gaon)
    preview = asked(secret, "/billing/v1/invoices/preview", month="2026-10")
    dollars = {"supply": usd("1.18"), "vat": usd("0.12"), "total": usd("1.30")}
    assert (preview["currency"], preview["dollars"]) == ("USD", dollars)
    invoice = billed(gaon)
    # 812 of 1,812 won are left: 1.30 x 812 / 1,812 = 0.5826.
    whole = asked(secret, f"/billing/v1/invoices/{invoice.number}")
    assert (whole["currency"], whole["dollars"]) == ("USD", dollars | {"due": usd("0.58")})
    assert [line["supply_usd"] for line in whole["lines"]] == [usd("1.18")]
    assert [line["supply_usd"] for line in preview["lines"]] == [usd("1.18")]
    (row,) = asked(secret, "/billing/v1/invoices")["rows"]
    assert row["dollars"] == whole["dollars"]
    explained = asked(secret, f"/billing/v1/invoices/{invoice.number}/lines/1/explain")
    assert explained["line"]["supply_usd"] == usd("1.18")
    csv = get(secret, f"/billing/v1/invoices/{invoice.number}/csv").content.decode("utf-8-sig").splitlines()
    assert [line.rpartition(",")[2] for line in csv] == ["supply_usd", "1.18", "1.18"]
    page = printed(invoice)
    for words in ("US$1.18", "US$0.12", "US$1.30", "US$0.58", "₩1,812", "₩812", "1 USD = 1,400.00원", account):
        assert words in page
    note = credit(invoice, {1: 1_647}, code="04")
    answer = asked(secret, f"/billing/v1/credit-notes/{note.number}")
    assert answer["dollars"] == {
        "total": usd("1.30"),
        "invoice_total": usd("1.30"),
        "credited_before": usd("0.00"),
        "invoice_left": usd("0.00"),
    }


def test_the_close_names_dollars_before_and_after(gaon: Customer) -> None:
    use(gaon, DOLLAR)
    dollars = {"currency": "USD", "supply_usd": "1.18", "vat_usd": "0.12", "total_usd": "1.30"}
    for arguments in (["2026-10", "--preview"], ["2026-10"]):
        code, answer = run("close_month", *arguments)
        assert code == 0
        (invoice,) = answer["invoices"]
        assert {name: invoice[name] for name in dollars} == dollars
        assert (invoice["supply_krw"], invoice["vat_krw"], invoice["total_krw"]) == (1647, 165, 1812)
    said = io.StringIO()
    call_command("close_month", "2026-10", stdout=said)
    assert "합계         1,812  US$1.30\n" in said.getvalue()


def tamper(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(sql)
        cursor.execute("SET LOCAL session_replication_role = origin")


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        (
            "UPDATE billing_invoice SET currency = 'KRW', supply_usd = NULL, vat_usd = NULL, total_usd = NULL",
            "its document is in dollars, the invoice is not",
        ),
        (
            "UPDATE billing_invoice SET document = jsonb_set(document, '{dollars,vat_usd}', '\"0.11\"')",
            "document does not hold",
        ),
        (
            "UPDATE billing_invoice SET document = jsonb_set(jsonb_set(document, '{lines,0,amount_usd}', '\"0.60\"'),"
            " '{lines,1,amount_usd}', '\"1.17\"')",
            "its lines say other dollars than recomputed",
        ),
        ("UPDATE billing_creditnote SET document = document - 'dollars'", "says no dollars on an invoice in dollars"),
        (
            "UPDATE billing_creditnote SET document = jsonb_set(document, '{dollars,total_usd}', '\"0.40\"')",
            "document does not hold",
        ),
    ],
)
def test_check_books_recomputes_the_dollars(two_lines: Invoice, sql: str, words: str) -> None:
    credit(two_lines, {1: 500})
    tamper(sql)
    found: Any = broken_checks()["dollars_are_the_won"]
    assert words in found[0]
