"""The measured facts.

`UsageEvent` and its key table `usage_event_key` are made by hand-written SQL (month partitions, no foreign keys: each
costs ingest speed); the triggers of migration 0002 refuse any later UPDATE or DELETE.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models import Customer
from catalog.pricing import Quantities
from usage.models.fields import exact_usd

# The whole key of each event is known, so each is one look-up in one partition.
_BY_KEY = """
SELECT event.* FROM unnest(%s::bigint[], %s::timestamptz[], %s::text[]) AS asked (customer_id, occurred_at, event_id)
CROSS JOIN LATERAL (
    SELECT {columns} FROM usage_event AS one
    WHERE one.customer_id = asked.customer_id AND one.occurred_at = asked.occurred_at AND one.event_id = asked.event_id
    OFFSET 0
) AS event
"""


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

    @classmethod
    def by_key(cls, keys: Iterable[tuple[int, datetime, str]]) -> dict[tuple[int, str], UsageEvent]:
        """The events of these (customer, instant, id), by customer and id, without what was reported; for some thousands."""
        columns = [list(column) for column in zip(*keys, strict=True)]
        if not columns:
            return {}
        needed = [field.column for field in cls._meta.concrete_fields if field.name not in {"usage", "body_hash"}]
        query = _BY_KEY.format(columns=", ".join(f"one.{name}" for name in needed))
        return {(event.customer_id, event.event_id): event for event in cls.objects.raw(query, columns)}

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
