"""Filters that are typed and not picked: lists stay short however many customers and months there are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts.models import Customer

#: So many customers are offered while typing; more would make every list page heavy.
OFFERED_CUSTOMERS = 500
_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")


class InputFilter(admin.SimpleListFilter):
    """A filter with an input box. Subclasses say what the text selects; other filters stay in force."""

    template = "admin/input_filter.html"
    input_type = "text"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[Any]:
        return [("", "")]

    def choices(self, changelist: ChangeList) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        others = [(name, value) for name, value in changelist.params.items() if name != self.parameter_name]
        yield {
            "others": others,
            "offers": self.offers(),
            "clear_query": changelist.get_query_string(remove=[str(self.parameter_name)]),
        }

    def text(self) -> str:
        """What was typed, as far as a database can hold it."""
        return (self.value() or "").replace("\0", "").strip()

    def offers(self) -> list[str]:
        """What the browser proposes while somebody types."""
        return []


class CustomerFilter(InputFilter):
    """By a customer's slug. `customer_path` leads from the row to its customer."""

    title = _("customer")
    parameter_name = "customer"
    customer_path = "customer"

    def offers(self) -> list[str]:
        return list(Customer.objects.values_list("slug", flat=True)[:OFFERED_CUSTOMERS])

    def customer_id(self) -> int | None:
        """The customer that was typed; None for nothing, and -1, which nobody has, for a slug that nobody has."""
        slug = self.text()
        if not slug:
            return None
        return Customer.objects.filter(slug=slug).values_list("pk", flat=True).first() or -1

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        pk = self.customer_id()
        # By id and not by slug: the database then finds the customer's part of an index.
        return queryset if pk is None else queryset.filter(**{f"{self.customer_path}_id": pk})


class MonthFilter(InputFilter):
    """By a month, typed as 2026-10, of a date column that holds first days."""

    title = _("month")
    parameter_name = "month"
    input_type = "month"
    month_path = "month"

    def first_on(self) -> date | None:
        """The first day of the month that was typed."""
        text = self.text()
        if not text:
            return None
        match = _MONTH.fullmatch(text)
        if match is None or match[1] == "0000":
            raise IncorrectLookupParameters
        return date(int(match[1]), int(match[2]), 1)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        first_on = self.first_on()
        return queryset if first_on is None else queryset.filter(**{self.month_path: first_on})
