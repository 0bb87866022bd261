"""The outbox: rows written with the invoice, drained later by workers that may die at any line.

A worker claims one row until `claimed_until` and nobody else touches it before then. Mail is sent at least once: a worker
killed between the mail server's yes and our commit leaves a claim that runs out, and the mail goes out again under the
same Message-ID, by which mail programs and the file backend see one mail. A tax invoice is sent once, because the
provider is asked about its key first (`taxing`).
"""

from __future__ import annotations

import logging
import smtplib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parseaddr

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts.errors import DomainError, InvalidInput
from accounts.services import record_audit
from billing.adapters.registry import tax_provider
from billing.adapters.tax_provider import TaxInvoiceProvider
from billing.documents import InvoiceDocument, TopUpDocument
from billing.errors import TaxDeadlinePassed
from billing.mail import credit_note_email, invoice_email, top_up_email, void_email
from billing.models import CreditNote, Delivery, Invoice, TaxInvoice
from billing.notes import CreditNoteDocument
from billing.selectors.bounces import NAME_HEADER, delivery_name
from billing.selectors.corrections import replaced_number
from billing.services.bouncing import note_refusal
from billing.services.printing import ensure_credit_note_pdf, ensure_invoice_pdf
from billing.services.taxing import requeue_tax_invoice, send_tax_invoice

logger = logging.getLogger(__name__)

#: The recipient of the row that brings the tax invoice to the provider.
TAX_OFFICE = "tax-office"
#: Longer than any single sending may take, so that a claim that ran out belongs to a dead worker.
LEASE = timedelta(minutes=10)
#: How long to wait after the first, second, ... failure; after the one that follows the last, the row is given up.
BACKOFF = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 360, 720, 1440))
MAX_ATTEMPTS = len(BACKOFF) + 1

#: Why a row of a voided invoice is given up.
VOIDED = "the invoice was voided before this left"
_TAX_KINDS = (Delivery.Kind.TAX_INVOICE, Delivery.Kind.TAX_AMENDMENT)
_PENDING, _DONE, _DEAD = Delivery.Status.PENDING, Delivery.Status.DONE, Delivery.Status.DEAD


