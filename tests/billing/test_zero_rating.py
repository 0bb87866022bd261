"""No VAT by recorded evidence alone, and then paper, API, tax invoice and books say the same."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from django.core.exceptions import FieldDoesNotExist
from django.db import IntegrityError, connection, transaction

from accounts.errors import Conflict, InvalidInput
from accounts.models import AuditEntry, Customer
from accounts.services import add_tax_profile
from billing.adapters.registry import tax_provider
from billing.documents import InvoiceDocument
from billing.frozen import DocumentError
from billing.models import Invoice, TaxInvoice, ZeroRating
from billing.pdf import invoice_html
from billing.selectors.balances import account_balances
from billing.selectors.bills import month_bill
from billing.selectors.drafts import bill_digest
from billing.services.crediting import issue_credit_note
from billing.services.taxing import send_tax_invoice
from billing.services.zero_rating import withdraw_zero_rating
from tests.billing.factories import ACTOR, FOREIGN
from tests.billing.money import amounts, at_least, billed, broken_checks, plain_house, spend, zero_rate
from tests.billing.month import LATER, NOVEMBER, NOW, OCTOBER, tenant
from tests.usage_api.asking import asked, key_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def gaon() -> Customer:
    return plain_house()


def document_of(invoice: Invoice) -> InvoiceDocument:
    return InvoiceDocument.from_json(invoice.document or {})


def test_everything_says_zero_rated(gaon: Customer) -> None:
    evidence = zero_rate(gaon)
    at_least(gaon, 15_000)
    spend(gaon, 10_005)
    preview = month_bill(gaon, OCTOBER)
    assert preview is not None
    assert (preview.totals.vat_krw, preview.zero_rating) == (0, evidence)
    invoice = billed(gaon)
    assert amounts(invoice) == (15_000, 0, 15_000)
    assert invoice.zero_rating == evidence
    rate = document_of(invoice).zero_rate
    assert rate is not None
    assert (rate.law, rate.evidence, rate.sha256) == (
        "부가가치세법 제24조 시행령 제33조 제2항 제1호",
        "외화입금증명서 2026-10-01",
        "ab" * 32,
    )
    tax = invoice.tax_invoice
    assert (tax.type_code, tax.supply_krw, tax.vat_krw, tax.total_krw) == ("0102", 15_000, 0, 15_000)
    assert account_balances() == {("receivable", "KRW"): 15_000, ("revenue", "KRW"): -15_000}
    assert broken_checks() == {}


@pytest.mark.parametrize(
    ("locale", "said", "unsaid"),
    [
        ("ko", ["부가세(영세율)", "영세율 전자세금계산서는", "부가가치세법 제24조 시행령 제33조 제2항 제1호"], "10%"),
        ("en", ["VAT (zero-rated)", "The zero-rated electronic tax invoice", "Evidence: 외화입금증명서"], "10%"),
    ],
)
def test_the_paper_names_article_and_document(gaon: Customer, locale: str, said: list[str], unsaid: str) -> None:
    gaon.locale = locale
    gaon.save()
    zero_rate(gaon)
    spend(gaon, 10_000)
    page = invoice_html(document_of(billed(gaon)))
    assert [words for words in said if words not in page] == []
    assert unsaid not in page


def test_the_sandbox_takes_the_zero_rated_kind_once(gaon: Customer) -> None:
    zero_rate(gaon)
    spend(gaon, 10_000)
    row = send_tax_invoice(tax_invoice=billed(gaon).tax_invoice, provider=tax_provider(), now=NOW)
    assert (row.status, row.type_code) == (TaxInvoice.Status.ISSUED, "0102")


def test_without_evidence_vat_is_ten_percent_whoever_buys(gaon: Customer) -> None:
    foreign = tenant("nordlicht", profile=False, locale="en")
    add_tax_profile(customer=foreign, valid_from=date(2025, 1, 1), actor=ACTOR, **FOREIGN)
    zero_rate(gaon)
    spend(foreign, 10_000)
    invoice = billed(foreign)
    assert amounts(invoice) == (10_000, 1_000, 11_000)
    assert invoice.tax_invoice.type_code == "0101"


def test_it_holds_for_its_months_alone(gaon: Customer) -> None:
    zero_rate(gaon, first=date(2026, 11, 1), end=date(2026, 12, 1))
    spend(gaon, 1_000)
    assert amounts(billed(gaon)) == (1_000, 100, 1_100)
    spend(gaon, 3_000, at="2026-10-20T12:00:00+09:00")  # late: the month that bills it decides
    spend(gaon, 1_000, at="2026-11-20T12:00:00+09:00")
    assert amounts(billed(gaon, NOVEMBER, now=LATER)) == (4_000, 0, 4_000)
    assert broken_checks() == {}


def test_withdrawn_from_the_next_month(gaon: Customer) -> None:
    evidence = zero_rate(gaon)
    withdraw_zero_rating(zero_rating=evidence, reason="계약 변경", actor=ACTOR, now=datetime(2026, 10, 15, tzinfo=UTC))
    evidence.refresh_from_db()
    assert evidence.effective_to == date(2026, 11, 1)
    spend(gaon, 1_000)
    spend(gaon, 1_000, at="2026-11-05T12:00:00+09:00")
    assert amounts(billed(gaon)) == (1_000, 0, 1_000)
    assert amounts(billed(gaon, NOVEMBER, now=LATER)) == (1_000, 100, 1_100)
    with pytest.raises(Conflict, match="ends on 2026-11-01 already"):
        withdraw_zero_rating(zero_rating=evidence, reason="x", actor=ACTOR, now=NOW)
    actions = AuditEntry.objects.filter(action__endswith="zero_rating").order_by("pk").values_list("action", "reason")
    assert list(actions) == [("record_zero_rating", "test"), ("withdraw_zero_rating", "계약 변경")]
    assert broken_checks() == {}


def test_evidence_that_ends_later_can_be_withdrawn_before(gaon: Customer) -> None:
    evidence = zero_rate(gaon, end=date(2027, 1, 1))
    withdraw_zero_rating(zero_rating=evidence, reason="x", actor=ACTOR, now=datetime(2026, 10, 31, 15, 0, tzinfo=UTC))
    evidence.refresh_from_db()
    assert evidence.effective_to == date(2026, 12, 1)  # 1 November in Korea


def test_the_draft_that_was_approved_holds_the_evidence(gaon: Customer) -> None:
    spend(gaon, 4)  # a tenth of it rounds to no VAT either way
    plain = bill_digest(month_bill(gaon, OCTOBER))
    zero_rate(gaon)
    assert bill_digest(month_bill(gaon, OCTOBER)) != plain


def test_a_credit_note_takes_back_no_vat(gaon: Customer) -> None:
    zero_rate(gaon)
    spend(gaon, 10_000)
    note = issue_credit_note(
        invoice=billed(gaon), amounts_krw={1: 4_000}, amendment_code="01", reason="x", actor=ACTOR, now=NOW
    )
    assert (note.supply_krw, note.vat_krw, note.total_krw) == (4_000, 0, 4_000)
    amended = note.tax_invoices.order_by("supply_krw").values_list("type_code", "supply_krw", "vat_krw")
    assert list(amended) == [("0202", -10_000, 0), ("0202", 6_000, 0)]
    assert broken_checks() == {}


def test_the_api_names_rate_and_evidence(gaon: Customer) -> None:
    zero_rate(gaon)
    spend(gaon, 10_000)
    invoice = billed(gaon)
    said = asked(key_of(gaon)[0], f"/billing/v1/invoices/{invoice.number}")
    assert said["vat_rate"] == "0"
    assert said["vat"]["amount"] == "0"
    assert said["zero_rate"]["sha256"] == "ab" * 32


def test_a_document_cannot_leave_out_vat_by_itself(gaon: Customer) -> None:
    zero_rate(gaon)
    spend(gaon, 10_000)
    said = document_of(billed(gaon)).to_json()
    del said["zero_rate"]
    with pytest.raises(DocumentError, match="ten percent"):
        InvoiceDocument.from_json(said)


def test_refusals_name_the_field(gaon: Customer) -> None:
    for field, terms in (
        ("article", {"article": "부가가치세법 제26조"}),
        ("reference", {"reference": " "}),
        ("accepted_by", {"accepted_by": ""}),
        ("sha256", {"sha256": "AB" * 32}),
        ("sha256", {"sha256": ""}),
        ("reason", {"reason": ""}),
        ("reason", {"reason": "x" * 301}),
        ("reference", {"reference": "x" * 201}),
        ("accepted_by", {"accepted_by": "x" * 201}),
        ("clause", {"clause": "x" * 101}),
        ("effective_from", {"first": date(2026, 10, 2)}),
        ("effective_to", {"end": date(2026, 10, 1)}),
    ):
        with pytest.raises(InvalidInput) as refused:
            zero_rate(gaon, **terms)  # type: ignore[arg-type]
        assert refused.value.field == field, terms
    zero_rate(gaon)
    with pytest.raises(Conflict):
        zero_rate(gaon, first=date(2026, 12, 1))


@pytest.mark.parametrize(
    "write",
    [
        lambda row: ZeroRating.objects.filter(pk=row.pk).update(sha256="cd" * 32),
        lambda row: ZeroRating.objects.filter(pk=row.pk).update(effective_to=date(2027, 1, 1)),
        lambda row: ZeroRating.objects.filter(pk=row.pk).update(effective_to=None),
        lambda row: row.delete(),
    ],
)
def test_the_database_keeps_evidence_as_it_is(gaon: Customer, write: object) -> None:
    row = zero_rate(gaon, end=date(2026, 12, 1))
    with pytest.raises(IntegrityError), transaction.atomic():
        write(row)  # type: ignore[operator]


def test_the_database_refuses_an_invoice_without_vat_and_evidence(gaon: Customer) -> None:
    other = tenant("other")
    foreign = zero_rate(other)
    spend(gaon, 10_000)
    invoice = billed(gaon)
    values = Invoice.objects.filter(pk=invoice.pk).values().get()
    draft = {
        name: value
        for name, value in values.items()
        if name not in ("id", "number", "issued_at", "issued_on", "due_on", "document", "status", "allocated_krw")
    } | {"month": date(2026, 12, 1), "vat_krw": 0, "total_krw": 10_000}
    for evidence in (None, foreign.pk):
        with pytest.raises(IntegrityError), transaction.atomic():
            Invoice.objects.create(**draft | {"zero_rating_id": evidence})


def test_check_books_finds_what_is_zero_rated_without_evidence(gaon: Customer) -> None:
    zero_rate(gaon)
    spend(gaon, 10_000)
    billed(gaon)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE billing_zerorating SET effective_from = '2026-11-01'")
        cursor.execute("SET LOCAL session_replication_role = origin")
    assert set(broken_checks()) == {"zero_rates_have_evidence"}


def test_no_customer_has_a_flag(gaon: Customer) -> None:
    """Nothing but evidence rows decides: the customer itself has no field for it."""
    for name in ("zero_rated", "is_zero_rated", "vat_rate"):
        with pytest.raises(FieldDoesNotExist):
            Customer._meta.get_field(name)
