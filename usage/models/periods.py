"""Which month bills what."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Customer


class BillingPeriod(models.Model):
    """A customer's KST month. While it is open, events of the month are billed in it; once closed, in the next open one."""

    class Status(models.TextChoices):
        OPEN = "open", _("open")
        CLOSED = "closed", _("closed")

    class Outcome(models.TextChoices):
        NONE = "", "-"
        INVOICED = "invoiced", _("invoiced")
        NO_USAGE = "no_usage", _("no usage")
        NO_CHARGE = "no_charge", _("less than one won")

    customer = models.ForeignKey(Customer, models.PROTECT, related_name="billing_periods", verbose_name=_("customer"))
    month = models.DateField(_("month"))
    start_at = models.DateTimeField(_("start"))
    end_at = models.DateTimeField(_("end"))
    status = models.CharField(_("status"), max_length=8, choices=Status.choices, default=Status.OPEN)
    outcome = models.CharField(_("outcome"), max_length=10, choices=Outcome.choices, default=Outcome.NONE, blank=True)
    closed_at = models.DateTimeField(_("closed"), null=True, blank=True)

    class Meta:
        verbose_name = _("billing period")
        verbose_name_plural = _("billing periods")
        ordering = ["-month", "customer"]
        constraints = [
            models.UniqueConstraint(fields=["customer", "month"], name="billing_period_is_one_per_customer_and_month"),
            models.CheckConstraint(
                name="billing_period_has_an_outcome_exactly_when_closed",
                condition=Q(status="open", outcome="", closed_at__isnull=True)
                | (Q(status="closed", closed_at__isnull=False) & ~Q(outcome="")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.customer_id} {self.month:%Y-%m} {self.status}"