class DeliveryRefused(Exception):
    """Trying again changes nothing; the row waits for a person."""


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What one draining did: rows delivered, rows that will be tried again, rows given up."""

    done: int
    retried: int
    dead: int


def enqueue_deliveries(*, orders: Iterable[tuple[Invoice, Collection[str]]], now: datetime) -> None:
    """Write the outbox rows of invoices, each with its recipients; call it inside the issuing transaction. Repeating it
    adds nothing.

    One mail for each distinct address, compared in lower case, and one row for the tax invoice where there is one.
    """
    rows = []
    for invoice, recipients in orders:
        addresses = sorted({address.strip().lower() for address in recipients} - {""})
        wanted = [(Delivery.Kind.INVOICE_EMAIL, address) for address in addresses]
        if hasattr(invoice, "tax_invoice"):
            wanted.append((Delivery.Kind.TAX_INVOICE, TAX_OFFICE))
        rows += [
            Delivery(kind=kind, invoice=invoice, recipient=recipient, next_attempt_at=now, created_at=now)
            for kind, recipient in wanted
        ]
    Delivery.objects.bulk_create(rows, ignore_conflicts=True)


def deliver_due(
    *,
    now: datetime,
    limit: int,
    clock: Callable[[], datetime] = timezone.now,
    provider: TaxInvoiceProvider | None = None,
) -> DeliveryReport:
    """Deliver up to `limit` rows that are due at `now`. Any number of workers may do so at the same time.

    `clock` gives the running time, by which claims are dated; `provider` is the one of the settings unless given. No
    failure of one row stops the others.
    """
    provider = provider or tax_provider()
    outcomes: list[str] = []
    while len(outcomes) < limit:
        delivery = _claim_one(now=now, claimed_at=clock())
        if delivery is None:
            break
        outcomes.append(_deliver(delivery, clock=clock, provider=provider))
    return DeliveryReport(done=outcomes.count(_DONE), retried=outcomes.count(_PENDING), dead=outcomes.count(_DEAD))


def enqueue_credit_note(
    *, note: CreditNote, amendments: Collection[TaxInvoice], recipients: Collection[str], now: datetime
) -> None:
    """Write the outbox rows of a credit note and its amended tax invoices; call it inside the issuing transaction."""
    mails = _rows(Delivery.Kind.CREDIT_NOTE_EMAIL, recipients, now, credit_note=note)
    Delivery.objects.bulk_create([*mails, *_amendment_rows(amendments, now)], ignore_conflicts=True)


def enqueue_void(
    *, invoice: Invoice, amendments: Collection[TaxInvoice], recipients: Collection[str], now: datetime
) -> None:
    """Write the outbox rows of a voided invoice, and give up what of it has not left; call it inside the voiding
    transaction.
    """
    waiting = invoice.deliveries.filter(status=_PENDING)
    withdrawn = Q(kind=Delivery.Kind.TAX_INVOICE, invoice__tax_invoice__status=TaxInvoice.Status.WITHDRAWN)
    given_up = waiting.filter(Q(kind=Delivery.Kind.INVOICE_EMAIL) | withdrawn).values("pk")
    Delivery.objects.filter(pk__in=given_up).update(status=_DEAD, claimed_until=None, last_error=VOIDED)
    mails = _rows(Delivery.Kind.VOID_EMAIL, recipients, now, invoice=invoice)
    Delivery.objects.bulk_create([*mails, *_amendment_rows(amendments, now)], ignore_conflicts=True)


@transaction.atomic
def requeue_delivery(*, delivery: Delivery, actor: str, reason: str, now: datetime) -> Delivery:
    """Let a given-up row be tried again from the start. A row that isn't given up stays as it is."""
    if not reason.strip():
        raise InvalidInput("trying again needs a reason", field="reason")
    row = Delivery.objects.select_for_update(of=("self",)).select_related("invoice").get(pk=delivery.pk)
    if row.status != _DEAD:
        return row
    if row.kind in _TAX_KINDS:
        requeue_tax_invoice(tax_invoice=tax_invoice_of(row), actor=actor, reason=reason)
    data = {"attempts": row.attempts, "last_error": row.last_error}
    row.status, row.attempts, row.claimed_until, row.next_attempt_at = _PENDING, 0, None, now
    row.save(update_fields=["status", "attempts", "claimed_until", "next_attempt_at"])
    record_audit(actor=actor, action="requeue_delivery", subject=row, reason=reason, data=data)
    return row


def issue_tax_invoice_late(
    *, delivery: Delivery, actor: str, reason: str, now: datetime, provider: TaxInvoiceProvider
) -> TaxInvoice:
    """Issue a tax invoice after its deadline because the named person decided so; the penalty is the supplier's."""
    if not (actor.strip() and reason.strip()):
        raise InvalidInput("a late tax invoice needs a name and a reason", field="reason")
    sent = send_tax_invoice(
        tax_invoice=tax_invoice_of(delivery),
        provider=provider,
        now=now,
        force_late_by=actor,
        reason=reason,
    )
    if sent.status == TaxInvoice.Status.ISSUED:
        _finish(delivery, now=now)
    return sent


