"""Runs that price what was waiting for a price."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Customer
from usage.models.fields import exact_usd


class RatingJob(models.Model):
    """One pass over the open quarantined events (of one customer, or of all), chunk by chunk.

    Each chunk moves the job's position in the transaction that prices its events, so whoever takes up a job that was
    killed goes on behind the last chunk that counts.
    """

    class Status(models.TextChoices):
        RUNNING = "running", _("running")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")

    customer = models.ForeignKey(
        Customer, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("customer")
    )
    status = models.CharField(_("status"), max_length=8, choices=Status.choices, default=Status.RUNNING)
    #: Events that were open when it began, those it looked at so far, and those of them that it could price.
    total = models.BigIntegerField(_("events"))
    examined = models.BigIntegerField(_("examined"), default=0)
    rated = models.BigIntegerField(_("priced"), default=0)
    cost_usd = exact_usd(default=0, verbose_name=_("cost (USD)"))
    #: (customer, quarantined event) of the last row that was examined; (0, 0) at the beginning.
    after_customer_id = models.BigIntegerField(default=0)
    after_held_id = models.BigIntegerField(default=0)
    #: `Catalog.version` when it began: a later price may be one for events that were passed already.
    catalog_version = models.BigIntegerField()
    actor = models.CharField(_("started by"), max_length=200)
    started_at = models.DateTimeField(_("started"))
    updated_at = models.DateTimeField(_("updated"))
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    error = models.CharField(_("error"), max_length=500, blank=True)

    class Meta:
        verbose_name = _("pricing run")
        verbose_name_plural = _("pricing runs")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["customer"],
                condition=Q(status="running"),
                nulls_distinct=False,
                name="one_rating_job_runs_for_the_same_events",
            ),
            models.CheckConstraint(
                name="rating_job_is_finished_exactly_when_dated",
                condition=Q(status="running", finished_at__isnull=True)
                | (~Q(status="running") & Q(finished_at__isnull=False)),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk}: {self.examined}/{self.total}"
