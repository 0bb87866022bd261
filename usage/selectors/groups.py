"""A customer's rollups, grouped as somebody asks for them, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db.models import F, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce, TruncMonth

from accounts.models import ApiKey, Customer
from catalog.models import Model, Provider
from usage.models import UsageRollup
from usage.models.rollups import SUMMED
from usage.periods import BillingMonth
from usage.selectors.sums import Consumption, consumption_of

#: What usage may be grouped by. `month` is the KST month in which it happened.
GROUPS = ("day", "month", "model", "key", "provider")
#: Stands for "no key" among the keys, so that it has a place in the order.
NO_KEY = 0

Position = tuple[date | int, ...]


@dataclass(frozen=True)
class UsageScope:
    """Which of a customer's rollups are meant: those that a month bills, or those of KST days (both included)."""

    billing_month: BillingMonth | None = None
    first_on: date | None = None
    last_on: date | None = None
    model_pk: int | None = None
    provider_pk: int | None = None
    api_key_pk: int | None = None

    def holds_model(self, model_pk: int, provider_pk: int) -> bool:
        """Whether the scope is about this model, among others."""
        return self.model_pk in {None, model_pk} and self.provider_pk in {None, provider_pk}


@dataclass(frozen=True)
class UsageGroup:
    """One row: dates and primary keys in the order of the grouping (`NO_KEY` for events without a key), and its sums."""

    position: Position
    total: Consumption


def usage_groups(
    customer: Customer, scope: UsageScope, by: Sequence[str], *, after: Position | None, limit: int
) -> list[UsageGroup]:
    """Up to `limit` rows in the order of their positions, beginning after one. Sums are of priced events only."""
    rollups = _rollups(customer, scope).annotate(**{f"by_{name}": _EXPRESSIONS[name] for name in by})
    columns = [f"by_{name}" for name in by]
    if after is not None:
        rollups = rollups.filter(_later(columns, after))
    rows = rollups.order_by(*columns).values_list(*columns).annotate(**_TOTALS)[:limit]
    return [UsageGroup(row[: len(by)], consumption_of(row[len(by) :])) for row in rows]


def scope_total(customer: Customer, scope: UsageScope) -> Consumption:
    """The sum of all rows, whatever the grouping."""
    sums = _rollups(customer, scope).aggregate(**_TOTALS)
    if sums["total_requests"] is None:
        return Consumption()
    return consumption_of([sums[name] for name in _TOTALS])


def group_names(by: Sequence[str], groups: Sequence[UsageGroup]) -> dict[str, dict[int, str]]:
    """For each grouping by something that has a name, the names by primary key: model id, provider slug, key prefix."""
    sources: dict[str, tuple[QuerySet[Any], str]] = {
        "model": (Model.objects.all(), "model_id"),
        "provider": (Provider.objects.all(), "slug"),
        "key": (ApiKey.objects.all(), "prefix"),
    }
    names: dict[str, dict[int, str]] = {}
    for place, group_by in enumerate(by):
        if group_by in sources:
            rows, column = sources[group_by]
            pks = {group.position[place] for group in groups}
            names[group_by] = dict(rows.filter(pk__in=pks).values_list("pk", column))
    return names


def _rollups(customer: Customer, scope: UsageScope) -> QuerySet[UsageRollup]:
    rollups = UsageRollup.objects.filter(customer=customer)
    if scope.billing_month is not None:
        rollups = rollups.filter(billing_month=scope.billing_month.first_on)
    if scope.first_on is not None and scope.last_on is not None:
        rollups = rollups.filter(day__range=(scope.first_on, scope.last_on))
    if scope.model_pk is not None:
        rollups = rollups.filter(model_id=scope.model_pk)
    if scope.provider_pk is not None:
        rollups = rollups.filter(model_id__in=Model.objects.filter(provider=scope.provider_pk).values("pk"))
    if scope.api_key_pk is not None:
        rollups = rollups.filter(api_key_id=scope.api_key_pk)
    return rollups


def _later(columns: Sequence[str], position: Position) -> Q:
    """(a, b) > (x, y), spelled out."""
    later, equal = Q(), Q()
    for column, value in zip(columns, position, strict=True):
        later |= equal & Q(**{f"{column}__gt": value})
        equal &= Q(**{column: value})
    return later


_TOTALS = {f"total_{name}": Sum(name) for name in SUMMED}
_PROVIDER = Subquery(Model.objects.filter(pk=OuterRef("model_id")).values("provider_id"))
_EXPRESSIONS: dict[str, Any] = {
    "day": F("day"),
    "month": TruncMonth("day"),
    "model": F("model_id"),
    "key": Coalesce("api_key_id", NO_KEY),
    "provider": _PROVIDER,
}
