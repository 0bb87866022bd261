"""The upstream's daily sums beside ours, by UTC day: a second look at days of which no statement lists the generations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import F, Sum
from django.db.models.functions import TruncDate

from catalog.models import Model
from catalog.money import EXACT, ZERO, decimal_text
from catalog.selectors import load_catalog
from usage.models import UpstreamDay, UsageHour


@dataclass(slots=True)
class UpstreamDayComparison:
    """One model on one UTC day. `charged_usd` is what the upstream's list says, `known_usd` what our events know of it,
    `cost_usd` what they cost at our list price.
    """

    day: date
    model_id: str
    requests_there: int = 0
    requests_here: int = 0
    charged_usd: Decimal = ZERO
    known_usd: Decimal = ZERO
    cost_usd: Decimal = ZERO

    @property
    def difference_usd(self) -> Decimal:
        """Charged there and not known here."""
        return EXACT.subtract(self.charged_usd, self.known_usd)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "utc_day": self.day.isoformat(),
            "model": self.model_id,
            "requests_there": self.requests_there,
            "requests_here": self.requests_here,
            "charged_usd": decimal_text(self.charged_usd),
            "known_usd": decimal_text(self.known_usd),
            "difference_usd": decimal_text(self.difference_usd),
            "cost_usd": decimal_text(self.cost_usd),
        }


def upstream_days(first: date, last: date) -> list[UpstreamDayComparison]:
    """Every model that the upstream lists on a day of `first` to `last`, and those it charged us for without listing them.

    Days of which nothing was read in are left out. A model priced here under no name of the list stands under that name.
    """
    stated = list(
        UpstreamDay.objects.filter(day__range=(first, last))
        .order_by()
        .values_list("day", "permaslug", "model_name")
        .annotate(Sum("requests"), Sum("charged_usd"))
    )
    days = {day for day, *_ in stated}
    if not days:
        return []
    rows: dict[tuple[date, str], UpstreamDayComparison] = {}
    names = _model_ids(stated)
    for day, permaslug, name, requests, charged in stated:
        row = _row(rows, day, names[permaslug, name])
        row.requests_there += requests
        row.charged_usd = EXACT.add(row.charged_usd, charged)
    _add_ours(rows, days)
    return [rows[key] for key in sorted(rows)]


def _add_ours(rows: dict[tuple[date, str], UpstreamDayComparison], days: set[date]) -> None:
    ours = list(
        UsageHour.objects.filter(
            hour_at__gte=datetime.combine(min(days), time(), UTC),
            hour_at__lt=datetime.combine(max(days) + timedelta(days=1), time(), UTC),
        )
        .order_by()
        .annotate(utc_day=TruncDate(F("hour_at"), tzinfo=UTC))
        .values_list("utc_day", "model_id")
        .annotate(Sum("requests"), Sum("upstream_cost_usd"), Sum("cost_usd"))
    )
    ids = dict(Model.objects.filter(pk__in={pk for _, pk, *_ in ours}).values_list("pk", "model_id"))
    for day, pk, requests, known, cost in ours:
        if (day, ids[pk]) in rows or (day in days and known):
            row = _row(rows, day, ids[pk])
            row.requests_here, row.known_usd, row.cost_usd = requests, known, cost


def _row(rows: dict[tuple[date, str], UpstreamDayComparison], day: date, model_id: str) -> UpstreamDayComparison:
    return rows.setdefault((day, model_id), UpstreamDayComparison(day, model_id))


def _model_ids(stated: Iterable[tuple[Any, ...]]) -> dict[tuple[str, str], str]:
    """The catalog's id for each (permanent name, name) of the list; the permanent name where the catalog has neither."""
    catalog = load_catalog()
    found = {}
    for day, permaslug, name, *_ in stated:
        at = datetime.combine(day, time(12), UTC)
        model = catalog.lookup(permaslug, at=at) or catalog.lookup(name, at=at)
        found[permaslug, name] = permaslug if model is None else model.model_id
    return found
