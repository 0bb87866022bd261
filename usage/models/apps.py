"""The applications that customers' calls come from, as the calls themselves name them."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models import Customer

#: More apps than these are no apps but a client that writes something else into the title: see `OTHERS`.
MAX_APPS = 1_000
#: Title of the one row that stands for all apps of a customer beyond `MAX_APPS`. No row is ever removed and the limit
#: never shrinks, so an app that was counted here once always is.
OTHERS = "(others)"


class UsageApp(models.Model):
    """One app of a customer: the pair of `HTTP-Referer` and title of its calls. At least one of the two has text."""

    customer = models.ForeignKey(
        Customer, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+", verbose_name=_("customer")
    )
    referer = models.TextField(_("referer"), blank=True)
    title = models.TextField(_("app"), blank=True)

    class Meta:
        verbose_name = _("app")
        verbose_name_plural = _("apps")
        constraints = [
            models.UniqueConstraint(fields=["customer", "referer", "title"], name="usage_app_is_one_per_customer"),
        ]

    def __str__(self) -> str:
        return self.title or self.referer

    @property
    def is_others(self) -> bool:
        """Whether this row stands for all apps beyond `MAX_APPS`."""
        return (self.referer, self.title) == ("", OTHERS)
