"""Mails that come back: who, when, why, told once, and sent again to where the customer really is."""

from __future__ import annotations

import io
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client

from accounts.errors import InvalidInput
from accounts.models import AuditEntry, User
from billing.adapters.bounce_reports import split_mails
from billing.errors import NotResendable
from billing.models import Alert, Delivery, DeliveryBounce
from billing.selectors.bounces import delivery_name, delivery_named
from billing.services.bouncing import note_bounces, resend_delivery
from billing.services.delivering import DeliveryReport, message_id_of
from tests.billing import factories
from tests.billing.bounce_mails import exchange, gmail, mbox, postfix, vacation
from tests.billing.commands import run
from tests.billing.factories import NOW
from tests.billing.outbox import deliver, mail_server, mails, row_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("mail_dir")]

LATER = NOW + timedelta(days=1)


@pytest.fixture
def sent(mail_dir: Path) -> bytes:
    """October's invoice, mailed: the bytes that left."""
    factories.issued_invoice()
    assert deliver().done == 2
    [path] = mail_dir.glob("*.eml")
    return path.read_bytes()


def facts(bounce: DeliveryBounce) -> tuple[Any, ...]:
    return (
        bounce.delivery.kind,
        bounce.recipient,
        bounce.action,
        bounce.status_code,
        bounce.is_permanent,
        bounce.diagnostic,
        bounce.reported_by,
        bounce.bounced_at,
        bounce.source,
    )


# Reports


def test_every_mail_names_its_row(sent: bytes) -> None:
    row = row_of("invoice_email")
    assert f"X-Jeongsan-Delivery: {delivery_name(row)}".encode() in sent
    assert message_id_of(row) == f"<{delivery_name(row)}@jeongsan.example>"
    assert delivery_named(["nothing", message_id_of(row)]) == row
    assert delivery_named([message_id_of(row).replace("-", "-9", 1)]) is None
    assert delivery_named([f"invoice-{row.invoice_id}-00000000"]) is None


def test_postfix(sent: bytes) -> None:
    notes = note_bounces(mails=[postfix(sent)], now=LATER)
    assert (notes.noted, notes.known, notes.strangers, notes.other_mails) == (1, 0, [], 0)
    assert facts(DeliveryBounce.objects.get()) == (
        "invoice_email",
        "tax@gaonrobotics.example",
        "failed",
        "5.1.1",
        True,
        "550 5.1.1 <tax@gaonrobotics.example>: Recipient address rejected: User unknown in local recipient table",
        "mail.gaonrobotics.example",
        datetime(2026, 11, 2, 0, 0, 7, tzinfo=UTC),
        "dsn",
    )


def test_exchange(sent: bytes) -> None:
    assert note_bounces(mails=[exchange(message_id_of(row_of("invoice_email")))], now=LATER).noted == 1
    assert facts(DeliveryBounce.objects.get()) == (
        "invoice_email",
        "tax@gaonrobotics.example",
        "failed",
        "5.1.10",
        True,
        "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
        "SL2PR01MB0001.apcprd01.prod.example",
        datetime(2026, 11, 2, 0, 0, 9, tzinfo=UTC),
        "dsn",
    )


def test_gmail_under_a_rewritten_message_id(sent: bytes) -> None:
    assert note_bounces(mails=[gmail(sent)], now=LATER).noted == 1
    assert facts(DeliveryBounce.objects.get()) == (
        "invoice_email",
        "tax@gaonrobotics.example",
        "failed",
        "5.2.2",
        True,
        "552-5.2.2 The recipient's inbox is out of storage space and inactive.",
        "aspmx.l.googlemail.example. (192.0.2.26, the server for the domain gaonrobotics.example.)",
        datetime(2026, 11, 2, 0, 0, 10, tzinfo=UTC),
        "dsn",
    )


def test_a_delay_is_noted_and_nobody_is_called(sent: bytes) -> None:
    assert note_bounces(mails=[postfix(sent, action="delayed", status="4.4.1")], now=LATER).noted == 1
    bounce = DeliveryBounce.objects.get()
    assert (bounce.action, bounce.status_code, bounce.is_permanent) == ("delayed", "4.4.1", False)
    assert Alert.objects.count() == 0
    with pytest.raises(NotResendable):
        resend_delivery(delivery=bounce.delivery, recipient="a@b.example", actor="kim", reason="x", now=LATER)


