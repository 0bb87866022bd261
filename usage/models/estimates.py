"""Days that were billed from an upstream's daily sums, because nobody sent their events."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Customer
from usage.models.fields import exact_usd


class ActivityEstimate(models.Model):
    """One row of an upstream's daily activity that was metered for a customer, by estimated events.

    It counts until real events of its day and model arrive; then its events are withdrawn and `withdrawn_at` says when.
    """

    customer = models.ForeignKey(Customer, models.PROTECT, related_name="+", verbose_name=_("customer"))
    #: A day of UTC, as the upstream counts them.
    day = models.DateField(_("UTC day"))
    model_name = models.TextField(_("model"))
    permaslug = models.TextField(_("permanent name"))
    provider_name = models.TextField(_("provider"), blank=True)
    endpoint_id = models.TextField(_("endpoint"), blank=True)
    #: The catalog's model, where the name was known when the row was metered.
    model_id = models.BigIntegerField(null=True, blank=True)
    requests = models.BigIntegerField(_("requests"))
    prompt_tokens = models.BigIntegerField(_("prompt tokens"))
    completion_tokens = models.BigIntegerField(_("completion tokens"))
    reasoning_tokens = models.BigIntegerField(_("reasoning tokens"))
    cached_tokens = models.BigIntegerField(_("cached tokens"))
    charged_usd = exact_usd(verbose_name=_("charged (USD)"))
    event_ids = ArrayField(models.TextField(), verbose_name=_("events"))
    source = models.CharField(_("source"), max_length=200)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    created_by = models.CharField(_("created by"), max_length=200)
    withdrawn_at = models.DateTimeField(_("withdrawn"), null=True, blank=True)

    #: What makes a row of an activity list the same row.
    KEY = ("day", "permaslug", "provider_name", "endpoint_id")
    #: What it states.
    FIGURES = ("requests", "prompt_tokens", "completion_tokens", "reasoning_tokens", "cached_tokens", "charged_usd")

    class Meta:
        verbose_name = _("activity estimate")
        verbose_name_plural = _("activity estimates")
        ordering = ["-day", "customer", "permaslug"]
        constraints = [
            models.UniqueConstraint(
                fields=["customer", "day", "permaslug", "provider_name", "endpoint_id"],
                name="activity_row_is_estimated_once",
            ),
            models.CheckConstraint(name="activity_estimate_has_events", condition=~Q(event_ids=[])),
        ]
        indexes = [
            models.Index(fields=["day"], name="activity_estimate_counting", condition=Q(withdrawn_at__isnull=True))
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.permaslug}"
