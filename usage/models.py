"""What was consumed.

`UsageEvent` and its key table `usage_event_key` are made by hand-written SQL (month partitions, no foreign keys: each
costs ingest speed); the triggers of migration 0002 refuse any later UPDATE or DELETE.
"""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Customer
from catalog.pricing import Quantities


def exact_usd(**options: Any) -> models.DecimalField[Any, Any]:
    """A USD amount that keeps every digit: 28 decimals hold any price's 23 times a whole count."""
    return models.DecimalField(max_digits=48, decimal_places=28, **options)


class UsageEvent(models.Model):
    """One measured fact: one upstream response. `price_id` and `cost_usd` are null where it was quarantined on arrival."""

    seq = models.BigAutoField(primary_key=True)
    customer = models.ForeignKey(
        Customer, models.DO_NOTHING, db_constraint=False, related_name="+", verbose_name=_("customer")
    )
    event_id = models.TextField(_("event id"))
    occurred_at = models.DateTimeField(_("occurred"))
    received_at = models.DateTimeField(_("received"))
    #: First day of the KST month whose invoice carries the event; later than its own month if that was closed already.
    billing_month = models.DateField(_("billed in"))
    api_key_id = models.BigIntegerField(null=True)
    requested_model = models.TextField(_("requested model"))
    served_model = models.TextField(_("served model"))
    dialect = models.TextField(_("dialect"))
    usage = models.JSONField(_("usage as reported"))
    prompt_tokens = models.BigIntegerField(_("prompt tokens"))
    completion_tokens = models.BigIntegerField(_("completion tokens"))
    cache_read_tokens = models.BigIntegerField()
    cache_write_tokens = models.BigIntegerField()
    cache_write_1h_tokens = models.BigIntegerField()
    reasoning_tokens = models.BigIntegerField()
    audio_input_tokens = models.BigIntegerField()
    audio_output_tokens = models.BigIntegerField()
    image_output_tokens = models.BigIntegerField()
    images = models.BigIntegerField()
    web_searches = models.BigIntegerField()
    flags = ArrayField(models.TextField(), verbose_name=_("flags"))
    model_id = models.BigIntegerField(null=True)
    price_id = models.BigIntegerField(null=True)
    cost_usd = exact_usd(null=True, verbose_name=_("cost (USD)"))
    upstream_cost_usd = exact_usd(null=True, verbose_name=_("upstream cost (USD)"))
    app_title = models.TextField(_("app"))
    app_referer = models.TextField(_("referer"))
    body_hash = models.BinaryField()

    class Meta:
        managed = False
        db_table = "usage_event"
        verbose_name = _("usage event")
        verbose_name_plural = _("usage events")

    def __str__(self) -> str:
        return f"{self.customer_id}/{self.event_id}"

    @property
    def quantities(self) -> Quantities:
        """What the response consumed, as it is priced."""
        return Quantities(
            prompt=self.prompt_tokens,
            completion=self.completion_tokens,
            cache_read=self.cache_read_tokens,
            cache_write=self.cache_write_tokens,
            cache_write_1h=self.cache_write_1h_tokens,
            reasoning=self.reasoning_tokens,
            audio_input=self.audio_input_tokens,
            audio_output=self.audio_output_tokens,
            image_output=self.image_output_tokens,
            images=self.images,
            web_searches=self.web_searches,
        )


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
            )
        ]

    def __str__(self) -> str:
        return f"{self.customer_id}/{self.event_id} {self.code}"


class UsageRollup(models.Model):
    """Sums of priced events by KST day, customer, key, model and price version: what pages, quotes and the close read.

    Kept in the transaction that stores the events; `check_books` recounts it from them.
    """

    customer = models.ForeignKey(
        Customer, models.DO_NOTHING, db_constraint=False, related_name="+", verbose_name=_("customer")
    )
    billing_month = models.DateField(_("billed in"))
    day = models.DateField(_("KST day"))
    api_key_id = models.BigIntegerField(null=True)
    model_id = models.BigIntegerField()
    price_id = models.BigIntegerField()
    requests = models.BigIntegerField(default=0)
    prompt_tokens = models.BigIntegerField(default=0)
    completion_tokens = models.BigIntegerField(default=0)
    cache_read_tokens = models.BigIntegerField(default=0)
    cache_write_tokens = models.BigIntegerField(default=0)
    reasoning_tokens = models.BigIntegerField(default=0)
    web_searches = models.BigIntegerField(default=0)
    cost_usd = exact_usd(default=0)
    upstream_cost_usd = exact_usd(default=0)

    class Meta:
        verbose_name = _("usage rollup")
        verbose_name_plural = _("usage rollups")
        constraints = [
            models.UniqueConstraint(
                fields=["customer", "billing_month", "day", "api_key_id", "model_id", "price_id"],
                name="usage_rollup_is_one_per_day_key_model_and_price",
                nulls_distinct=False,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.customer_id} {self.day} model {self.model_id}"


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
