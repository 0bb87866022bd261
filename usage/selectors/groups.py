"""A customer's usage, grouped as somebody asks for it, a page at a time.

Korean days are summed from `UsageRollup`. Hours, and the days of zones whole hours away from UTC, are summed from
`UsageHour`. In a zone with half or quarter hours an hour of UTC lies in two days, so there the events themselves are
read, at most `MAX_EVENT_DAYS` of them at once. All three count the same events, so their totals are equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection
from django.db.models import Max, Min, QuerySet

from accounts.errors import InvalidInput
from accounts.models import ApiKey, Customer
from catalog.models import Model, Provider
from usage.models import UsageApp, UsageRollup
from usage.models.counted import COUNTED_EVENTS
from usage.models.rollups import SUMMED
from usage.periods import KST, BillingMonth
from usage.selectors.archives import require_events
from usage.selectors.sums import Consumption, consumption_of
from usage.zones import day_start, days_between, has_whole_hours, hour_starts

#: What usage may be grouped by; `hour`, `day` and `month` are those in which it happened, on the clock of the zone.
GROUPS = ("hour", "day", "month", "model", "key", "app", "provider")
TIMES = frozenset({"hour", "day", "month"})
#: Stands for "no key" among the keys and "no app" among the apps, so that it has a place in the order.
NONE = 0
MAX_EVENT_DAYS = 31

Position = tuple[datetime | date | int, ...]


@dataclass(frozen=True)
class UsageScope:
    """Which of a customer's priced usage is meant: what a month bills, or what happened on days of the zone (both
    included), or all. `app_pk` 0 means the events that name no app.
    """

    billing_month: BillingMonth | None = None
    first_on: date | None = None
    last_on: date | None = None
    zone: ZoneInfo = KST
    model_pk: int | None = None
    provider_pk: int | None = None
    api_key_pk: int | None = None
    app_pk: int | None = None

    def holds_model(self, model_pk: int, provider_pk: int) -> bool:
        """Whether the scope is about this model, among others."""
        return self.model_pk in {None, model_pk} and self.provider_pk in {None, provider_pk}


@dataclass(frozen=True)
class UsageGroup:
    """One row: instants, dates and primary keys in the order of the grouping (`NONE` where there is no key or app), and
    its sums.
    """

    position: Position
    total: Consumption


def usage_groups(
    customer: Customer, scope: UsageScope, by: Sequence[str], *, after: Position | None, limit: int | None
) -> list[UsageGroup]:
    """Up to `limit` rows (None: all) in the order of their positions, beginning after one. Sums are of priced events only.

    Raises InvalidInput (`tz`) where the events themselves would have to be read for too many days, EventsArchived where
    they stand in files.
    """
    source = _source(customer, scope, by)
    groups = ", ".join(f"{source.expression(name)} AS by_{name}" for name in by)
    columns = ", ".join(f"by_{name}" for name in by)
    later = ""
    if after is not None:
        later = f"WHERE ({columns}) > ({', '.join(f'%(after_{place})s' for place in range(len(by)))})"
        source.params |= {f"after_{place}": value for place, value in enumerate(after)}
    query = f"""
        SELECT * FROM (SELECT {groups}, {_TOTALS} FROM {source.table} GROUP BY {columns}) AS grouped {later}
        ORDER BY {columns} LIMIT %(limit)s
    """  # noqa: S608 - made of names of this file; all values are parameters
    with connection.cursor() as cursor:
        cursor.execute(query, source.params | {"limit": limit})
        rows = cursor.fetchall()
    return [UsageGroup(row[: len(by)], consumption_of(row[len(by) :])) for row in rows]


def scope_total(customer: Customer, scope: UsageScope) -> Consumption:
    """The sum of all rows, whatever the grouping. Raises what `usage_groups` raises."""
    source = _source(customer, scope, ())
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_TOTALS} FROM {source.table}", source.params)  # noqa: S608 - as above
        sums = cursor.fetchone()
    return Consumption() if sums[0] is None else consumption_of(sums)


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
            names[group_by] = dict(rows.filter(pk__in=_pks(place, groups)).values_list("pk", column))
    return names


def grouped_apps(by: Sequence[str], groups: Sequence[UsageGroup]) -> dict[int, UsageApp]:
    """The apps among the rows, by primary key."""
    return UsageApp.objects.in_bulk(_pks(by.index("app"), groups)) if "app" in by else {}


def _pks(place: int, groups: Sequence[UsageGroup]) -> set[Any]:
    return {group.position[place] for group in groups}


_TOTALS = ", ".join(f"sum({name}) AS total_{name}" for name in SUMMED)
_EXPRESSIONS = {
    "model": "model_id",
    "key": f"coalesce(api_key_id, {NONE})",
    "app": "app_id",
    "provider": "(SELECT provider_id FROM catalog_model AS sold WHERE sold.id = used.model_id)",
}


@dataclass
class _Source:
    """Where the rows come from: `table` goes behind FROM, `instant` is the column that says when, None for Korean days."""

    table: str
    instant: str | None
    params: dict[str, Any]
    scope: UsageScope
    days: list[date] = field(default_factory=list)

    def expression(self, group_by: str) -> str:
        """The SQL of one group; times of a zone are found among instants that this process has computed."""
        if group_by not in TIMES:
            return _EXPRESSIONS[group_by]
        if self.instant is None:
            return "day" if group_by == "day" else "date_trunc('month', day::timestamp)::date"
        if group_by == "hour":
            if self.instant == "hour_at":
                return "hour_at"
            end_at = day_start(self.scope.zone, self.days[-1] + timedelta(days=1))
            starts = hour_starts(self.scope.zone, day_start(self.scope.zone, self.days[0]), end_at)
            self.params["hours"] = starts
            return f"(%(hours)s::timestamptz[])[width_bucket({self.instant}, %(hours)s::timestamptz[])]"
        self.params["day_starts"] = [day_start(self.scope.zone, day) for day in self.days]
        self.params[f"{group_by}s"] = [day if group_by == "day" else day.replace(day=1) for day in self.days]
        return f"(%({group_by}s)s::date[])[width_bucket({self.instant}, %(day_starts)s::timestamptz[])]"


def _source(customer: Customer, scope: UsageScope, by: Sequence[str]) -> _Source:
    conditions, params = _conditions(customer, scope)
    by_time = TIMES & set(by)
    if "hour" not in by and (scope.zone == KST or (scope.first_on is None and not by_time)):
        if scope.first_on is not None:
            conditions.append("used.day BETWEEN %(first_on)s AND %(last_on)s")
            params |= {"first_on": scope.first_on, "last_on": scope.last_on}
        return _Source(_filtered("usage_usagerollup", conditions), None, params, scope)
    first_on, last_on = _span(customer, scope)
    params |= {
        "start_at": day_start(scope.zone, first_on),
        "end_at": day_start(scope.zone, last_on + timedelta(days=1)),
    }
    days = days_between(first_on, last_on)
    if has_whole_hours(scope.zone, first_on, last_on):
        conditions.append("used.hour_at >= %(start_at)s AND used.hour_at < %(end_at)s")
        return _Source(_filtered("usage_usagehour", conditions), "hour_at", params, scope, days)
    if len(days) > MAX_EVENT_DAYS:
        raise InvalidInput(
            f"tz: {scope.zone.key} is not whole hours away from UTC, so its days are summed from single events; "
            f"{MAX_EVENT_DAYS} days at once are possible there, these are {len(days)}",
            field="tz",
        )
    require_events(customer, start_at=params["start_at"], end_at=params["end_at"], billing_month=scope.billing_month)
    events = f"""({COUNTED_EVENTS} AND event.customer_id = %(customer_id)s
                 AND event.occurred_at >= %(start_at)s AND event.occurred_at < %(end_at)s)"""
    return _Source(_filtered(events, conditions), "occurred_at", params, scope, days)


def _filtered(table: str, conditions: Sequence[str]) -> str:
    return f"(SELECT * FROM {table} AS used WHERE {' AND '.join(conditions)}) AS used"  # noqa: S608 - as above


def _conditions(customer: Customer, scope: UsageScope) -> tuple[list[str], dict[str, Any]]:
    conditions = ["used.customer_id = %(customer_id)s"]
    params: dict[str, Any] = {"customer_id": customer.pk}
    if scope.provider_pk is not None:
        conditions.append("used.model_id IN (SELECT id FROM catalog_model WHERE provider_id = %(provider_pk)s)")
        params["provider_pk"] = scope.provider_pk
    for column, value in (
        ("billing_month", scope.billing_month and scope.billing_month.first_on),
        ("model_id", scope.model_pk),
        ("api_key_id", scope.api_key_pk),
        ("app_id", scope.app_pk),
    ):
        if value is not None:
            conditions.append(f"used.{column} = %({column})s")
            params[column] = value
    return conditions, params


def _span(customer: Customer, scope: UsageScope) -> tuple[date, date]:
    """The days of the zone that the scope names, or in which lies what it bills; one day where that is nothing."""
    if scope.first_on is not None and scope.last_on is not None:
        return scope.first_on, scope.last_on
    rollups = UsageRollup.objects.filter(customer=customer)
    if scope.billing_month is not None:
        rollups = rollups.filter(billing_month=scope.billing_month.first_on)
    found = rollups.aggregate(first=Min("day"), last=Max("day"))
    first, last = found["first"] or date(2020, 1, 1), found["last"] or date(2020, 1, 1)
    start_at, end_at = day_start(KST, first), day_start(KST, last + timedelta(days=1)) - timedelta(microseconds=1)
    return start_at.astimezone(scope.zone).date(), end_at.astimezone(scope.zone).date()
