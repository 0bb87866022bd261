"""Months whose events stand in files instead of in the event table."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class UsageArchive(models.Model):
    """One KST month of events, written to files and taken out of the event table; later perhaps brought back.

    What stays in the database: the ids (`usage_event_key`), what was decided about events, every sum, and in
    `usage_archived_sum` what the archived events added to the daily sums, so that these can still be recounted.
    """

    class Status(models.TextChoices):
        WRITING = "writing", _("being written")
        WRITTEN = "written", _("written")
        ARCHIVED = "archived", _("archived")
        RESTORED = "restored", _("restored")

    month = models.DateField(_("month"))
    start_at = models.DateTimeField(_("start"))
    end_at = models.DateTimeField(_("end"))
    status = models.CharField(_("status"), max_length=8, choices=Status.choices, default=Status.WRITING)
    directory = models.TextField(_("directory"))
    events = models.BigIntegerField(_("events"), default=0)
    #: Of them those that arrived without a price, and those that were taken back.
    unpriced_events = models.BigIntegerField(default=0)
    withdrawn_events = models.BigIntegerField(default=0)
    #: Sum of a hash of each event's id, time and content: whatever key is missing or another one shows.
    digest = models.DecimalField(max_digits=40, decimal_places=0, default=0)
    #: `manifest.json` as it stands beside the files, and the hash of that very file.
    manifest = models.JSONField(default=dict)
    manifest_sha256 = models.CharField(_("hash of the manifest"), max_length=64, blank=True)
    started_at = models.DateTimeField(_("started"))
    archived_at = models.DateTimeField(_("archived"), null=True, blank=True)
    restored_at = models.DateTimeField(_("restored"), null=True, blank=True)
    actor = models.CharField(_("started by"), max_length=200)

    class Meta:
        verbose_name = _("archived month")
        verbose_name_plural = _("archived months")
        ordering = ["-month", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["month"], condition=~Q(status="restored"), name="a_month_is_archived_once_at_a_time"
            ),
            models.CheckConstraint(
                name="archive_is_dated_by_its_status",
                condition=Q(status__in=["writing", "written"], archived_at__isnull=True, restored_at__isnull=True)
                | Q(status="archived", archived_at__isnull=False, restored_at__isnull=True)
                | Q(status="restored", archived_at__isnull=False, restored_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.month:%Y-%m}"
