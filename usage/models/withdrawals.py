"""Events that count no longer."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Customer
from usage.models.fields import exact_usd


class WithdrawnEvent(models.Model):
    """The decision that an event which had counted does not count, with the event that stands in its place, if any.

    The event's own row stays as it arrived. Its cost is out of the rollups from the same transaction on; it can be
    withdrawn only while the month that bills it is open. Rows are only ever added.
    """

    customer = models.ForeignKey(Customer, models.PROTECT, related_name="+", verbose_name=_("customer"))
    event_id = models.TextField(_("event id"))
    occurred_at = models.DateTimeField(_("occurred"))
    billing_month = models.DateField(_("billed in"))
    #: What it had counted for; null for one that waited for its price.
    cost_usd = exact_usd(null=True, blank=True, verbose_name=_("cost (USD)"))
    replaced_by = models.TextField(_("replaced by"), blank=True)
    reason = models.CharField(_("reason"), max_length=500)
    withdrawn_by = models.CharField(_("withdrawn by"), max_length=200)
    withdrawn_at = models.DateTimeField(_("withdrawn"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("withdrawn event")
        verbose_name_plural = _("withdrawn events")
        ordering = ["-withdrawn_at"]
        constraints = [
            models.UniqueConstraint(fields=["customer", "event_id"], name="event_is_withdrawn_once"),
            models.CheckConstraint(name="event_is_withdrawn_with_a_reason", condition=~models.Q(reason="")),
        ]

    def __str__(self) -> str:
        return f"{self.customer_id}/{self.event_id}"
