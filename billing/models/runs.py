"""One closing of one month: progress that survives a crash, one row a customer."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Customer
from billing.models.invoices import Invoice


class BillingRun(models.Model):
    """The closing of one KST month; running it again goes on where it stopped."""

    month = models.DateField(_("month"), unique=True)
    started_at = models.DateTimeField(_("started"))
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    actor = models.CharField(_("by"), max_length=200)

    class Meta:
        verbose_name = _("billing run")
        verbose_name_plural = _("billing runs")
        ordering = ["-month"]

    def __str__(self) -> str:
        return f"{self.month:%Y-%m}"


class BillingRunItem(models.Model):
    """One customer in a run. A parked one waits for a person and never stops the others."""

    class Status(models.TextChoices):
        PENDING = "pending", _("pending")
        DONE = "done", _("done")
        PARKED = "parked", _("parked")

    run = models.ForeignKey(BillingRun, models.PROTECT, related_name="items", verbose_name=_("run"))
    customer = models.ForeignKey(Customer, models.PROTECT, related_name="+", verbose_name=_("customer"))
    status = models.CharField(_("status"), max_length=8, choices=Status.choices, default=Status.PENDING)
    reason_code = models.CharField(_("reason code"), max_length=40, blank=True)
    reason = models.CharField(_("reason"), max_length=500, blank=True)
    invoice = models.ForeignKey(
        Invoice, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("invoice")
    )
    updated_at = models.DateTimeField(_("updated"), default=timezone.now)

    class Meta:
        verbose_name = _("billing run item")
        verbose_name_plural = _("billing run items")
        ordering = ["run", "customer"]
        constraints = [
            models.UniqueConstraint(fields=["run", "customer"], name="billing_run_has_a_customer_once"),
        ]

    def __str__(self) -> str:
        return f"{self.run_id} {self.customer_id} {self.status}"
