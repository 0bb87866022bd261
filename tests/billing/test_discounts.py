"""Discounts of a contract: what they take off, for which months and models, and that everything that says so agrees."""

from __future__ import annotations

from datetime import date

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.errors import Conflict, InvalidInput
from accounts.models import AuditEntry, Customer
from billing.documents import InvoiceDocument
from billing.errors import NotCreditable, UnknownModel
from billing.models import Discount, Invoice, InvoiceLine
from billing.pdf import invoice_html
from billing.selectors.balances import account_balances
from billing.selectors.bills import month_bill
from billing.selectors.drafts import bill_digest
from billing.services.crediting import issue_credit_note, reissue_invoice, void_invoice
from billing.services.discounting import end_discount
from catalog.models import Provider
from tests.billing.factories import ACTOR
from tests.billing.money import amounts, billed, broken_checks, cut, grant, plain_house, spend
from tests.billing.month import LATER, NOVEMBER, NOW, OCTOBER, close

pytestmark = pytest.mark.django_db


@pytest.fixture
def gaon() -> Customer:
    return plain_house()


def lines_of(invoice: Invoice) -> list[tuple[str, str, int, int, int]]:
    return list(invoice.lines.values_list("kind", "model_name", "amount_krw", "discount_krw", "promotion_krw"))


def document_of(invoice: Invoice) -> InvoiceDocument:
    return InvoiceDocument.from_json(invoice.document or {})


def test_discounts_come_before_credit_and_vat_after_both(gaon: Customer) -> None:
    """Usage 100,000; 10 % and 5,000 off leave 85,000; credit of 30,005 leaves 54,995; VAT is a tenth of that, 5,499.5."""
    cut(gaon, share="0.1")
    cut(gaon, won=5_000, name="파트너 할인")
    grant(gaon, 30_005)
    spend(gaon, 60_000)
    spend(gaon, 40_000, model="acme/cent")
    preview = month_bill(gaon, OCTOBER)
    assert preview is not None
    invoice = billed(gaon)
    assert amounts(invoice) == (54_995, 5_500, 60_495)
    assert lines_of(invoice) == [
        ("usage", "acme/cent", 40_000, 6_000, 30_005),
        ("usage", "acme/dollar", 60_000, 9_000, 0),
        ("discount", "약정 할인", -10_000, 0, 0),
        ("discount", "파트너 할인", -5_000, 0, 0),
        ("promotion", "첫 달 무료", -30_005, 0, 0),
    ]
    document = document_of(invoice)
    assert document.lines == preview.document_lines
    assert (document.usage_krw, document.discount_krw, document.promotion_krw) == (100_000, 15_000, 30_005)
    shown = [(line.share, line.base_krw) for line in document.lines if line.kind == "discount"]
    assert [(str(share), base) for share, base in shown] == [("0.10000", 100_000), ("None", 100_000)]
    assert invoice.tax_invoice.supply_krw == 54_995
    assert account_balances() == {
        ("receivable", "KRW"): 60_495,
        ("discounts", "KRW"): 15_000,
        ("promotions", "KRW"): 30_005,
        ("revenue", "KRW"): -100_000,
        ("vat_payable", "KRW"): -5_500,
    }
    assert broken_checks() == {}


def test_coupon_over_four_fees(gaon: Customer) -> None:
    """Fees of 100, 50, 30 and 20 with 10 off, spread 5/2.5/1.5/1: 190, VAT 19, total 209 (in thousands of won)."""
    cut(gaon, won=10_000)
    for won, day in ((100_000, 1), (50_000, 2), (30_000, 3), (20_000, 4)):
        spend(gaon, won, at=f"2026-10-0{day}T12:00:00+09:00")
    assert amounts(billed(gaon)) == (190_000, 19_000, 209_000)


def test_more_discount_than_usage_leaves_nothing_and_no_tax_document(gaon: Customer) -> None:
    cut(gaon, won=100_000)
    spend(gaon, 60_000)
    invoice = billed(gaon)
    assert amounts(invoice) == (0, 0, 0)
    assert invoice.status == "paid"
    assert not hasattr(invoice, "tax_invoice")
    assert broken_checks() == {}


