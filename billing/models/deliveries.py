"""The outbox: what must leave the house, written with the fact that causes it, drained by tasks."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from billing.models.credit_notes import CreditNote
from billing.models.invoices import Invoice
from billing.models.prepayments import TopUpRequest
from billing.models.tax_invoices import TaxInvoice

_SUBJECTS = ("invoice", "top_up_request", "credit_note", "tax_invoice")


def _of(subject: str, *kinds: str) -> Q:
    """Rows of these kinds name this subject and no other."""
    return Q(kind__in=kinds, **{f"{name}__isnull": name != subject for name in _SUBJECTS})


class Delivery(models.Model):
    """One thing to one recipient, once. A worker claims it until `claimed_until`; a dead worker's claim runs out.

    `invoice` is what an invoice's mail, its voiding's mail and its tax invoice are about; the other kinds name a row of
    their own. A mail that came back may be sent once more, to a corrected address, by a row that is `resend_of` the first.
    """

    class Kind(models.TextChoices):
        INVOICE_EMAIL = "invoice_email", _("invoice e-mail")
        TAX_INVOICE = "tax_invoice", _("tax invoice")
        TOP_UP_EMAIL = "top_up_email", _("top-up e-mail")
        CREDIT_NOTE_EMAIL = "credit_note_email", _("credit note e-mail")
        VOID_EMAIL = "void_email", _("e-mail about a voided invoice")
        TAX_AMENDMENT = "tax_amendment", _("amended tax invoice")

    class Status(models.TextChoices):
        PENDING = "pending", _("pending")
        DONE = "done", _("done")
        DEAD = "dead", _("given up")

    kind = models.CharField(_("kind"), max_length=20, choices=Kind.choices)
    invoice = models.ForeignKey(
        Invoice, models.PROTECT, null=True, blank=True, related_name="deliveries", verbose_name=_("invoice")
    )
    top_up_request = models.ForeignKey(
        TopUpRequest, models.PROTECT, null=True, blank=True, related_name="deliveries", verbose_name=_("top-up request")
    )
    credit_note = models.ForeignKey(
        CreditNote, models.PROTECT, null=True, blank=True, related_name="deliveries", verbose_name=_("credit note")
    )
    tax_invoice = models.ForeignKey(
        TaxInvoice, models.PROTECT, null=True, blank=True, related_name="deliveries", verbose_name=_("tax invoice")
    )
    resend_of = models.OneToOneField(
        "self", models.PROTECT, null=True, blank=True, related_name="resent_as", verbose_name=_("sent again instead of")
    )
    recipient = models.CharField(_("recipient"), max_length=254)
    status = models.CharField(_("status"), max_length=8, choices=Status.choices, default=Status.PENDING)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    next_attempt_at = models.DateTimeField(_("next attempt"), default=timezone.now)
    claimed_until = models.DateTimeField(_("claimed until"), null=True, blank=True)
    done_at = models.DateTimeField(_("done"), null=True, blank=True)
    last_error = models.CharField(_("last error"), max_length=500, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        ordering = ["-created_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "invoice", "recipient"],
                name="delivery_is_one_per_invoice_and_recipient",
                condition=Q(resend_of__isnull=True),
            ),
            models.UniqueConstraint(
                fields=["top_up_request", "recipient"],
                name="delivery_is_one_per_top_up_request_and_recipient",
                condition=Q(resend_of__isnull=True),
            ),
            models.UniqueConstraint(
                fields=["credit_note", "recipient"],
                name="delivery_is_one_per_credit_note_and_recipient",
                condition=Q(resend_of__isnull=True),
            ),
            models.UniqueConstraint(fields=["tax_invoice"], name="delivery_is_one_per_amended_tax_invoice"),
            models.CheckConstraint(
                name="delivery_is_of_one_thing",
                condition=_of("invoice", "invoice_email", "void_email", "tax_invoice")
                | _of("top_up_request", "top_up_email")
                | _of("credit_note", "credit_note_email")
                | _of("tax_invoice", "tax_amendment"),
            ),
            models.CheckConstraint(
                name="delivery_is_dated_exactly_when_done",
                condition=Q(status="done", done_at__isnull=False) | (~Q(status="done") & Q(done_at__isnull=True)),
            ),
        ]
        indexes = [
            models.Index(fields=["next_attempt_at"], name="delivery_due", condition=Q(status="pending")),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject_id} -> {self.recipient}"

    @property
    def subject_id(self) -> int | None:
        """The row that it is about, whichever of the four columns names it."""
        return self.invoice_id or self.top_up_request_id or self.credit_note_id or self.tax_invoice_id


class DeliveryBounce(models.Model):
    """That a mail could not be delivered, as the mail server said at once or a report said later (RFC 3464).

    `status_code` is the enhanced status ("5.1.1") or, where there is none, the reply code ("550"). Permanent are those that
    begin with 5. A delayed one is still being tried by whoever reports it.
    """

    class Action(models.TextChoices):
        FAILED = "failed", _("not delivered")
        DELAYED = "delayed", _("delayed")

    class Source(models.TextChoices):
        SMTP = "smtp", _("refused by the mail server")
        DSN = "dsn", _("report by mail")

    delivery = models.ForeignKey(Delivery, models.PROTECT, related_name="bounces", verbose_name=_("delivery"))
    recipient = models.CharField(_("recipient"), max_length=254)
    action = models.CharField(_("what happened"), max_length=8, choices=Action.choices)
    status_code = models.CharField(_("status code"), max_length=12)
    diagnostic = models.CharField(_("diagnostic"), max_length=500, blank=True)
    source = models.CharField(_("source"), max_length=4, choices=Source.choices)
    reported_by = models.CharField(_("reported by"), max_length=254, blank=True)
    bounced_at = models.DateTimeField(_("bounced at"))
    #: Of the report, so that reading the same one again adds nothing.
    report_id = models.CharField(_("report"), max_length=64)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("bounce")
        verbose_name_plural = _("bounces")
        ordering = ["-bounced_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["delivery", "report_id", "recipient"], name="delivery_bounce_is_noted_once"
            ),
            models.CheckConstraint(name="delivery_bounce_has_a_code", condition=~Q(status_code="")),
        ]

    def __str__(self) -> str:
        return f"{self.recipient} {self.status_code}"

    @property
    def is_permanent(self) -> bool:
        """Whether sending again to the same address would come back again."""
        return self.action == self.Action.FAILED and self.status_code.startswith("5")