def test_a_soft_failure_is_no_permanent_one(sent: bytes) -> None:
    note_bounces(mails=[postfix(sent, status="4.2.2")], now=LATER)
    assert DeliveryBounce.objects.get().is_permanent is False
    assert Alert.objects.get().detail["permanent"] == "no"


@pytest.mark.parametrize("action", ["delivered", "relayed", "expanded"])
def test_reports_of_success_are_no_bounces(sent: bytes, action: str) -> None:
    notes = note_bounces(mails=[postfix(sent, action=action, status="2.0.0")], now=LATER)
    assert (notes.noted, notes.other_mails) == (0, 1)


@pytest.mark.parametrize(
    "mail",
    [
        b"",
        b"\xff\xfe\x00",
        vacation(),
        b"Content-Type: multipart/report; report-type=delivery-status; boundary=x\n\n--x\nContent-Type: "
        b"message/delivery-status\n\n\n--x--\n",
        b"Content-Type: message/delivery-status\n\nnothing here\n",
    ],
)
def test_what_reports_nothing_is_skipped(mail: bytes) -> None:
    notes = note_bounces(mails=[mail], now=LATER)
    assert (notes.noted, notes.other_mails, notes.strangers) == (0, 1, [])


def test_a_report_without_date_and_status_takes_what_there_is(sent: bytes) -> None:
    bare = postfix(sent).replace(b"Status: 5.1.1\n", b"")
    bare = b"\n".join(line for line in bare.split(b"\n") if not line.startswith((b"Date:", b"Arrival-Date:")))
    note_bounces(mails=[bare], now=LATER)
    bounce = DeliveryBounce.objects.get()
    assert (bounce.status_code, bounce.bounced_at) == ("5.1.1", LATER)


def test_the_same_report_twice_is_noted_once_and_alerted_once(sent: bytes) -> None:
    note_bounces(mails=[postfix(sent)], now=LATER)
    again = note_bounces(mails=[postfix(sent), gmail(sent)], now=LATER + timedelta(hours=1))
    assert (again.noted, again.known) == (1, 1)
    alert = Alert.objects.get()
    assert (alert.kind, alert.subject) == ("mail_bounced", "INV-202610-0001 tax@gaonrobotics.example")
    assert alert.detail["status_code"] == "5.1.1"
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM billing_deliverybounce")


def test_a_mailbox_is_read_mail_by_mail(sent: bytes) -> None:
    stranger = exchange("<somebody-elses@mail.example>", to="other@x.example")
    whole = mbox(postfix(sent), vacation(), stranger)
    assert len(list(split_mails(whole))) == len(list(split_mails(whole.replace(b"\n", b"\r\n")))) == 3
    notes = note_bounces(mails=split_mails(whole), now=LATER)
    assert (notes.noted, notes.strangers, notes.other_mails) == (1, ["other@x.example"], 1)


# The command


def test_the_command_reads_a_file_and_standard_input(sent: bytes, tmp_path: Path, monkeypatch: Any) -> None:
    file = tmp_path / "bounces.mbox"
    file.write_bytes(mbox(postfix(sent), vacation()))
    answer = {"noted": 1, "known": 0, "strangers": [], "other_mails": 1}
    assert run("note_bounces", str(file)) == (0, answer)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(exchange("<x@y>"))))
    assert run("note_bounces", "-") == (
        1,
        {"noted": 0, "known": 0, "strangers": ["tax@gaonrobotics.example"], "other_mails": 0},
    )
    code, refusal = run("note_bounces", str(tmp_path / "none"))
    assert (code, refusal["error"]["field"]) == (2, "file")


# Refused at once


def test_an_address_that_the_server_refuses_is_noted_and_not_tried_again(settings: Any) -> None:
    with mail_server(settings):
        factories.issued_invoice(factories.customer(email="nobody@refused.example"))
        assert deliver() == DeliveryReport(done=1, retried=0, dead=1)
    row = row_of("invoice_email")
    assert (row.status, row.attempts, row.last_error) == (
        "dead",
        1,
        "SMTPRecipientsRefused: the mail server answered 550",
    )
    assert facts(DeliveryBounce.objects.get()) == (
        "invoice_email",
        "nobody@refused.example",
        "failed",
        "550",
        True,
        "550 no such user",
        "",
        NOW,
        "smtp",
    )
    assert Alert.objects.get().kind == "mail_bounced"


