"""Sums of priced events, kept beside them."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models import Customer
from usage.models.fields import exact_usd


class UsageSums(models.Model):
    """What adds up: one column for each count that an event has, and both costs in USD, exact."""

    requests = models.BigIntegerField(default=0)
    prompt_tokens = models.BigIntegerField(default=0)
    completion_tokens = models.BigIntegerField(default=0)
    cache_read_tokens = models.BigIntegerField(default=0)
    cache_write_tokens = models.BigIntegerField(default=0)
    cache_write_1h_tokens = models.BigIntegerField(default=0)
    reasoning_tokens = models.BigIntegerField(default=0)
    audio_input_tokens = models.BigIntegerField(default=0)
    audio_output_tokens = models.BigIntegerField(default=0)
    image_output_tokens = models.BigIntegerField(default=0)
    images = models.BigIntegerField(default=0)
    web_searches = models.BigIntegerField(default=0)
    cost_usd = exact_usd(default=0)
    upstream_cost_usd = exact_usd(default=0)

    class Meta:
        abstract = True


#: The columns of `UsageSums`, in their order: whole counts, then the two costs.
SUMMED = tuple(field.name for field in UsageSums._meta.local_fields)
#: What only `UsageRollup` has: the costs that a contract may be priced on, instead of `cost_usd`.
BASES = ("upstream_basis_usd", "higher_basis_usd")


class UsageRollup(UsageSums):
    """Sums of priced events by KST day, customer, key, model, price version and app: what pages, quotes and the close
    read. `app_id` is 0 for events without one.

    Kept in the transaction that stores the events; `check_books` recounts it from them. `upstream_basis_usd` adds up what
    upstreams charged, our cost where they named no charge; `higher_basis_usd` the greater of both, event by event.
    """

    customer = models.ForeignKey(
        Customer, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+", verbose_name=_("customer")
    )
    billing_month = models.DateField(_("billed in"))
    day = models.DateField(_("KST day"))
    api_key_id = models.BigIntegerField(null=True)
    model_id = models.BigIntegerField()
    price_id = models.BigIntegerField()
    app_id = models.BigIntegerField(default=0)
    upstream_basis_usd = exact_usd(default=0)
    higher_basis_usd = exact_usd(default=0)

    #: What makes a row the same row, in the order in which writers lock rows.
    KEY = ("customer_id", "billing_month", "day", "api_key_id", "model_id", "price_id", "app_id")
    SUMS = (*SUMMED, *BASES)

    class Meta:
        verbose_name = _("usage rollup")
        verbose_name_plural = _("usage rollups")
        constraints = [
            models.UniqueConstraint(
                fields=["customer", "billing_month", "day", "api_key_id", "model_id", "price_id", "app_id"],
                name="usage_rollup_is_one_per_day_key_model_price_and_app",
                nulls_distinct=False,
            ),
        ]
        # Pages ask by the day on which it happened, whichever month bills it.
        indexes = [models.Index(fields=["customer", "day"], name="usage_rollup_by_day")]

    def __str__(self) -> str:
        return f"{self.customer_id} {self.day} model {self.model_id}"


class UsageHour(UsageSums):
    """The same sums by UTC hour, without the price: for charts of the last days, and for days of other time zones.

    `hour_at` is the instant at which the hour begins. Every event that is in a `UsageRollup` is in one of these.
    """

    customer = models.ForeignKey(
        Customer, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+", verbose_name=_("customer")
    )
    hour_at = models.DateTimeField(_("hour"))
    billing_month = models.DateField(_("billed in"))
    api_key_id = models.BigIntegerField(null=True)
    model_id = models.BigIntegerField()
    app_id = models.BigIntegerField(default=0)

    #: What makes a row the same row, in the order in which writers lock rows.
    KEY = ("customer_id", "hour_at", "billing_month", "api_key_id", "model_id", "app_id")
    SUMS = SUMMED

    class Meta:
        verbose_name = _("usage by hour")
        verbose_name_plural = _("usage by hour")
        constraints = [
            models.UniqueConstraint(
                fields=["customer", "hour_at", "billing_month", "api_key_id", "model_id", "app_id"],
                name="usage_hour_is_one_per_key_model_and_app",
                nulls_distinct=False,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.customer_id} {self.hour_at:%Y-%m-%dT%H}Z model {self.model_id}"
