"""What a correction sends out: its document, its mail, and what the tax office is told about it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.errors import DomainError, InvalidInput
from accounts.services import add_tax_profile
from billing.adapters.tax_sandbox import Behaviour
from billing.audit import check_books
from billing.errors import NotCreditable, TaxOriginalNotIssued
from billing.frozen import DocumentError
from billing.models import CreditNote, CreditNotePdf, Delivery, Invoice, InvoiceVoid, SandboxTaxDocument, TaxInvoice
from billing.notes import CreditNoteDocument
from billing.pdf import credit_note_html
from billing.selectors.bounces import is_resendable
from billing.services.crediting import issue_credit_note, reissue_invoice, void_invoice
from billing.services.delivering import VOIDED, DeliveryReport, issue_tax_invoice_late
from billing.services.printing import ensure_credit_note_pdf
from billing.services.taxing import ANSWER_TIMEOUT, send_tax_invoice
from tests.billing.factories import ACTOR, CORPORATION, FOREIGN
from tests.billing.money import at_least, plain_house, spend, zero_rate
from tests.billing.month import DOLLAR, LATER, NOW, close, open_house, tenant, use
from tests.billing.outbox import deliver, mails
from tests.billing.providers import Watched

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("mail_dir")]

#: Thursday, 12 November 2026, 10:00 KST: after October's deadline, in the month after.
THEN = datetime(2026, 11, 12, 1, 0, tzinfo=UTC)


def billed(*, locale: str = "ko", profile: dict[str, str] | None = None, sent: bool = True) -> Invoice:
    """USD 1 and 0.5 at 1,400 and 15 %: 824 (acme/cent, line 1) + 1,647 = 2,471, VAT 247, total 2,718."""
    open_house()
    customer = tenant(locale=locale, profile=None)
    add_tax_profile(customer=customer, valid_from=date(2025, 1, 1), actor=ACTOR, **(profile or CORPORATION))
    use(customer, DOLLAR)
    use(customer, 50 * DOLLAR, model="acme/cent")
    close()
    if sent:
        assert deliver(NOW) == DeliveryReport(done=2, retried=0, dead=0)
    return Invoice.objects.get()


def credit(invoice: Invoice, amounts: dict[int, int], code: str = "01", *, now: datetime = THEN) -> CreditNote:
    return issue_credit_note(
        invoice=invoice, amounts_krw=amounts, amendment_code=code, reason="계량 오류", actor=ACTOR, now=now
    )


def told() -> list[tuple[Any, ...]]:
    """What the sandbox's tax office was told after the first document: type, code, date, won, whom it amends, remark."""
    numbers = dict(SandboxTaxDocument.objects.values_list("approval_no", "key"))
    return [
        (
            one.payload["type_code"],
            one.payload["amendment_code"],
            one.payload["write_date_on"],
            one.payload["supply_krw"],
            one.payload["tax_krw"],
            numbers[one.payload["original_approval_no"]],
            one.payload["remark"],
        )
        for one in SandboxTaxDocument.objects.order_by("pk")[1:]
    ]


def violations() -> list[str]:
    return [text for result in check_books() for text in result.violations]


# The document


def test_the_document_says_what_is_taken_back_and_what_is_left() -> None:
    invoice = billed()
    credit(invoice, {1: 324})
    note = credit(invoice, {1: 500, 2: 100})
    document = CreditNoteDocument.from_json(note.document)
    assert document.number == note.number == "CN-202611-0002"
    assert (document.invoice_number, document.invoice_issued_on, document.write_date_on) == (
        "INV-202610-0001",
        date(2026, 11, 2),
        date(2026, 10, 31),
    )
    assert [
        (one.position, one.model_id, one.billed_krw, one.before_krw, one.supply_krw, one.vat_krw)
        for one in document.lines
    ] == [(1, "acme/cent", 824, 324, 500, 50), (2, "acme/dollar", 1647, 0, 100, 10)]
    # 2,471 - 324 leaves VAT 215 (of 247); 2,147 - 600 leaves 155.
    assert (document.supply_krw, document.vat_krw, document.total_krw) == (600, 60, 660)
    assert (document.before_supply_krw, document.before_vat_krw) == (324, 32)
    assert (document.left_supply_krw, document.left_vat_krw, document.left_total_krw) == (1547, 155, 1702)
    assert (document.seller.name, document.buyer.name) == ("주식회사 정산", "주식회사 가온로보틱스")
    assert (document.tax_deadline_on, document.reason) == (None, "계량 오류")
    assert violations() == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"supply_krw": 601}, "supply_krw"),
        ({"vat_krw": 61}, "vat_krw"),
        ({"total_krw": 661}, "total_krw"),
        ({"lines": ()}, "lines"),
        ({"reason": " "}, "lines"),
        ({"invoice_total_krw": 1}, "invoice_total_krw"),
        ({"before_supply_krw": 2000}, "supply_krw"),
        ({"amendment_code": "07"}, "amendment_code"),
        ({"locale": "de"}, "locale"),
    ],
)
def test_a_document_that_does_not_add_up_cannot_exist(changes: dict[str, Any], field: str) -> None:
    document = CreditNoteDocument.from_json(credit(billed(sent=False), {1: 500, 2: 100}).document)
    with pytest.raises(DocumentError) as refused:
        replace(document, **changes)
    assert refused.value.field == field


