"""One closing of one month: progress that survives a crash, one row a customer."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Customer
from billing.models.invoices import Invoice
from usage.models import exact_usd


class BillingRun(models.Model):
    """The closing of one KST month; running it again goes on where it stopped.

    A run in steps (`is_stepwise`) issues nothing before its rates were confirmed, every customer was drafted, and another
    person than the one who asked for the drafts approved them.
    """

    month = models.DateField(_("month"), unique=True)
    started_at = models.DateTimeField(_("started"))
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    actor = models.CharField(_("by"), max_length=200)
    is_stepwise = models.BooleanField(_("in steps"), default=False)
    rates_confirmed_at = models.DateTimeField(_("rates confirmed"), null=True, blank=True)
    rates_confirmed_by = models.CharField(_("rates confirmed by"), max_length=200, blank=True)
    drafted_at = models.DateTimeField(_("drafts asked for"), null=True, blank=True)
    drafted_by = models.CharField(_("drafts asked for by"), max_length=200, blank=True)
    approved_at = models.DateTimeField(_("approved"), null=True, blank=True)
    approved_by = models.CharField(_("approved by"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("billing run")
        verbose_name_plural = _("billing runs")
        ordering = ["-month"]
        constraints = [
            models.CheckConstraint(
                name="billing_run_is_approved_by_a_second_person",
                condition=Q(approved_at__isnull=True, approved_by="")
                | (
                    Q(approved_at__isnull=False, drafted_at__isnull=False)
                    & ~Q(approved_by="")
                    & ~Q(approved_by=F("drafted_by"))
                ),
            ),
        ]

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


class BillingDraft(models.Model):
    """What one customer's invoice would say, as somebody is asked to approve it. Issuing computes the bill anew and goes
    on only if its digest is still this one. All zero and without a digest where there is nothing to bill.
    """

    class Anomaly(models.TextChoices):
        RISE = "rise", _("over 30 percent more than last month")
        FALL = "fall", _("over 30 percent less than last month")
        ZERO = "zero", _("nothing after a month with an invoice")
        NEGATIVE_MARGIN = "negative_margin", _("sold below the upstream's charge")

    item = models.OneToOneField(BillingRunItem, models.CASCADE, related_name="draft", verbose_name=_("run item"))
    cost_usd = exact_usd(verbose_name=_("usage (USD)"))
    upstream_cost_usd = exact_usd(verbose_name=_("upstream cost (USD)"))
    supply_krw = models.BigIntegerField(_("supply (KRW)"))
    vat_krw = models.BigIntegerField(_("VAT (KRW)"))
    total_krw = models.BigIntegerField(_("total (KRW)"))
    line_count = models.PositiveIntegerField(_("lines"))
    #: Supply of last month's invoice; null where there was none.
    previous_supply_krw = models.BigIntegerField(_("last month (KRW)"), null=True, blank=True)
    anomalies = ArrayField(models.CharField(max_length=20, choices=Anomaly.choices), verbose_name=_("anomalies"))
    digest = models.CharField("SHA-256", max_length=64, blank=True)
    computed_at = models.DateTimeField(_("computed"))

    class Meta:
        verbose_name = _("billing draft")
        verbose_name_plural = _("billing drafts")

    def __str__(self) -> str:
        return f"{self.item_id} {self.total_krw}"
