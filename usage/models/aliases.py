"""Under which id an upstream knows an event that has an id of ours."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models import Customer


class UsageAlias(models.Model):
    """The upstream's id of an event. Written with the event; the first that takes an id keeps it.

    The table's primary key is (customer_id, upstream_id); rows are inserted only.
    """

    pk = models.CompositePrimaryKey("customer_id", "upstream_id")
    customer = models.ForeignKey(
        Customer, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+", verbose_name=_("customer")
    )
    upstream_id = models.CharField(_("upstream's id"), max_length=200)
    event_id = models.CharField(_("event id"), max_length=200)

    class Meta:
        db_table = "usage_event_alias"
        verbose_name = _("upstream's id of an event")
        verbose_name_plural = _("upstream's ids of events")

    def __str__(self) -> str:
        return f"{self.upstream_id} = {self.event_id}"