def test_the_pdf_is_made_once_and_stays() -> None:
    note = credit(billed(), {1: 500})
    first = ensure_credit_note_pdf(note=note, now=THEN)
    again = ensure_credit_note_pdf(note=note, now=THEN + timedelta(days=1))
    assert bytes(first.content).startswith(b"%PDF-")
    assert (again.pk, bytes(again.content), again.created_at) == (first.pk, bytes(first.content), THEN)
    for change in ("UPDATE billing_creditnotepdf SET content = 'x'", "UPDATE billing_creditnote SET document = '{}'"):
        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(change)


# Mail


def test_a_credit_note_is_mailed_with_its_pdf_once_to_the_addresses_of_today(mail_dir: Path) -> None:
    invoice = billed()
    add_tax_profile(
        customer=invoice.customer,
        valid_from=date(2026, 11, 5),
        actor=ACTOR,
        **(CORPORATION | {"email": "new@gaon.example", "email2": "boss@gaon.example"}),
    )
    note = credit(invoice, {1: 500})
    assert deliver(THEN) == DeliveryReport(done=4, retried=0, dead=0)
    sent = [mail for mail in mails(mail_dir) if "차감" in mail["Subject"]]
    assert {str(mail["To"]) for mail in sent} == {"new@gaon.example", "boss@gaon.example"}
    mail = sent[0]
    assert str(mail["Subject"]).strip() == "[주식회사 정산] 2026년 10월 이용요금 차감 청구서 (–₩550)"
    assert str(mail["Message-ID"]).startswith(f"<credit-note-{note.pk}-")
    [attachment] = mail.iter_attachments()  # type: ignore[attr-defined]
    assert attachment.get_filename() == "차감청구서_CN-202611-0001.pdf"
    assert attachment.get_content() == bytes(CreditNotePdf.objects.get().content)
    text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    for words in ("INV-202610-0001", "계량 오류", "–₩550", "₩2,168", "수정전자세금계산서는 별도로 발급됩니다"):
        assert words in text
    assert deliver(THEN + timedelta(days=9)) == DeliveryReport(done=0, retried=0, dead=0)


def test_a_void_and_what_is_issued_anew_are_mailed(mail_dir: Path) -> None:
    invoice = billed(locale="en")
    void_invoice(invoice=invoice, reason="wrong margin", actor=ACTOR, now=THEN)
    made = reissue_invoice(invoice=invoice, actor=ACTOR, now=THEN + timedelta(hours=1))
    deliver(THEN + timedelta(hours=2))
    subjects = {str(mail["Subject"]).strip(): mail.get_body(("plain",)).get_content() for mail in mails(mail_dir)}  # type: ignore[union-attr]
    void = subjects["[주식회사 정산] Invoice for October 2026 is void (INV-202610-0001)"]
    for words in ("₩2,718", "12 November 2026", "wrong margin", "A corrected invoice follows", "do not pay"):
        assert words in void
    anew = [text for text in subjects.values() if "This invoice replaces INV-202610-0001, which is void." in text]
    assert len(anew) == 1
    assert made.number in anew[0]


