"""Sums of priced events, kept beside them."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models import Customer
from usage.models.fields import exact_usd


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