def test_an_address_that_is_put_off_is_tried_again(settings: Any) -> None:
    with mail_server(settings) as mailbox:
        mailbox.answer = "451 4.7.1 greylisted"
        factories.issued_invoice(factories.customer(email="grey@refused.example"))
        assert deliver() == DeliveryReport(done=1, retried=1, dead=0)
    assert row_of("invoice_email").last_error == "SMTPRecipientsRefused: the mail server answered 451"
    assert DeliveryBounce.objects.count() == 0


# Sent again


def test_a_mail_that_came_back_goes_to_a_corrected_address_once(sent: bytes, mail_dir: Path) -> None:
    note_bounces(mails=[postfix(sent)], now=LATER)
    row = row_of("invoice_email")
    for recipient, field in (("nobody", "recipient"), ("", "recipient")):
        with pytest.raises(InvalidInput) as refused:
            resend_delivery(delivery=row, recipient=recipient, actor="kim", reason="x", now=LATER)
        assert refused.value.field == field
    made = resend_delivery(delivery=row, recipient=" Billing@Gaon.example ", actor="kim", reason="주소 변경", now=LATER)
    assert (made.recipient, made.resend_of, made.status) == ("billing@gaon.example", row, "pending")
    with pytest.raises(NotResendable):
        resend_delivery(delivery=row, recipient="again@gaon.example", actor="kim", reason="x", now=LATER)
    assert deliver(LATER) == DeliveryReport(done=1, retried=0, dead=0)
    first, second = sorted(mails(mail_dir), key=lambda mail: str(mail["To"]))
    assert (str(first["To"]), first["Message-ID"] != second["Message-ID"]) == ("billing@gaon.example", True)
    assert AuditEntry.objects.get(action="resend_delivery").data == {
        "from": "tax@gaonrobotics.example",
        "to": "billing@gaon.example",
        "delivery": made.pk,
    }
    # It may come back as well, and to the same address as before is a row of its own.
    sent_again = mail_dir.joinpath(f"{delivery_name(made)}@jeongsan.example.eml").read_bytes()
    assert note_bounces(mails=[postfix(sent_again)], now=LATER).noted == 1
    third = resend_delivery(delivery=made, recipient="tax@gaonrobotics.example", actor="kim", reason="x", now=LATER)
    assert (deliver(LATER).done, Delivery.objects.count()) == (1, 4)
    assert message_id_of(third) not in {message_id_of(row), message_id_of(made)}


def test_a_tax_invoice_is_not_sent_to_another_address() -> None:
    factories.issued_invoice()
    Delivery.objects.filter(kind="tax_invoice").update(status="dead")
    with pytest.raises(NotResendable):
        resend_delivery(delivery=row_of("tax_invoice"), recipient="a@b.example", actor="kim", reason="x", now=NOW)


def test_operators_see_what_came_back_and_send_it_again(sent: bytes) -> None:
    note_bounces(mails=[postfix(sent)], now=LATER)
    desk = Client(headers={"accept-language": "en"})
    desk.force_login(User.objects.create_superuser("kim@operator.example"))
    row = row_of("invoice_email")
    listed = desk.get("/admin/billing/delivery/?bounced=yes").content.decode()
    assert "tax@gaonrobotics.example" in listed
    assert "tax-office" not in listed
    page = desk.get(f"/admin/billing/delivery/{row.pk}/change/").content.decode()
    assert "User unknown in local recipient table" in page
    path = f"/admin/billing/delivery/{row.pk}/resend/"
    assert "User unknown" in desk.get(path).content.decode()
    assert desk.post(path, {"recipient": "no address", "reason": "x"}).context["form"].errors["recipient"]
    assert desk.post(path, {"recipient": "new@gaon.example", "reason": "moved"}).status_code == 302
    again = Delivery.objects.get(resend_of=row)
    assert again.recipient == "new@gaon.example"
    assert "Sent again" in desk.get(f"/admin/billing/delivery/{row.pk}/change/").content.decode()
    assert desk.get(path).status_code == 302
    assert "5.1.1" in desk.get("/admin/billing/deliverybounce/?customer=gaon").content.decode()