def test_a_void_invoice_that_never_left_is_only_told_to_be_void(mail_dir: Path) -> None:
    invoice = billed(sent=False)
    void_invoice(invoice=invoice, reason="요율 오류", actor=ACTOR, now=NOW)
    assert deliver(NOW + timedelta(days=3)) == DeliveryReport(done=1, retried=0, dead=0)
    assert [str(mail["Subject"]).strip() for mail in mails(mail_dir)] == [
        "[주식회사 정산] 2026년 10월 청구서 취소 안내 (INV-202610-0001)"
    ]
    assert SandboxTaxDocument.objects.count() == 0
    assert TaxInvoice.objects.get().status == "withdrawn"
    given_up = Delivery.objects.exclude(kind="void_email").values_list("kind", "status", "last_error")
    assert sorted(given_up) == [(kind, "dead", VOIDED) for kind in ("invoice_email", "tax_invoice")]
    assert not any(is_resendable(row) for row in Delivery.objects.exclude(kind="void_email"))
    # Usage that nobody is billed for until it is issued anew.
    assert [text for text in violations() if "events on USD" not in text] == []
    # Issued anew before any document left: an ordinary tax invoice.
    made = reissue_invoice(invoice=invoice, actor=ACTOR, now=NOW)
    assert (made.tax_invoice.type_code, made.tax_invoice.amends_id) == ("0101", None)
    assert violations() == []


# The tax office


def test_an_error_is_two_documents_under_the_originals_date() -> None:
    invoice = billed()
    credit(invoice, {1: 500})
    deliver(THEN)
    original = f"JS-202610-{invoice.pk}"
    pair = [one.key for one in SandboxTaxDocument.objects.order_by("pk")[1:]]
    assert told() == [
        ("0201", "01", "2026-10-31", -2471, -247, original, ""),
        ("0201", "01", "2026-10-31", 1971, 197, original, ""),
    ]
    # A second error corrects what stands since the first.
    credit(invoice, {2: 1647})
    deliver(THEN)
    assert told()[2:] == [
        ("0201", "01", "2026-10-31", -1971, -197, pair[1], ""),
        ("0201", "01", "2026-10-31", 324, 32, pair[1], ""),
    ]
    rows = TaxInvoice.objects.filter(corrects=invoice)
    assert set(rows.values_list("status", "deadline_on", "invoice")) == {("issued", None, None)}
    assert [line["quantity"] for row in rows.order_by("pk") for line in row.lines] == [-1, 1, -1, 1]
    assert violations() == []


def test_an_error_over_everything_is_taken_back_and_not_stated_anew() -> None:
    credit(billed(), {1: 824, 2: 1647})
    deliver(THEN)
    assert [one[3:5] for one in told()] == [(-2471, -247)]
    assert violations() == []


def test_a_changed_supply_is_one_document_of_the_day_and_due_with_its_month() -> None:
    invoice = billed()
    credit(invoice, {1: 500}, "02", now=LATER)
    row = TaxInvoice.objects.get(corrects=invoice)
    # 2 December; 10 January 2027 is a Sunday.
    assert (row.write_date_on, row.deadline_on) == (date(2026, 12, 2), date(2027, 1, 11))
    deliver(LATER)
    assert told() == [
        ("0201", "02", "2026-12-02", -500, -50, f"JS-202610-{invoice.pk}", "당초 작성일자 2026-10-31"),
    ]
    assert violations() == []


def test_a_cancelled_contract_and_a_double_issue_take_back_all_that_is_left() -> None:
    invoice = billed()
    for code in ("04", "06"):
        with pytest.raises(NotCreditable) as refused:
            credit(invoice, {1: 500}, code)
        assert refused.value.field == "amendment_code"
    credit(invoice, {1: 24}, "02", now=LATER)
    credit(invoice, {1: 800, 2: 1647}, "04", now=LATER)
    deliver(LATER)
    original = f"JS-202610-{invoice.pk}"
    remark = "당초 작성일자 2026-10-31"
    assert told() == [
        ("0201", "02", "2026-12-02", -24, -2, original, remark),
        ("0201", "04", "2026-12-02", -2447, -245, original, remark),
    ]
    assert violations() == []


def test_a_foreign_buyers_number_stays_in_the_remark() -> None:
    credit(billed(profile=FOREIGN), {1: 500}, "02")
    deliver(THEN)
    assert told()[0][-1] == "DE811907980 / 당초 작성일자 2026-10-31"


