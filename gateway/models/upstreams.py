"""Whom calls are forwarded to, and with which keys."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Upstream(models.Model):
    """One API that answers calls. Of several, the lowest `priority` that is enabled and healthy is asked first.

    Health is each gateway's own view for some seconds (`gateway.upstreams.pool`); what operators see of it is counted from
    the attempts of the last minutes.
    """

    class Dialect(models.TextChoices):
        OPENROUTER = "openrouter", "OpenRouter"
        OPENAI = "openai", "OpenAI"

    name = models.SlugField(_("name"), max_length=60, unique=True)
    #: What `/chat/completions` is appended to, e.g. https://openrouter.ai/api/v1; without a slash at its end.
    base_url = models.URLField(_("base URL"), max_length=300)
    dialect = models.CharField(_("dialect"), max_length=12, choices=Dialect.choices, default=Dialect.OPENROUTER)
    priority = models.PositiveSmallIntegerField(_("priority"), default=100)
    is_enabled = models.BooleanField(_("enabled"), default=True)
    connect_timeout_seconds = models.PositiveSmallIntegerField(_("connect timeout (s)"), default=5)
    first_byte_timeout_seconds = models.PositiveSmallIntegerField(_("first byte timeout (s)"), default=120)
    idle_timeout_seconds = models.PositiveSmallIntegerField(_("idle timeout (s)"), default=60)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    created_by = models.CharField(_("created by"), max_length=200, editable=False)

    class Meta:
        verbose_name = _("upstream")
        verbose_name_plural = _("upstreams")
        ordering = ["priority", "name"]
        constraints = [
            models.CheckConstraint(
                name="upstream_waits_for_some_time",
                condition=Q(
                    connect_timeout_seconds__gt=0, first_byte_timeout_seconds__gt=0, idle_timeout_seconds__gt=0
                ),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class UpstreamKey(models.Model):
    """A key of ours at an upstream, encrypted under JEONGSAN_UPSTREAM_SECRETS (`gateway.services.secrets`)."""

    upstream = models.ForeignKey(Upstream, models.PROTECT, related_name="keys", verbose_name=_("upstream"))
    name = models.CharField(_("name"), max_length=60, default="default")
    secret = models.BinaryField(_("encrypted key"), max_length=2000)
    last4 = models.CharField(_("last four"), max_length=4, editable=False)
    priority = models.PositiveSmallIntegerField(_("priority"), default=100)
    is_enabled = models.BooleanField(_("enabled"), default=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    created_by = models.CharField(_("created by"), max_length=200, editable=False)

    class Meta:
        verbose_name = _("upstream key")
        verbose_name_plural = _("upstream keys")
        ordering = ["upstream", "priority", "name"]
        constraints = [
            models.UniqueConstraint(fields=["upstream", "name"], name="upstream_key_has_its_own_name"),
        ]

    def __str__(self) -> str:
        return f"{self.upstream} {self.name} (…{self.last4})"
