"""The credit note as a reader gets it, PDF and mail, and the mail about a voided invoice."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from pypdf import PdfReader

from billing.documents import InvoiceDocument
from billing.frozen import DocumentError
from billing.mail import credit_note_email, invoice_email, note_attachment_name, void_email
from billing.models import InvoiceVoid
from billing.notes import CreditedLine, CreditNoteDocument, credited_dollars
from billing.pdf import UnknownTemplate, render_credit_note
from tests.documents import samples
from tests.documents.golden import assert_golden
from tests.documents.test_pdf import MOST_BYTES_PER_PAGE

#: position, model, name, month, billed, credited before, credited, VAT
LINES = (
    (1, "anthropic/claude-sonnet-4.5", "Anthropic: Claude Sonnet 4.5", "2026-10", 484_000, 12_000, 120_500, 12_050),
    (2, "openai/gpt-5", "OpenAI: GPT-5", "2026-10", 168_000, 0, 30_011, 3_001),
    (4, "deepseek/deepseek-chat-v3.1", "DeepSeek: DeepSeek V3.1", "2026-09", 13_400, 0, 13_400, 1_340),
)


def note(**changes: Any) -> CreditNoteDocument:
    """Three lines of an invoice that was credited before, under code 02."""
    members = {
        "number": "CN-202611-0002",
        "locale": "ko",
        "issued_on": date(2026, 11, 21),
        "amendment_code": "02",
        "reason": "10월 12일 장애 시간대 이용분 계량 오류 정정",
        "seller": samples.SELLER,
        "seller_phone": "02-1234-5678",
        "buyer": samples.CORPORATION,
        "invoice_number": "INV-202610-0007",
        "invoice_issued_on": date(2026, 11, 2),
        "invoice_month": "2026-10",
        "write_date_on": date(2026, 10, 31),
        "tax_deadline_on": date(2026, 12, 10),
        "lines": tuple(
            CreditedLine(
                position=position,
                model_id=model_id,
                model_name=name,
                month=month,
                billed_krw=billed,
                before_krw=before,
                supply_krw=supply,
                vat_krw=vat,
            )
            for position, model_id, name, month, billed, before, supply, vat in LINES
        ),
        "supply_krw": 163_911,
        "vat_krw": 16_391,
        "total_krw": 180_302,
        "invoice_supply_krw": 905_812,
        "invoice_vat_krw": 90_581,
        "invoice_total_krw": 996_393,
        "before_supply_krw": 12_000,
        "before_vat_krw": 1_200,
        "template_version": 1,
    }
    return CreditNoteDocument(**(members | changes))


def foreign() -> CreditNoteDocument:
    """An error, so without a deadline, to a buyer from abroad, with nothing credited before."""
    lines = (replace(note().lines[1]),)
    sums = {"supply_krw": 30_011, "vat_krw": 3_001, "total_krw": 33_012, "before_supply_krw": 0, "before_vat_krw": 0}
    return note(amendment_code="01", tax_deadline_on=None, buyer=samples.FOREIGN, lines=lines, **sums)


def dollars() -> CreditNoteDocument:
    """On an invoice of US$695.52: 13,200 won came to 9.21, 193,502 won together to 135.07 dollars."""
    amounts = credited_dollars(before_krw=13_200, total_krw=180_302, invoice_krw=996_393, invoice_usd=Decimal("695.52"))
    assert (str(amounts.before_usd), str(amounts.total_usd), str(amounts.left_usd)) == ("9.21", "125.86", "560.45")
    return note(dollars=amounts)


CASES = {"credit_note": note, "credit_note_foreign": foreign, "credit_note_dollars": dollars}


@pytest.mark.parametrize("locale", ["ko", "en"])
@pytest.mark.parametrize("name", CASES)
def test_text_is_the_golden_text(name: str, locale: str) -> None:
    pdf = render_credit_note(replace(CASES[name](), locale=locale))
    pages = [page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages]
    assert_golden(f"{locale}/{name}.pdf.txt", "\n\f\n".join(pages) + "\n")
    assert len(pdf) < MOST_BYTES_PER_PAGE * len(pages)


def test_stored_document_prints_the_same_bytes() -> None:
    digests = {
        hashlib.sha256(render_credit_note(document)).hexdigest()
        for document in (note(), CreditNoteDocument.from_json(note().to_json()), note())
    }
    assert len(digests) == 1


@pytest.mark.parametrize(
    "change", [{"number": 1}, {"lines": "x"}, {"more": 1}, {"issued_on": "2026-13-01"}, {"tax_deadline_on": 1}]
)
def test_stored_json_is_read_strictly(change: dict[str, Any]) -> None:
    with pytest.raises(DocumentError):
        CreditNoteDocument.from_json(note().to_json() | change)


def test_dollars_are_the_share_of_the_invoice() -> None:
    stored = dollars().to_json()
    assert CreditNoteDocument.from_json(stored) == dollars()
    assert "dollars" not in note().to_json()
    for change in ({"total_usd": "125.87"}, {"before_usd": "9.22"}, {"invoice_usd": "695.60"}):
        with pytest.raises(DocumentError) as refusal:
            CreditNoteDocument.from_json(stored | {"dollars": stored["dollars"] | change})
        assert refusal.value.field == "dollars"


def test_a_document_of_another_version_is_not_printed() -> None:
    with pytest.raises(UnknownTemplate):
        render_credit_note(note(template_version=2))


def test_markup_and_line_breaks_in_a_reason_are_text() -> None:
    pdf = render_credit_note(note(reason="<b>계량</b>\n오류 \u202e & 정정"))
    text = PdfReader(io.BytesIO(pdf)).pages[0].extract_text()
    assert "<b>계량</b> 오류 & 정정" in text


@pytest.mark.parametrize("locale", ["ko", "en"])
@pytest.mark.parametrize("name", ["credit_note", "credit_note_dollars"])
def test_the_mail_is_the_golden_mail(name: str, locale: str) -> None:
    document = replace(CASES[name](), locale=locale)
    mail = credit_note_email(
        document, recipient="tax@gaon.example", pdf=b"%PDF", message_id="<x@y>", from_email="a@b.example"
    )
    [(html, _type)] = [(one.content, one.mimetype) for one in mail.alternatives]
    assert_golden(f"{locale}/{name}_mail.txt", f"{mail.subject}\n\n{mail.body}")
    assert_golden(f"{locale}/{name}_mail.html", str(html))
    assert [one[0] for one in mail.attachments] == [note_attachment_name(document)]


@pytest.mark.parametrize("locale", ["ko", "en"])
@pytest.mark.parametrize(
    ("name", "document"),
    [("void_mail", samples.invoice()), ("void_mail_dollars", samples.in_dollars(samples.invoice()))],
)
def test_the_mail_about_a_void_invoice_is_the_golden_mail(name: str, document: InvoiceDocument, locale: str) -> None:
    void = InvoiceVoid(
        amendment_code="01",
        reason="요율 적용 오류",
        voided_at=datetime(2026, 11, 12, tzinfo=UTC),
        voided_on=date(2026, 11, 12),
        actor="kim",
    )
    mail = void_email(
        replace(document, locale=locale),
        void=void,
        recipient="tax@gaon.example",
        message_id="<x@y>",
        from_email="a@b.example",
    )
    [(html, _type)] = [(one.content, one.mimetype) for one in mail.alternatives]
    assert_golden(f"{locale}/{name}.txt", f"{mail.subject}\n\n{mail.body}")
    assert_golden(f"{locale}/{name}.html", str(html))


@pytest.mark.parametrize(
    ("locale", "words"),
    [
        ("ko", "취소된 청구서(INV-202610-0001)를 대신하는 청구서입니다."),
        ("en", "This invoice replaces INV-202610-0001, which is void."),
    ],
)
def test_an_invoice_that_was_issued_anew_names_the_void_one(locale: str, words: str) -> None:
    document = samples.invoice(locale=locale)
    options: dict[str, Any] = {
        "recipient": "x@y.example",
        "pdf": b"",
        "message_id": "<x@y>",
        "from_email": "a@b.example",
    }
    anew = invoice_email(document, replaces="INV-202610-0001", **options)
    assert words in anew.body
    assert words in str(anew.alternatives[0].content)
    assert words not in invoice_email(document, **options).body