def test_a_void_is_taken_back_and_what_is_issued_anew_states_it_anew() -> None:
    invoice = billed()
    void_invoice(invoice=invoice, reason="요율 오류", actor=ACTOR, now=THEN)
    assert InvoiceVoid.objects.values_list("amendment_code", "reason", "voided_on", "actor").get() == (
        "01", "요율 오류", date(2026, 11, 12), ACTOR,
    )  # fmt: skip
    use_again = reissue_invoice(invoice=invoice, actor=ACTOR, now=THEN)
    deliver(THEN)
    original = f"JS-202610-{invoice.pk}"
    assert told() == [
        ("0201", "01", "2026-10-31", -2471, -247, original, ""),
        ("0201", "01", "2026-10-31", 2471, 247, original, ""),
    ]
    # Past the deadline of an ordinary tax invoice, and issued all the same: an error has none.
    assert (use_again.tax_invoice.status, use_again.tax_invoice.deadline_on) == ("queued", None)
    assert TaxInvoice.objects.get(invoice=use_again).status == "issued"
    assert violations() == []
    # Again: the second invoice's document is the one that is amended now.
    void_invoice(invoice=use_again, reason="다시", actor=ACTOR, now=THEN)
    third = reissue_invoice(invoice=use_again, actor=ACTOR, now=THEN)
    deliver(THEN)
    assert [one[5] for one in told()[2:]] == [f"JS-202610-{use_again.pk}"] * 2
    assert third.tax_invoice.amends_id == use_again.tax_invoice.pk
    assert violations() == []


def test_what_was_stated_anew_and_withdrawn_passes_on_what_it_amends() -> None:
    invoice = billed()
    void_invoice(invoice=invoice, reason="x", actor=ACTOR, now=THEN)
    second = reissue_invoice(invoice=invoice, actor=ACTOR, now=THEN)
    void_invoice(invoice=second, reason="y", actor=ACTOR, now=THEN)
    third = reissue_invoice(invoice=second, actor=ACTOR, now=THEN)
    assert third.tax_invoice.amends_id == invoice.tax_invoice.pk
    deliver(THEN)
    assert [(one[3], one[5]) for one in told()] == [
        (-2471, f"JS-202610-{invoice.pk}"),
        (2471, f"JS-202610-{invoice.pk}"),
    ]
    assert violations() == []


def test_a_void_for_a_cancelled_contract_is_dated_that_day_and_ends_the_matter() -> None:
    invoice = billed()
    with pytest.raises(InvalidInput):
        void_invoice(invoice=invoice, reason="x", actor=ACTOR, now=THEN, amendment_code="02")
    void_invoice(invoice=invoice, reason="계약 해제", actor=ACTOR, now=THEN, amendment_code="04")
    deliver(THEN)
    assert told() == [
        ("0201", "04", "2026-11-12", -2471, -247, f"JS-202610-{invoice.pk}", "당초 작성일자 2026-10-31"),
    ]
    assert violations() == []
    made = reissue_invoice(invoice=invoice, actor=ACTOR, now=THEN)
    assert (made.tax_invoice.type_code, made.tax_invoice.amends_id) == ("0101", None)
    assert violations() == []


def test_an_amendment_waits_for_the_document_that_it_amends() -> None:
    invoice = billed(sent=False)
    Delivery.objects.filter(kind="tax_invoice").update(next_attempt_at=NOW + timedelta(hours=1))
    credit(invoice, {1: 500}, now=NOW)
    assert deliver(NOW) == DeliveryReport(done=2, retried=2, dead=0)
    waiting = Delivery.objects.filter(kind="tax_amendment")
    assert {row.last_error.partition(":")[0] for row in waiting} == {"tax_original_not_issued"}
    with pytest.raises(TaxOriginalNotIssued):
        send_tax_invoice(tax_invoice=waiting[0].tax_invoice, provider=Watched(), now=NOW)
    assert deliver(NOW + timedelta(hours=1)).dead == 0
    deliver(NOW + timedelta(hours=2))
    assert [one[3] for one in told()] == [-2471, 1971]
    assert violations() == []


def test_an_amendment_is_sent_once_though_its_answer_is_lost() -> None:
    invoice = billed()
    credit(invoice, {1: 500}, "02")
    provider = Watched(Behaviour.TIMEOUT_AFTER_ACCEPT)
    assert deliver(THEN, provider).done == 2
    assert provider.calls == ["issue_amendment", "lookup"]
    row = TaxInvoice.objects.get(corrects=invoice)
    held = SandboxTaxDocument.objects.get(key=row.provider_key)
    assert (row.status, row.approval_no, held.payload["original_approval_no"]) == (
        "issued",
        held.approval_no,
        invoice.tax_invoice.approval_no,
    )
    # A worker died between the provider's yes and our note: the next one asks before it sends.
    credit(invoice, {2: 7}, "02")
    second = TaxInvoice.objects.filter(corrects=invoice).latest("pk")
    TaxInvoice.objects.filter(pk=second.pk).update(status="sending")
    second.attempts.create(started_at=THEN - ANSWER_TIMEOUT)
    provider = Watched()
    deliver(THEN, provider)
    assert provider.calls == ["lookup", "issue_amendment"]
    assert violations() == []


