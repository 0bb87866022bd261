"""Events without a price, and what was decided about them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Customer
from usage.models.fields import exact_usd


class QuarantinedEvent(models.Model):
    """An accepted event that could not be priced. It blocks its customer's close until it is priced or excluded.

    The event's own row stays as it arrived; this row carries what was decided later.
    """

    class Status(models.TextChoices):
        OPEN = "open", _("open")
        RATED = "rated", _("priced")
        EXCLUDED = "excluded", _("excluded")

    customer = models.ForeignKey(Customer, models.PROTECT, related_name="+", verbose_name=_("customer"))
    event_id = models.TextField(_("event id"))
    occurred_at = models.DateTimeField(_("occurred"))
    billing_month = models.DateField(_("billed in"))
    served_model = models.TextField(_("served model"))
    code = models.CharField(_("code"), max_length=40)
    detail = models.CharField(_("detail"), max_length=500)
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.OPEN)
    model_id = models.BigIntegerField(null=True, blank=True)
    price_id = models.BigIntegerField(null=True, blank=True)
    cost_usd = exact_usd(null=True, blank=True, verbose_name=_("cost (USD)"))
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    resolved_at = models.DateTimeField(_("resolved"), null=True, blank=True)
    resolved_by = models.CharField(_("resolved by"), max_length=200, blank=True)
    resolution = models.CharField(_("reason"), max_length=500, blank=True)

    class Meta:
        verbose_name = _("quarantined event")
        verbose_name_plural = _("quarantined events")
        ordering = ["-occurred_at"]
        constraints = [
            models.UniqueConstraint(fields=["customer", "event_id"], name="quarantine_holds_an_event_once"),
            models.CheckConstraint(
                name="quarantined_event_has_a_cost_exactly_when_rated",
                condition=Q(status="rated", price_id__isnull=False, cost_usd__isnull=False)
                | (~Q(status="rated") & Q(price_id__isnull=True, cost_usd__isnull=True)),
            ),
            models.CheckConstraint(
                name="quarantined_event_is_resolved_with_a_reason",
                condition=Q(status="open", resolved_at__isnull=True)
                | (~Q(status="open") & Q(resolved_at__isnull=False) & ~Q(resolution="")),
            ),
        ]
        indexes = [
            models.Index(
                fields=["customer", "billing_month"], name="quarantine_open_by_month", condition=Q(status="open")
            ),
            # The order in which they are priced.
            models.Index(fields=["customer", "id"], name="quarantine_open_in_order", condition=Q(status="open")),
        ]

    def __str__(self) -> str:
        return f"{self.customer_id}/{self.event_id} {self.code}"
