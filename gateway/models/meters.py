"""How much a key with limits has used: shared by all gateways, because it stands in the database."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import ApiKey
from usage.models import exact_usd


class KeyMeter(models.Model):
    """One row for each key that has a limit. Requests and tokens are those of the UTC minute that begins at `minute_at`,
    USD those of the Korean month; `open_calls` and `held_usd` are of the calls under way that were counted here.
    """

    api_key = models.OneToOneField(
        ApiKey,
        models.DO_NOTHING,
        db_constraint=False,
        primary_key=True,
        related_name="meter",
        verbose_name=_("API key"),
    )
    minute_at = models.DateTimeField()
    requests = models.BigIntegerField(default=0)
    tokens = models.BigIntegerField(default=0)
    open_calls = models.BigIntegerField(default=0)
    month = models.DateField()
    spent_usd = exact_usd(default=0)
    held_usd = exact_usd(default=0)

    class Meta:
        verbose_name = _("key meter")
        verbose_name_plural = _("key meters")
        constraints = [
            models.CheckConstraint(
                name="key_meter_is_never_negative",
                condition=Q(requests__gte=0, tokens__gte=0, open_calls__gte=0, spent_usd__gte=0, held_usd__gte=0),
            ),
        ]

    def __str__(self) -> str:
        return str(self.api_key_id)