def message_id_of(delivery: Delivery) -> str:
    """The same for every attempt at the same row, so that a mail sent twice is seen to be one."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
    return f"<{delivery_name(delivery)}@{domain}>"


def tax_invoice_of(delivery: Delivery) -> TaxInvoice:
    """What a delivery to the tax office brings there."""
    return delivery.tax_invoice or _invoice_of(delivery).tax_invoice


def _claim_one(*, now: datetime, claimed_at: datetime) -> Delivery | None:
    """Claim the row that waits longest. An attempt counts from here, so a row that kills its worker ends as well."""
    with transaction.atomic(durable=True):
        row = (
            Delivery.objects.select_for_update(skip_locked=True, of=("self",))
            .select_related("invoice", "top_up_request", "credit_note", "tax_invoice")
            .filter(Q(claimed_until=None) | Q(claimed_until__lte=claimed_at), status=_PENDING, next_attempt_at__lte=now)
            .exclude(kind=Delivery.Kind.INVOICE_EMAIL, invoice__status=Invoice.Status.VOID)
            .exclude(kind=Delivery.Kind.TAX_INVOICE, invoice__tax_invoice__status=TaxInvoice.Status.WITHDRAWN)
            .order_by("next_attempt_at", "pk")
            .first()
        )
        if row is None:
            return None
        row.attempts += 1
        row.claimed_until = claimed_at + LEASE
        row.save(update_fields=["attempts", "claimed_until"])
        return row


def _deliver(delivery: Delivery, *, clock: Callable[[], datetime], provider: TaxInvoiceProvider) -> str:
    """Deliver a claimed row and write down how it went; the row's status afterwards."""
    try:
        if delivery.attempts > MAX_ATTEMPTS:
            raise DeliveryRefused("every worker that tried it died")
        if delivery.kind in _TAX_KINDS:
            _send_tax_invoice(delivery, now=clock(), provider=provider)
        else:
            _send_mail(delivery, now=clock())
    except smtplib.SMTPRecipientsRefused as refusal:
        error = _describe(refusal)
        if note_refusal(delivery=delivery, refusal=refusal, now=clock()):
            return _give_up(delivery, error=error)
        return _try_later(delivery, error=error, now=clock())
    except DeliveryRefused as refusal:
        return _give_up(delivery, error=str(refusal))
    except Exception as error:
        is_known = isinstance(error, DomainError | OSError)  # smtplib's errors are OSErrors
        logger.warning("delivery %s failed: %s", delivery.pk, _describe(error), exc_info=not is_known)
        return _try_later(delivery, error=_describe(error), now=clock())
    _finish(delivery, now=clock())
    return _DONE


def _send_mail(delivery: Delivery, *, now: datetime) -> None:
    message = _MESSAGES[Delivery.Kind(delivery.kind)](delivery, now)
    # Some mail servers write a Message-ID of their own; a report about the mail then names this one.
    message.extra_headers[NAME_HEADER] = delivery_name(delivery)
    if message.send() != 1:
        raise OSError("the mail backend took nothing")


def _invoice_message(delivery: Delivery, now: datetime) -> EmailMessage:
    invoice = _invoice_of(delivery)
    pdf = ensure_invoice_pdf(invoice=invoice, now=now)
    return invoice_email(
        _document(invoice),
        recipient=delivery.recipient,
        pdf=bytes(pdf.content),
        message_id=message_id_of(delivery),
        from_email=settings.DEFAULT_FROM_EMAIL,
        replaces=replaced_number(invoice),
    )


def _credit_note_message(delivery: Delivery, now: datetime) -> EmailMessage:
    assert delivery.credit_note is not None  # a constraint gives every mail of this kind one
    pdf = ensure_credit_note_pdf(note=delivery.credit_note, now=now)
    return credit_note_email(
        CreditNoteDocument.from_json(delivery.credit_note.document),
        recipient=delivery.recipient,
        pdf=bytes(pdf.content),
        message_id=message_id_of(delivery),
        from_email=settings.DEFAULT_FROM_EMAIL,
    )


def _void_message(delivery: Delivery, now: datetime) -> EmailMessage:
    invoice = _invoice_of(delivery)
    return void_email(
        _document(invoice),
        void=invoice.voiding,
        recipient=delivery.recipient,
        message_id=message_id_of(delivery),
        from_email=settings.DEFAULT_FROM_EMAIL,
    )


