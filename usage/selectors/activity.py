"""A customer's usage by UTC day and model, from the sums by hour."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

from accounts.models import Customer
from catalog.models import Model
from usage.selectors.groups import UsageScope, usage_groups
from usage.selectors.sums import Consumption

_UTC = ZoneInfo("UTC")


@dataclass(frozen=True)
class Activity:
    """One model's priced events of one UTC day; costs are at list price."""

    day: date
    model: Model
    total: Consumption


def activity(customer: Customer, first_on: date, last_on: date, *, api_key_pk: int | None = None) -> list[Activity]:
    """The UTC days from `first_on` to `last_on`, both included, newest first, then by model; of one key, or of all usage."""
    scope = UsageScope(first_on=first_on, last_on=last_on, zone=_UTC, api_key_pk=api_key_pk)
    groups = usage_groups(customer, scope, ["day", "model"], after=None, limit=None)
    models = Model.objects.select_related("provider").in_bulk({one.position[1] for one in groups})
    found = [
        Activity(day, models[pk], one.total)
        for one in groups
        for day, pk in [one.position]
        if isinstance(day, date) and isinstance(pk, int)
    ]
    return sorted(found, key=lambda one: (-one.day.toordinal(), one.model.model_id))
