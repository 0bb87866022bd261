"""What a month still lacks before it can be billed, found before anything is computed. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from django.db.models import Count, Exists, Max, OuterRef, Sum

from accounts.models import Customer, TaxProfile
from accounts.selectors import seller_profile_in_force
from billing.models import Alert
from billing.selectors.exchange import rate_in_force
from billing.selectors.margins import margin_book, negative_margin
from billing.selectors.terms import customers_with_minimum
from catalog.models import Model
from catalog.money import decimal_text
from usage.models import BillingPeriod, QuarantinedEvent, UsageRollup
from usage.periods import BillingMonth
from usage.selectors import customers_with_usage

#: A customer that used something on most days and nothing on the last ones may have a source that is late.
_BUSY_DAYS = 10
_SILENT_DAYS = 2


@dataclass(frozen=True)
class Finding:
    """One thing. `stops`: the customer (everybody where there is none) would be parked; otherwise it is worth a look."""

    code: str
    customer: str | None
    detail: str
    stops: bool


def readiness(month: BillingMonth, *, on: date) -> list[Finding]:
    """What is missing or odd, with the identities in force on the day `on`: what stops a customer first."""
    customers = list({one.pk: one for one in [*customers_with_usage(month), *customers_with_minimum(month)]}.values())
    findings = [
        *_identities(customers, on),
        *_rates(customers, month),
        *_margins(customers, month),
        *_quarantine(customers, month),
        *_silent_sources(customers, month),
        *_losses(month),
        *_upstream_charges(month),
    ]
    return sorted(findings, key=lambda one: (not one.stops, one.code, one.customer or ""))


@dataclass(frozen=True)
class OlderMonth:
    """A month before the one asked about in which these customers (slugs) used something that nobody has closed."""

    month: BillingMonth
    customers: tuple[str, ...]
    requests: int


def older_months_left(month: BillingMonth) -> list[OlderMonth]:
    """Usage of months before this one whose period is not closed, oldest first: nobody is billed for it."""
    closed = BillingPeriod.objects.filter(
        customer=OuterRef("customer"), month=OuterRef("billing_month"), status=BillingPeriod.Status.CLOSED
    )
    used = UsageRollup.objects.filter(~Exists(closed), billing_month__lt=month.first_on)
    sums = used.order_by().values_list("billing_month", "customer__slug").annotate(Sum("requests"))
    by_month: dict[date, dict[str, int]] = {}
    for first_on, slug, requests in sums:
        by_month.setdefault(first_on, {})[slug] = requests
    return [
        OlderMonth(BillingMonth(first_on.year, first_on.month), tuple(sorted(slugs)), sum(slugs.values()))
        for first_on, slugs in sorted(by_month.items())
    ]


def _identities(customers: list[Customer], on: date) -> Iterable[Finding]:
    if seller_profile_in_force(on=on) is None:
        yield Finding("no_seller_profile", None, "our own seller profile is not set up yet", stops=True)
    profiles = TaxProfile.objects.filter(customer=OuterRef("pk"), valid_from__lte=on)
    pks = [customer.pk for customer in customers]
    for slug in Customer.objects.filter(~Exists(profiles), pk__in=pks).values_list("slug", flat=True):
        yield Finding("no_tax_profile", slug, f"no tax profile is in force on {on}", stops=True)


def _rates(customers: list[Customer], month: BillingMonth) -> Iterable[Finding]:
    rules = {customer.exchange_rule for customer in customers}
    if Customer.ExchangeRule.MONTH_END in rules and rate_in_force(on=month.last_on) is None:
        detail = f"no exchange rate was published on or up to 14 days before {month.last_on}"
        yield Finding("no_exchange_rate", None, detail, stops=True)
    if Customer.ExchangeRule.DAILY not in rules:
        return
    daily = [customer.pk for customer in customers if customer.exchange_rule == Customer.ExchangeRule.DAILY]
    used = UsageRollup.objects.filter(customer__in=daily, billing_month=month.first_on)
    for day in used.order_by("day").values_list("day", flat=True).distinct():
        if rate_in_force(on=day) is None:
            yield Finding("no_exchange_rate", None, f"no exchange rate holds for {day} (daily rule)", stops=True)


def _margins(customers: list[Customer], month: BillingMonth) -> Iterable[Finding]:
    book = margin_book(month.last_on, [customer.pk for customer in customers])
    uncovered = {customer.pk: customer.slug for customer in customers if book.general(customer.pk) is None}
    used = UsageRollup.objects.filter(customer__in=uncovered, billing_month=month.first_on).order_by()
    pairs = set(used.values_list("customer_id", "model_id"))
    models = Model.objects.select_related("provider").in_bulk({model_pk for _, model_pk in pairs})
    missing: dict[str, list[str]] = {}
    for customer_pk, model_pk in pairs:
        model = models[model_pk]
        if book.terms(customer_pk, model_id=model.model_id, provider=model.provider.slug) is None:
            missing.setdefault(uncovered[customer_pk], []).append(model.model_id)
    for slug, names in missing.items():
        detail = f"no margin rule covers {', '.join(sorted(names))} on {month.last_on}"
        yield Finding("no_margin_rule", slug, detail, stops=True)


def _quarantine(customers: list[Customer], month: BillingMonth) -> Iterable[Finding]:
    waiting = QuarantinedEvent.objects.filter(
        billing_month=month.first_on, status=QuarantinedEvent.Status.OPEN, customer__in=customers
    )
    for slug, count in waiting.order_by("customer__slug").values_list("customer__slug").annotate(Count("pk")):
        yield Finding("quarantined_usage", slug, f"{count} events wait for a price", stops=True)


def _silent_sources(customers: list[Customer], month: BillingMonth) -> Iterable[Finding]:
    rows = UsageRollup.objects.filter(
        customer__in=customers, billing_month=month.first_on, day__range=(month.first_on, month.last_on)
    )
    busy = (
        rows.order_by("customer__slug")
        .values_list("customer__slug")
        .annotate(days=Count("day", distinct=True), last=Max("day"))
    )
    for slug, days, last in busy:
        if days >= _BUSY_DAYS and month.last_on - last >= timedelta(days=_SILENT_DAYS):
            detail = f"used something on {days} days and nothing after {last}: is a source late?"
            yield Finding("late_source", slug, detail, stops=False)


def _losses(month: BillingMonth) -> Iterable[Finding]:
    for loss in negative_margin(month):
        detail = f"{loss.model_id} sold below the upstream's charge of USD {decimal_text(loss.upstream_cost_usd)}"
        yield Finding("negative_margin", None, detail, stops=False)


def _upstream_charges(month: BillingMonth) -> Iterable[Finding]:
    """What reconciliation told operators of days of the month and nobody has acknowledged: `reconcile` shows the rest."""
    kinds = (Alert.Kind.UPSTREAM_DRIFT, Alert.Kind.MISSING_HERE)
    waiting = Alert.objects.filter(kind__in=kinds, acknowledged_at=None, detail__day__startswith=str(month))
    days: dict[tuple[str, str], set[str]] = {}
    for kind, detail in waiting.values_list("kind", "detail"):
        days.setdefault((kind, detail["model"]), set()).add(detail["day"])
    for (kind, model_id), found in days.items():
        what = "drifted from what upstreams charged" if kind == kinds[0] else "was charged and not metered here"
        yield Finding(kind, None, f"{model_id} {what} on {', '.join(sorted(found))}", stops=False)