def test_a_provider_that_is_away_and_one_that_refuses() -> None:
    invoice = billed()
    credit(invoice, {1: 500}, "02")
    assert deliver(THEN, Watched(Behaviour.UNAVAILABLE)) == DeliveryReport(done=1, retried=1, dead=0)
    assert deliver(THEN + timedelta(minutes=1), Watched(Behaviour.REJECT)) == DeliveryReport(done=0, retried=0, dead=1)
    row = TaxInvoice.objects.get(corrects=invoice)
    assert (row.status, row.error_code) == ("failed", "sandbox_rejected")
    assert violations() == []


def test_an_amendment_past_its_deadline_waits_for_a_named_person() -> None:
    invoice = billed()
    credit(invoice, {1: 500}, "02", now=LATER)
    late = datetime(2027, 1, 12, 1, 0, tzinfo=UTC)
    assert deliver(late).dead == 1
    delivery = Delivery.objects.get(kind="tax_amendment")
    assert "2027-01-11" in delivery.last_error
    sent = issue_tax_invoice_late(
        delivery=delivery, actor="kim@operator.example", reason="가산세 감수", now=late, provider=Watched()
    )
    delivery.refresh_from_db()
    assert (sent.status, delivery.status) == ("issued", "done")


def test_the_books_see_what_the_tax_office_was_not_told() -> None:
    invoice = billed()
    credit(invoice, {1: 500}, "02")
    tampering = (
        "DELETE FROM billing_delivery WHERE kind = 'tax_amendment'",
        "UPDATE billing_taxinvoice SET supply_krw = -501, total_krw = -551 WHERE corrects_id IS NOT NULL",
        "UPDATE billing_creditnote SET document = jsonb_set(document, '{reason}', '\"\"')",
    )
    for statement in tampering:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")
            cursor.execute(statement)
            cursor.execute("SET session_replication_role = DEFAULT")
    found = {result.name: result.violations for result in check_books() if result.violations}
    assert set(found) == {"tax_amendments_add_up", "credit_note_documents_hold"}
    assert len(found["tax_amendments_add_up"]) == 2


@pytest.mark.parametrize("code", ["03", "05", "7", ""])
def test_codes_that_do_not_happen_to_usage_are_refused(code: str) -> None:
    with pytest.raises(DomainError) as refused:
        credit(billed(sent=False), {1: 1}, code)
    assert refused.value.field == "amendment_code"


# What contracts take off and add, and supplies without tax


def test_a_zero_rated_invoice_is_amended_as_one(mail_dir: Path) -> None:
    """USD 10.005 at 1,000: 10,005 won and no tax, which a note gives back without tax."""
    gaon = plain_house()
    zero_rate(gaon)
    spend(gaon, 10_005)
    close()
    deliver(NOW)
    invoice = Invoice.objects.get()
    note = credit(invoice, {1: 1_005}, "02")
    credit(invoice, {1: 500}, "01")
    deliver(THEN)
    original = f"JS-202610-{invoice.pk}"
    assert told() == [
        ("0202", "02", "2026-11-12", -1_005, 0, original, "당초 작성일자 2026-10-31"),
        ("0202", "01", "2026-10-31", -10_005, 0, original, ""),
        ("0202", "01", "2026-10-31", 9_505, 0, original, ""),
    ]
    page = credit_note_html(CreditNoteDocument.from_json(note.document))
    assert "–₩1,005" in page
    assert "–₩0" not in page
    assert "다시 계산한 부가세" not in page
    assert violations() == []


def test_lines_give_back_what_they_were_billed_at_after_discount_and_a_minimum_is_a_line_too() -> None:
    gaon = plain_house()
    at_least(gaon, 15_000)
    spend(gaon, 10_000)
    close()
    deliver(NOW)
    invoice = Invoice.objects.get()
    shortfall = invoice.lines.get(kind="minimum")
    note = credit(invoice, {1: 2_000, shortfall.position: 5_000})
    document = CreditNoteDocument.from_json(note.document)
    assert [(one.model_id, one.billed_krw, one.supply_krw, one.vat_krw) for one in document.lines] == [
        ("acme/dollar", 10_000, 2_000, 200),
        ("", 5_000, 5_000, 500),
    ]
    deliver(THEN)
    assert [one[3:5] for one in told()] == [(-15_000, -1_500), (8_000, 800)]
    assert violations() == []