def _top_up_message(delivery: Delivery, now: datetime) -> EmailMessage:
    assert delivery.top_up_request is not None  # a constraint gives every mail of this kind one
    return top_up_email(
        TopUpDocument.from_json(delivery.top_up_request.document),
        recipient=delivery.recipient,
        message_id=message_id_of(delivery),
        from_email=settings.DEFAULT_FROM_EMAIL,
    )


_MESSAGES: dict[Delivery.Kind, Callable[[Delivery, datetime], EmailMessage]] = {
    Delivery.Kind.INVOICE_EMAIL: _invoice_message,
    Delivery.Kind.CREDIT_NOTE_EMAIL: _credit_note_message,
    Delivery.Kind.VOID_EMAIL: _void_message,
    Delivery.Kind.TOP_UP_EMAIL: _top_up_message,
}


def _send_tax_invoice(delivery: Delivery, *, now: datetime, provider: TaxInvoiceProvider) -> None:
    try:
        sent = send_tax_invoice(tax_invoice=tax_invoice_of(delivery), provider=provider, now=now)
    except TaxDeadlinePassed as error:
        raise DeliveryRefused(error.message) from None
    if sent.status == TaxInvoice.Status.FAILED:
        raise DeliveryRefused(f"{sent.error_code}: {sent.error_message}")


def _invoice_of(delivery: Delivery) -> Invoice:
    assert delivery.invoice is not None  # a constraint gives one to every delivery of these kinds
    return delivery.invoice


def _document(invoice: Invoice) -> InvoiceDocument:
    if invoice.document is None:
        raise InvalidInput("a draft has no document yet", field="invoice")
    return InvoiceDocument.from_json(invoice.document)


def _finish(delivery: Delivery, *, now: datetime) -> None:
    """It left the house: true whoever holds the claim by now."""
    Delivery.objects.filter(pk=delivery.pk).exclude(status=_DONE).update(
        status=_DONE, done_at=now, claimed_until=None, last_error=""
    )


def _try_later(delivery: Delivery, *, error: str, now: datetime) -> str:
    if delivery.attempts >= MAX_ATTEMPTS:
        return _give_up(delivery, error=error)
    _release(delivery, next_attempt_at=now + BACKOFF[delivery.attempts - 1], last_error=error[:500])
    return _PENDING


def _give_up(delivery: Delivery, *, error: str) -> str:
    _release(delivery, status=_DEAD, last_error=error[:500])
    return _DEAD


def _release(delivery: Delivery, **changes: object) -> None:
    """End our claim; without effect when it ran out and somebody else has the row."""
    Delivery.objects.filter(pk=delivery.pk, status=_PENDING, claimed_until=delivery.claimed_until).update(
        claimed_until=None, **changes
    )


def _rows(kind: Delivery.Kind, recipients: Collection[str], now: datetime, **subject: object) -> list[Delivery]:
    """One mail for each distinct address, compared in lower case."""
    addresses = sorted({address.strip().lower() for address in recipients} - {""})
    return [
        Delivery(kind=kind, recipient=address, next_attempt_at=now, created_at=now, **subject) for address in addresses
    ]


def _amendment_rows(amendments: Collection[TaxInvoice], now: datetime) -> list[Delivery]:
    kind = Delivery.Kind.TAX_AMENDMENT
    return [
        Delivery(kind=kind, tax_invoice=row, recipient=TAX_OFFICE, next_attempt_at=now, created_at=now)
        for row in amendments
    ]


def _describe(error: Exception) -> str:
    """What an operator reads. Only texts that we know to carry no password, address list or document."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = sorted({code for code, _text in error.recipients.values()})
        return f"SMTPRecipientsRefused: the mail server answered {', '.join(map(str, codes))}"
    if isinstance(error, DomainError):
        return f"{error.code}: {error.message}"
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{type(error).__name__}: the mail server answered {error.smtp_code}"
    if isinstance(error, OSError) and error.strerror:
        return f"{type(error).__name__}: {error.strerror}"
    return type(error).__name__
