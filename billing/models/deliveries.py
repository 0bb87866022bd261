"""The outbox: what must leave the house, written with the fact that causes it, drained by tasks."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from billing.models.invoices import Invoice
from billing.models.prepayments import TopUpRequest


class Delivery(models.Model):
    """One thing to one recipient, once. A worker claims it until `claimed_until`; a dead worker's claim runs out."""

    class Kind(models.TextChoices):
        INVOICE_EMAIL = "invoice_email", _("invoice e-mail")
        TAX_INVOICE = "tax_invoice", _("tax invoice")
        TOP_UP_EMAIL = "top_up_email", _("top-up e-mail")

    class Status(models.TextChoices):
        PENDING = "pending", _("pending")
        DONE = "done", _("done")
        DEAD = "dead", _("given up")

    kind = models.CharField(_("kind"), max_length=16, choices=Kind.choices)
    invoice = models.ForeignKey(
        Invoice, models.PROTECT, null=True, blank=True, related_name="deliveries", verbose_name=_("invoice")
    )
    top_up_request = models.ForeignKey(
        TopUpRequest, models.PROTECT, null=True, blank=True, related_name="deliveries", verbose_name=_("top-up request")
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
                fields=["kind", "invoice", "recipient"], name="delivery_is_one_per_invoice_and_recipient"
            ),
            models.UniqueConstraint(
                fields=["top_up_request", "recipient"], name="delivery_is_one_per_top_up_request_and_recipient"
            ),
            models.CheckConstraint(
                name="delivery_is_of_one_thing",
                condition=Q(kind="top_up_email", invoice__isnull=True, top_up_request__isnull=False)
                | (~Q(kind="top_up_email") & Q(invoice__isnull=False, top_up_request__isnull=True)),
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
        return f"{self.kind} {self.invoice_id or self.top_up_request_id} -> {self.recipient}"
