"""What an operator has to know without looking for it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Alert(models.Model):
    """One matter, told once: while it is open, nothing is added about the same subject. Mailed where somebody is named."""

    class Kind(models.TextChoices):
        NEGATIVE_MARGIN = "negative_margin", _("sold below what it costs")
        CATALOG_SYNC_FAILED = "catalog_sync_failed", _("catalog sync failed")
        PRICE_CHANGE_AWAITING = "price_change_awaiting", _("price change awaits approval")
        PREPAYMENT_LOW = "prepayment_low", _("prepayment runs low")
        UPSTREAM_DRIFT = "upstream_drift", _("upstream charges drift from list prices")
        MISSING_HERE = "missing_here", _("charged upstream and not metered")
        MAIL_BOUNCED = "mail_bounced", _("mail came back")
        ESTIMATE_OVERLAP = "estimate_overlap", _("invoiced estimate, and events came")

    kind = models.CharField(_("kind"), max_length=24, choices=Kind.choices)
    #: What it is about, such as "2026-10 openai/gpt-5".
    subject = models.CharField(_("subject"), max_length=300)
    #: Facts by name, as text.
    detail = models.JSONField(_("detail"), default=dict)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    acknowledged_at = models.DateTimeField(_("acknowledged"), null=True, blank=True)
    acknowledged_by = models.CharField(_("acknowledged by"), max_length=200, blank=True)
    sent_at = models.DateTimeField(_("mailed"), null=True, blank=True)
    claimed_until = models.DateTimeField(_("claimed until"), null=True, blank=True)

    class Meta:
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        ordering = ["-created_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject"],
                name="alert_is_open_once_per_subject",
                condition=Q(acknowledged_at__isnull=True),
            ),
            models.CheckConstraint(
                name="alert_is_acknowledged_by_somebody",
                condition=Q(acknowledged_at__isnull=True, acknowledged_by="")
                | (Q(acknowledged_at__isnull=False) & ~Q(acknowledged_by="")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"
