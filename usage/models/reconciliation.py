"""What the upstream says that it charged: its statements, read in from files. Rows are only ever added."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from usage.models.fields import exact_usd


class UpstreamStatement(models.Model):
    """One file of an upstream's charges that was read in."""

    class Kind(models.TextChoices):
        GENERATIONS = "generations", _("by generation")
        DAYS = "days", _("by UTC day")

    kind = models.CharField(_("kind"), max_length=12, choices=Kind.choices)
    source = models.CharField(_("source"), max_length=200)
    #: First and last instant that its rows speak of: what happened between them and is not in it is missing there.
    first_at = models.DateTimeField(_("first"))
    last_at = models.DateTimeField(_("last"))
    rows = models.BigIntegerField(_("rows added"))
    imported_at = models.DateTimeField(_("imported"), default=timezone.now, editable=False)
    imported_by = models.CharField(_("imported by"), max_length=200)

    class Meta:
        verbose_name = _("upstream statement")
        verbose_name_plural = _("upstream statements")
        ordering = ["-imported_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.source} ({self.kind})"


class UpstreamCharge(models.Model):
    """What the upstream charged for one generation. Counts are null where the statement does not name them."""

    statement = models.ForeignKey(
        UpstreamStatement, models.PROTECT, related_name="charges", verbose_name=_("statement"), db_index=False
    )
    upstream_id = models.TextField(_("upstream id"), unique=True)
    charged_at = models.DateTimeField(_("charged"), db_index=True)
    model_name = models.TextField(_("model"))
    prompt_tokens = models.BigIntegerField(_("prompt tokens"), null=True)
    completion_tokens = models.BigIntegerField(_("completion tokens"), null=True)
    cost_usd = exact_usd(verbose_name=_("charged (USD)"))

    class Meta:
        verbose_name = _("upstream charge")
        verbose_name_plural = _("upstream charges")

    def __str__(self) -> str:
        return self.upstream_id


class UpstreamDay(models.Model):
    """What the upstream charged for one model at one endpoint on one UTC day, over all customers."""

    statement = models.ForeignKey(
        UpstreamStatement, models.PROTECT, related_name="days", verbose_name=_("statement"), db_index=False
    )
    day = models.DateField(_("UTC day"))
    model_name = models.TextField(_("model"))
    permaslug = models.TextField(_("permanent name"))
    provider_name = models.TextField(_("provider"), blank=True)
    endpoint_id = models.TextField(_("endpoint"), blank=True)
    requests = models.BigIntegerField(_("requests"))
    prompt_tokens = models.BigIntegerField(_("prompt tokens"))
    completion_tokens = models.BigIntegerField(_("completion tokens"))
    reasoning_tokens = models.BigIntegerField(_("reasoning tokens"))
    cached_tokens = models.BigIntegerField(_("cached tokens"))
    charged_usd = exact_usd(verbose_name=_("charged (USD)"))

    class Meta:
        verbose_name = _("upstream day")
        verbose_name_plural = _("upstream days")
        constraints = [
            models.UniqueConstraint(
                fields=["day", "permaslug", "provider_name", "endpoint_id"], name="upstream_day_is_stated_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.permaslug}"
