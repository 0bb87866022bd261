"""The outbox: one mail a recipient, one tax invoice, retries that end, refusals that wait for a person."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.errors import InvalidInput
from accounts.models import AuditEntry
from billing import tasks
from billing.adapters.tax_sandbox import Behaviour
from billing.models import Delivery, InvoicePdf, SandboxTaxDocument
from billing.services.delivering import (
    BACKOFF,
    MAX_ATTEMPTS,
    TAX_OFFICE,
    DeliveryReport,
    deliver_due,
    enqueue_deliveries,
    ensure_invoice_pdf,
    issue_tax_invoice_late,
    message_id_of,
    requeue_delivery,
)
from tests.billing import factories
from tests.billing.commands import run
from tests.billing.factories import NOW
from tests.billing.outbox import deliver, facts, mail_only, mail_server, mails, row_of
from tests.billing.providers import Watched

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("mail_dir")]

ONE_SECOND = timedelta(seconds=1)


# Rows


def test_each_address_gets_one_row_whatever_its_case() -> None:
    owner = factories.customer(email="Tax@Gaon.example", email2="tax@gaon.example")
    invoice = factories.issued_invoice(owner)
    assert list(invoice.deliveries.order_by("kind").values_list("kind", "recipient", "status", "next_attempt_at")) == [
        ("invoice_email", "tax@gaon.example", "pending", NOW),
        ("tax_invoice", TAX_OFFICE, "pending", NOW),
    ]


def test_two_addresses_get_a_row_each_and_enqueuing_again_adds_none() -> None:
    invoice = factories.issued_invoice(factories.customer(email2="boss@gaon.example"))
    before = list(invoice.deliveries.order_by("pk").values_list("pk", "recipient"))
    enqueue_deliveries(orders=[(invoice, ["BOSS@gaon.example ", "", "tax@gaonrobotics.example"])], now=NOW)
    assert list(invoice.deliveries.order_by("pk").values_list("pk", "recipient")) == before
    assert sorted(recipient for _, recipient in before) == ["boss@gaon.example", TAX_OFFICE, "tax@gaonrobotics.example"]


# Delivering


def test_mails_and_tax_invoice_go_out_once(mail_dir: Path) -> None:
    invoice = factories.issued_invoice(factories.customer(email2="boss@gaon.example"))
    assert deliver() == DeliveryReport(done=3, retried=0, dead=0)
    first, second = mails(mail_dir)
    assert {str(first["To"]), str(second["To"])} == {"boss@gaon.example", "tax@gaonrobotics.example"}
    assert first["Message-ID"] != second["Message-ID"]
    pdf = InvoicePdf.objects.get(invoice=invoice)
    assert bytes(pdf.content).startswith(b"%PDF-")
    assert pdf.sha256 == hashlib.sha256(bytes(pdf.content)).hexdigest()
    for mail in (first, second):
        assert "₩1,811,765" in mail["Subject"]
        [attachment] = mail.iter_attachments()
        assert attachment.get_filename() == "청구서_INV-202610-0001.pdf"
        assert attachment.get_content() == bytes(pdf.content)
    assert SandboxTaxDocument.objects.get().key == f"JS-202610-{invoice.pk}"
    assert set(invoice.deliveries.values_list("status", "attempts", "done_at", "claimed_until", "last_error")) == {
        ("done", 1, NOW, None, "")
    }
    # Nothing is left, and nothing happens again.
    stamps = {path.name: path.stat().st_mtime_ns for path in mail_dir.iterdir()}
    assert deliver(NOW + timedelta(days=30)) == DeliveryReport(done=0, retried=0, dead=0)
    assert {path.name: path.stat().st_mtime_ns for path in mail_dir.iterdir()} == stamps


def test_the_message_id_depends_on_invoice_and_address_alone(mail_dir: Path) -> None:
    invoice = factories.issued_invoice()
    deliver()
    digest = hashlib.sha256(b"tax@gaonrobotics.example").hexdigest()[:8]
    assert message_id_of(row_of("invoice_email")) == f"<invoice-{invoice.pk}-{digest}@jeongsan.example>"
    [mail] = mails(mail_dir)
    assert mail["Message-ID"] == f"<invoice-{invoice.pk}-{digest}@jeongsan.example>"
    assert [path.name for path in mail_dir.iterdir()] == [f"invoice-{invoice.pk}-{digest}@jeongsan.example.eml"]


def test_nothing_goes_before_it_is_due_and_the_limit_holds(mail_dir: Path) -> None:
    factories.issued_invoice(factories.customer(email2="boss@gaon.example"))
    assert deliver(NOW - ONE_SECOND) == DeliveryReport(done=0, retried=0, dead=0)
    assert deliver(limit=2).done == 2
    assert Delivery.objects.filter(status="pending").count() == 1


def test_one_customers_failure_stops_nobody_else(mail_dir: Path) -> None:
    broken = factories.issued_invoice(factories.customer("broken"))
    fine = factories.issued_invoice(factories.customer("fine", email="fine@fine.example"), number="INV-202610-0002")
    mail_dir.mkdir()
    in_the_way = mail_dir / f"{message_id_of(row_of('invoice_email', broken)).strip('<>')}.eml"
    in_the_way.mkdir()
    assert deliver() == DeliveryReport(done=3, retried=1, dead=0)
    row = row_of("invoice_email", broken)
    assert facts(row) == ("pending", 1, None)
    assert row.next_attempt_at == NOW + timedelta(minutes=1)
    assert row.last_error == "IsADirectoryError: Is a directory"
    assert facts(row_of("invoice_email", fine))[0] == "done"
    in_the_way.rmdir()
    assert deliver(NOW + timedelta(minutes=1)).done == 1
    assert (facts(row), row.last_error) == (("done", 2, None), "")


def test_retries_wait_longer_and_longer_and_end(settings: Any) -> None:
    factories.issued_invoice()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_HOST_PASSWORD = "127.0.0.1", 1, "secret-of-the-mail-server"
    row = row_of("invoice_email")
    now, waits = NOW, []
    assert deliver(now) == DeliveryReport(done=1, retried=1, dead=0)
    while facts(row)[0] == "pending":
        waits.append(row.next_attempt_at - now)
        now = row.next_attempt_at
        assert deliver(now - ONE_SECOND) == DeliveryReport(done=0, retried=0, dead=0)
        deliver(now)
    assert tuple(waits) == BACKOFF == tuple(timedelta(minutes=m) for m in (1, 5, 30, 120, 360, 720, 1440))
    assert facts(row) == ("dead", MAX_ATTEMPTS, None)
    assert row.last_error == "ConnectionRefusedError: Connection refused"
    assert "secret" not in row.last_error
    assert deliver(now + timedelta(days=30)) == DeliveryReport(done=0, retried=0, dead=0)


def test_a_given_up_row_starts_again_when_a_person_says_why(settings: Any, mail_dir: Path) -> None:
    factories.issued_invoice()
    row = row_of("invoice_email")
    Delivery.objects.filter(pk=row.pk).update(status="dead", attempts=8, last_error="SMTPDataError: 550")
    with pytest.raises(InvalidInput) as refused:
        requeue_delivery(delivery=row, actor="op@jeongsan.example", reason="", now=NOW)
    assert refused.value.field == "reason"
    requeue_delivery(delivery=row, actor="op@jeongsan.example", reason="주소 확인", now=NOW)
    assert facts(row) == ("pending", 0, None)
    entry = AuditEntry.objects.get(action="requeue_delivery")
    assert entry.data == {"attempts": 8, "last_error": "SMTPDataError: 550"}
    assert deliver().done == 2
    assert len(mails(mail_dir)) == 1
    # Done is done.
    requeue_delivery(delivery=row, actor="op@jeongsan.example", reason="again", now=NOW)
    assert facts(row)[0] == "done"
    assert AuditEntry.objects.filter(action="requeue_delivery").count() == 1


@pytest.mark.parametrize(
    "sql",
    ["UPDATE billing_delivery SET status = 'pending', done_at = NULL", "DELETE FROM billing_delivery"],
)
def test_the_database_keeps_what_was_delivered(sql: str) -> None:
    factories.issued_invoice()
    deliver()
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)


# The tax invoice's row


def test_a_refused_tax_invoice_is_not_tried_again_by_itself() -> None:
    invoice = factories.issued_invoice()
    assert deliver(provider=Watched(Behaviour.REJECT)) == DeliveryReport(done=1, retried=0, dead=1)
    row = row_of("tax_invoice")
    assert facts(row) == ("dead", 1, None)
    assert row.last_error == "sandbox_rejected: buyer.registration_no: the sandbox plays a refusal"
    requeue_delivery(delivery=row, actor="op@jeongsan.example", reason="번호 정정 확인", now=NOW)
    assert deliver().done == 1
    invoice.tax_invoice.refresh_from_db()
    assert (invoice.tax_invoice.status, facts(row)[0]) == ("issued", "done")


def test_a_provider_that_is_away_is_asked_again_later() -> None:
    invoice = factories.issued_invoice()
    assert deliver(provider=Watched(Behaviour.UNAVAILABLE)) == DeliveryReport(done=1, retried=1, dead=0)
    row = row_of("tax_invoice")
    assert facts(row) == ("pending", 1, None)
    assert row.last_error.startswith("tax_provider_away: ")
    assert invoice.tax_invoice.status == "queued"
    assert deliver(NOW + timedelta(minutes=1)).done == 1


def test_the_setting_and_the_address_choose_what_the_sandbox_does(settings: Any) -> None:
    settings.TAX_SANDBOX_BEHAVIOUR = "timeout_after_accept"
    factories.issued_invoice(factories.customer("a"))
    rejected = factories.issued_invoice(factories.customer("b", email="tax+reject@b.example"), number="INV-202610-0002")
    report = deliver_due(now=NOW, limit=100, clock=lambda: NOW)
    assert report == DeliveryReport(done=3, retried=0, dead=1)
    assert facts(row_of("tax_invoice", rejected))[0] == "dead"
    assert SandboxTaxDocument.objects.count() == 1


def test_a_late_tax_invoice_waits_for_a_named_person() -> None:
    invoice = factories.issued_invoice()
    late = datetime.fromisoformat("2026-11-11T00:00:00+09:00")
    assert deliver(late) == DeliveryReport(done=1, retried=0, dead=1)
    row = row_of("tax_invoice")
    assert facts(row)[0] == "dead"
    assert "2026-11-10" in row.last_error
    for actor, reason in (("", "because"), ("op@jeongsan.example", " ")):
        with pytest.raises(InvalidInput):
            issue_tax_invoice_late(delivery=row, actor=actor, reason=reason, now=late, provider=Watched())
    sent = issue_tax_invoice_late(
        delivery=row, actor="op@jeongsan.example", reason="가산세 감수", now=late, provider=Watched()
    )
    assert (sent.status, facts(row)[0]) == ("issued", "done")
    assert AuditEntry.objects.get(action="force_late_tax_invoice").object_id == str(invoice.tax_invoice.pk)


# The PDF


def test_the_pdf_is_made_once_and_stays() -> None:
    invoice = factories.issued_invoice()
    first = ensure_invoice_pdf(invoice=invoice, now=NOW)
    second = ensure_invoice_pdf(invoice=invoice, now=NOW + timedelta(days=1))
    assert (first.pk, first.created_at) == (second.pk, NOW)
    assert bytes(first.content) == bytes(second.content)
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE billing_invoicepdf SET content = 'other'")


def test_a_draft_has_no_pdf() -> None:
    invoice = factories.issued_invoice()
    invoice.document = None
    with pytest.raises(InvalidInput):
        ensure_invoice_pdf(invoice=invoice, now=NOW)


# A real mail server


def test_over_smtp(settings: Any) -> None:
    with mail_server(settings) as mailbox:
        factories.issued_invoice(factories.customer(email2="boss@refused.example"))
        assert deliver() == DeliveryReport(done=2, retried=0, dead=1)
    [(recipients, content)] = mailbox.received
    assert recipients == ["tax@gaonrobotics.example"]
    mail = message_from_bytes(content, policy=policy.default)
    assert mail["Message-ID"] == message_id_of(Delivery.objects.get(recipient="tax@gaonrobotics.example"))
    assert mail["From"] == "Jeongsan <billing@jeongsan.example>"
    [attachment] = mail.iter_attachments()  # type: ignore[attr-defined]
    assert hashlib.sha256(attachment.get_content()).hexdigest() == InvoicePdf.objects.get().sha256
    refused = Delivery.objects.get(recipient="boss@refused.example")
    assert (refused.status, refused.last_error) == ("dead", "SMTPRecipientsRefused: the mail server answered 550")


# Edges


def test_the_command_reports_in_one_object(mail_dir: Path) -> None:
    factories.issued_invoice(factories.customer(email2="boss@gaon.example"))
    mail_only()
    in_the_way = mail_dir / f"{message_id_of(Delivery.objects.get(recipient='boss@gaon.example')).strip('<>')}.eml"
    in_the_way.mkdir(parents=True)
    assert run("deliver_due") == (0, {"done": 1, "retried": 1, "dead": 0, "waiting": 1})
    in_the_way.rmdir()
    mail_only()
    assert run("deliver_due") == (0, {"done": 1, "retried": 0, "dead": 0, "waiting": 0})
    assert len(mails(mail_dir)) == 2


def test_a_provider_that_does_not_exist_is_named_before_anything_is_claimed(settings: Any) -> None:
    settings.TAX_PROVIDER = "popbill"
    factories.issued_invoice()
    code, answer = run("deliver_due")
    assert (code, answer["error"]["code"]) == (2, "tax_provider_misconfigured")
    assert "TAX_PROVIDER is 'popbill'" in answer["error"]["message"]
    assert set(Delivery.objects.values_list("status", "attempts")) == {("pending", 0)}


def test_the_task_drains_the_outbox(mail_dir: Path) -> None:
    factories.issued_invoice()
    mail_only()
    tasks.deliver_due.run()
    assert (facts(row_of("invoice_email"))[0], len(mails(mail_dir))) == ("done", 1)
