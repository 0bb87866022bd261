"""What lists of usage share."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy

from accounts.admin import MonthFilter
from usage.services.rating import (
    IMPLAUSIBLE_COST,
    QUARANTINED_PRICE,
    SEVERAL_MODELS,
    UNKNOWN_MODEL,
    UNPRICED,
    UNPRICED_COMPONENT,
    VARIABLE_PRICE,
)

#: A list is counted up to here and not beyond; nobody leafs through more pages.
COUNTED_ROWS = 10_000

#: Codes of `usage.services.rating` in words.
REASONS = {
    UNKNOWN_MODEL: gettext_lazy("unknown model"),
    UNPRICED: gettext_lazy("no price at that time"),
    VARIABLE_PRICE: gettext_lazy("router without a price of its own"),
    QUARANTINED_PRICE: gettext_lazy("price not decided"),
    UNPRICED_COMPONENT: gettext_lazy("no price for a part of the usage"),
    IMPLAUSIBLE_COST: gettext_lazy("implausible cost"),
    SEVERAL_MODELS: gettext_lazy("answered by several models"),
}


class BoundedPaginator(Paginator):
    """Counts up to a bound, so that a list of millions costs no more than one of thousands."""

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        return len(rows.order_by().values_list("pk")[:COUNTED_ROWS])

    @property
    def is_cut(self) -> bool:
        """Whether there are more rows than were counted."""
        return self.count == COUNTED_ROWS


class BilledInFilter(MonthFilter):
    title = gettext_lazy("billed in")
    parameter_name = month_path = "billing_month"