def test_of_a_provider_or_of_models_alone(gaon: Customer) -> None:
    cut(gaon, share="0.2", models=["acme/cent"])
    cut(gaon, share="0.3", provider=Provider.objects.create(slug="beta", name="Beta"))
    spend(gaon, 10_000)
    spend(gaon, 5_000, model="acme/cent")
    invoice = billed(gaon)
    assert amounts(invoice) == (14_000, 1_400, 15_400)
    assert [row[3] for row in lines_of(invoice)] == [1_000, 0, 0]


def test_late_usage_has_the_discount_of_the_month_in_which_it_was_used(gaon: Customer) -> None:
    cut(gaon, share="0.1", end=date(2026, 11, 1))
    spend(gaon, 1_000)
    close()
    spend(gaon, 4_000, at="2026-10-20T12:00:00+09:00")
    spend(gaon, 7_000, at="2026-11-05T12:00:00+09:00")
    invoice = billed(gaon, NOVEMBER, now=LATER)
    assert amounts(invoice) == (10_600, 1_060, 11_660)
    assert broken_checks() == {}


def test_before_and_after_its_months_it_is_nothing(gaon: Customer) -> None:
    cut(gaon, won=500, first=date(2026, 11, 1), end=date(2026, 12, 1))
    spend(gaon, 1_000)
    assert amounts(billed(gaon)) == (1_000, 100, 1_100)


def test_it_ends_with_a_reason_and_not_before_what_was_billed(gaon: Customer) -> None:
    discount = cut(gaon, share="0.1")
    spend(gaon, 1_000)
    billed(gaon)
    with pytest.raises(Conflict, match="the invoice of 2026-10 has taken it already"):
        end_discount(discount=discount, effective_to=date(2026, 10, 1), reason="x", actor=ACTOR)
    with pytest.raises(InvalidInput, match="the first of one"):
        end_discount(discount=discount, effective_to=date(2026, 11, 2), reason="x", actor=ACTOR)
    end_discount(discount=discount, effective_to=date(2026, 11, 1), reason="계약 종료", actor=ACTOR)
    with pytest.raises(Conflict, match="ends on 2026-11-01 already"):
        end_discount(discount=discount, effective_to=date(2026, 12, 1), reason="x", actor=ACTOR)
    spend(gaon, 1_000, at="2026-11-05T12:00:00+09:00")
    assert amounts(billed(gaon, NOVEMBER, now=LATER))[0] == 1_000
    entries = AuditEntry.objects.filter(action__endswith="_discount").order_by("pk")
    assert [(entry.action, entry.reason) for entry in entries] == [
        ("add_discount", "test"),
        ("end_discount", "계약 종료"),
    ]


def test_the_draft_that_was_approved_holds_the_discounts(gaon: Customer) -> None:
    spend(gaon, 1_000)
    plain = bill_digest(month_bill(gaon, OCTOBER))
    discount = cut(gaon, won=100)
    first = bill_digest(month_bill(gaon, OCTOBER))
    end_discount(discount=discount, effective_to=date(2026, 10, 1), reason="x", actor=ACTOR)
    assert bill_digest(month_bill(gaon, OCTOBER)) == plain
    cut(gaon, share="0.1")  # the same won by another term
    assert len({plain, first, bill_digest(month_bill(gaon, OCTOBER))}) == 3


def test_a_credit_note_takes_back_what_was_billed_and_no_more(gaon: Customer) -> None:
    cut(gaon, share="0.1")
    spend(gaon, 10_000)
    invoice = billed(gaon)
    wanted = {"reason": "x", "actor": ACTOR, "now": NOW, "amendment_code": "01", "invoice": invoice}
    with pytest.raises(NotCreditable, match="1 to 9000 won"):
        issue_credit_note(amounts_krw={1: 9_001}, **wanted)
    with pytest.raises(NotCreditable, match="nothing of it is left to credit"):
        issue_credit_note(amounts_krw={2: 1}, **wanted)
    note = issue_credit_note(amounts_krw={1: 9_000}, **wanted)
    assert (note.supply_krw, note.vat_krw) == (9_000, 900)
    assert broken_checks() == {}


