"""Mails that came back: noted on their row of the outbox, told to the operators, sent again when one of these says so."""

from __future__ import annotations

import smtplib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from accounts.errors import InvalidInput
from accounts.services import record_audit
from billing.adapters.bounce_reports import BounceReport, ReportedRecipient, read_report, status_of
from billing.errors import NotResendable
from billing.formatting import one_line
from billing.models import Alert, Delivery, DeliveryBounce
from billing.selectors.bounces import delivery_named, is_resendable, subject_text
from billing.services.alerting import raise_alert

_NOTED = frozenset(DeliveryBounce.Action.values)


@dataclass(slots=True)
class BounceNotes:
    """What reading reports did: bounces written, known before, addresses of mails that are none of ours, other mails."""

    noted: int = 0
    known: int = 0
    strangers: list[str] = field(default_factory=list)
    other_mails: int = 0


def note_bounces(*, mails: Iterable[bytes], now: datetime) -> BounceNotes:
    """Read reports and write down what they say of our mails. Reading the same ones again adds nothing.

    Reports of success (delivered, relayed, expanded) count as other mails.
    """
    notes = BounceNotes()
    for mail in mails:
        report = read_report(mail)
        bounced = [one for one in report.recipients if one.action in _NOTED] if report else []
        if report is None or not bounced:
            notes.other_mails += 1
            continue
        delivery = delivery_named(report.names)
        for recipient in bounced:
            if delivery is None:
                notes.strangers.append(one_line(recipient.address))
            elif _note(delivery, recipient, report, now=now):
                notes.noted += 1
            else:
                notes.known += 1
    return notes


def note_refusal(*, delivery: Delivery, refusal: smtplib.SMTPRecipientsRefused, now: datetime) -> bool:
    """Write down that the mail server refused the recipient for good; False, and nothing, where it may be tried again."""
    code, said = next(iter(refusal.recipients.values()))
    if not 500 <= code < 600:
        return False
    text = one_line(said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said))
    bounce = DeliveryBounce(
        delivery=delivery,
        recipient=delivery.recipient,
        action=DeliveryBounce.Action.FAILED,
        status_code=status_of(text) or str(code),
        diagnostic=f"{code} {text}"[:500],
        source=DeliveryBounce.Source.SMTP,
        bounced_at=now,
        report_id=f"smtp-{now.timestamp():.0f}",
    )
    _keep(bounce, now=now)
    return True


@transaction.atomic
def resend_delivery(*, delivery: Delivery, recipient: str, actor: str, reason: str, now: datetime) -> Delivery:
    """Send a mail that came back, or was given up, once more: to this address, as a row of its own.

    The address of the tax profile stays as it is. Raises NotResendable for what is no such mail or was sent again already,
    InvalidInput for an address that is none.
    """
    if not reason.strip():
        raise InvalidInput("sending again needs a reason", field="reason")
    address = recipient.strip().lower()
    try:
        validate_email(address)
    except ValidationError:
        raise InvalidInput("recipient: this is no e-mail address", field="recipient") from None
    row = Delivery.objects.select_for_update(of=("self",)).get(pk=delivery.pk)
    if not is_resendable(row):
        raise NotResendable("only a mail that came back or was given up is sent again, and once", field="recipient")
    made = Delivery.objects.create(
        kind=row.kind,
        invoice_id=row.invoice_id,
        top_up_request_id=row.top_up_request_id,
        credit_note_id=row.credit_note_id,
        recipient=address,
        resend_of=row,
        next_attempt_at=now,
        created_at=now,
    )
    data = {"from": row.recipient, "to": address, "delivery": made.pk}
    record_audit(actor=actor, action="resend_delivery", subject=row, reason=reason, data=data)
    return made


def _note(delivery: Delivery, said: ReportedRecipient, report: BounceReport, *, now: datetime) -> bool:
    bounce = DeliveryBounce(
        delivery=delivery,
        recipient=one_line(said.address)[:254] or delivery.recipient,
        action=said.action,
        status_code=said.status_code or ("5.0.0" if said.action == DeliveryBounce.Action.FAILED else "4.0.0"),
        diagnostic=one_line(said.diagnostic)[:500],
        source=DeliveryBounce.Source.DSN,
        reported_by=one_line(said.reported_by)[:254],
        bounced_at=said.bounced_at or now,
        report_id=report.report_id,
    )
    return _keep(bounce, now=now)


@transaction.atomic
def _keep(bounce: DeliveryBounce, *, now: datetime) -> bool:
    """Write a bounce unless it is there, and tell the operators of one that is final; whether it was written."""
    bounce.created_at = now
    same = {"delivery": bounce.delivery, "report_id": bounce.report_id, "recipient": bounce.recipient}
    if DeliveryBounce.objects.filter(**same).exists():
        return False
    bounce.save(force_insert=True)
    if bounce.action == DeliveryBounce.Action.FAILED:
        raise_alert(
            kind=Alert.Kind.MAIL_BOUNCED,
            subject=f"{subject_text(bounce.delivery)} {bounce.recipient}",
            detail={
                "kind": bounce.delivery.kind,
                "status_code": bounce.status_code,
                "permanent": "yes" if bounce.is_permanent else "no",
                "diagnostic": bounce.diagnostic,
            },
            now=now,
        )
    return True
