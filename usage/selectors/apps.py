"""A customer's own apps: which one a call came from, and what each of them used."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts.models import Customer
from usage.models import UsageApp, UsageEvent
from usage.models.apps import OTHERS
from usage.selectors.groups import NONE, UsageScope, usage_groups
from usage.selectors.sums import Consumption


@dataclass(frozen=True)
class AppUsage:
    """One app of a customer over some days; `app` is None for the calls that name none."""

    app: UsageApp | None
    total: Consumption


def usage_by_app(customer: Customer, first_on: date, last_on: date) -> list[AppUsage]:
    """Each app used on the KST days from `first_on` to `last_on`, both included; the most expensive first, then by most
    requests, then by age. Calls without an app are one row among them.
    """
    scope = UsageScope(first_on=first_on, last_on=last_on)
    # A customer has a bounded number of apps, so this is all of them.
    groups = usage_groups(customer, scope, ["app"], after=None, limit=None)
    apps = UsageApp.objects.filter(customer=customer).in_bulk()
    used = [(pk, one.total) for one in groups if isinstance(pk := one.position[0], int)]
    ordered = sorted(used, key=lambda row: (-row[1].cost_usd, -row[1].requests, row[0]))
    return [AppUsage(apps.get(pk), total) for pk, total in ordered]


def app_pks(customer: Customer, names: Collection[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """The apps under which pairs of referer and title are counted: their own, or the one for all others; without text 0."""
    found = {name: NONE for name in names if name == ("", "")}
    asked = [name for name in names if name != ("", "")]
    if asked:
        apps = UsageApp.objects.filter(
            Q(referer__in={referer for referer, _ in asked}, title__in={title for _, title in asked})
            | Q(referer="", title=OTHERS),
            customer=customer,
        )
        pks = {(app.referer, app.title): app.pk for app in apps}
        rest = pks.get(("", OTHERS), NONE)
        found |= {name: pks.get(name, rest) for name in asked}
    return found


def events_of_app(events: QuerySet[UsageEvent], app: UsageApp | None) -> QuerySet[UsageEvent]:
    """Those of the events that are counted under this app; with None those that name none."""
    if app is None:
        return events.filter(app_referer="", app_title="")
    same = Q(app_referer=app.referer, app_title=app.title)
    if (app.referer, app.title) == ("", OTHERS):
        own = UsageApp.objects.filter(
            customer_id=OuterRef("customer_id"), referer=OuterRef("app_referer"), title=OuterRef("app_title")
        )
        same |= ~Q(app_referer="", app_title="") & Q(~Exists(own))
    return events.filter(same)