def test_issued_anew_by_the_terms_of_that_day(gaon: Customer) -> None:
    discount = cut(gaon, share="0.1")
    spend(gaon, 10_000)
    invoice = billed(gaon)
    void_invoice(invoice=invoice, reason="x", actor=ACTOR, now=NOW)
    end_discount(discount=discount, effective_to=date(2026, 10, 1), reason="x", actor=ACTOR)
    assert amounts(reissue_invoice(invoice=invoice, actor=ACTOR, now=NOW))[0] == 10_000
    assert broken_checks() == {}


def test_refusals_name_the_field(gaon: Customer) -> None:
    for field, terms in (
        ("share", {}),
        ("share", {"share": "0.1", "won": 1}),
        ("share", {"share": "1"}),
        ("share", {"share": "0"}),
        ("share", {"share": "0.123456"}),
        ("amount_krw", {"won": 0}),
        ("amount_krw", {"won": 10**15 + 1}),
        ("effective_from", {"won": 1, "first": date(2026, 10, 2)}),
        ("effective_to", {"won": 1, "end": date(2026, 10, 1)}),
        ("name", {"won": 1, "name": " "}),
        ("models", {"won": 1, "models": []}),
        ("models", {"won": 1, "models": ["acme/cent"], "provider": Provider.objects.get(slug="acme")}),
    ):
        with pytest.raises(InvalidInput) as refused:
            cut(gaon, **terms)  # type: ignore[arg-type]
        assert refused.value.field == field, terms
    with pytest.raises(UnknownModel):
        cut(gaon, won=1, models=["acme/nothing"])
    assert not Discount.objects.exists()


@pytest.mark.parametrize(
    "write",
    [
        lambda discount: Discount.objects.filter(pk=discount.pk).update(share="0.5"),
        lambda discount: Discount.objects.filter(pk=discount.pk).update(effective_to=date(2026, 9, 1)),
        lambda discount: Discount.objects.filter(pk=discount.pk).update(effective_to=date(2026, 10, 2)),
        lambda discount: discount.delete(),
        lambda discount: Discount.objects.create(
            customer=discount.customer, name="x", share=1, effective_from=date(2026, 10, 1), reason="x", actor="x"
        ),
        lambda discount: Discount.objects.create(
            customer=discount.customer, name="x", effective_from=date(2026, 10, 1), reason="x", actor="x"
        ),
    ],
)
def test_the_database_refuses_what_the_service_would(gaon: Customer, write: object) -> None:
    discount = cut(gaon, share="0.1")
    with pytest.raises(IntegrityError), transaction.atomic():
        write(discount)  # type: ignore[operator]


def test_check_books_finds_a_discount_that_was_not_agreed(gaon: Customer) -> None:
    cut(gaon, share="0.1")
    spend(gaon, 10_000)
    billed(gaon)
    assert InvoiceLine.objects.filter(kind="discount").count() == 1
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE billing_discount SET share = 0.2")
        cursor.execute("SET LOCAL session_replication_role = origin")
    assert set(broken_checks()) == {"discounts_are_taken_as_agreed"}


@pytest.mark.parametrize(
    ("locale", "words"), [("ko", "할인 · 약정 할인 (10,000원의 10%)"), ("en", "Discount · 약정 할인 (10% of ₩10,000)")]
)
def test_the_paper_says_what_was_taken_of_what(gaon: Customer, locale: str, words: str) -> None:
    gaon.locale = locale
    gaon.save()
    cut(gaon, share="0.1")
    spend(gaon, 10_000)
    page = invoice_html(document_of(billed(gaon)))
    assert words in page
    assert "–1,000" in page
