"""What was consumed, in sums: the only reading of usage that pages, quotes and the close need.

Everything here reads `UsageRollup` (one row per KST day, key, model and price), never the events. A quarantined event
is in no sum until it is priced. Costs are USD and exact; months and days are Korean.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet, Sum

from accounts.models import Customer
from catalog.models import Model
from catalog.money import EXACT, ZERO
from usage.errors import UnknownEvent
from usage.models import BillingPeriod, QuarantinedEvent, UsageRollup
from usage.models.rollups import SUMMED
from usage.periods import BillingMonth


@dataclass(frozen=True)
class Consumption:
    """Sums of priced events, fields as `SUMMED`. Token counts as in `Quantities`: cache counts and audio input lie inside
    the prompt; reasoning, audio and image output inside the completion. `upstream_cost_usd` adds up what upstreams said
    they charged, where they said it.
    """

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    image_output_tokens: int = 0
    images: int = 0
    web_searches: int = 0
    cost_usd: Decimal = ZERO
    upstream_cost_usd: Decimal = ZERO

    def __add__(self, other: Consumption) -> Consumption:
        counts = {name: getattr(self, name) + getattr(other, name) for name in SUMMED[:-2]}
        return Consumption(
            **counts,
            cost_usd=EXACT.add(self.cost_usd, other.cost_usd),
            upstream_cost_usd=EXACT.add(self.upstream_cost_usd, other.upstream_cost_usd),
        )


@dataclass(frozen=True)
class UsageSum:
    """What one line of an invoice is made of: one model's events of one KST month.

    `month` is the month in which the events happened; it is earlier than the billed month for late ones. The cost of
    each day is kept because the daily exchange rule prices days; the days add up to `total.cost_usd` exactly. So do the
    other amounts that a contract may be priced on (`UsageRollup`).
    """

    month: BillingMonth
    model_pk: int
    model_id: str
    total: Consumption
    cost_usd_by_day: Mapping[date, Decimal]
    upstream_basis_usd_by_day: Mapping[date, Decimal]
    higher_basis_usd_by_day: Mapping[date, Decimal]

    def basis_usd_by_day(self, basis: str) -> Mapping[date, Decimal]:
        """What is sold on each day where the contract goes by `catalog`, `upstream` or `higher`."""
        if basis == "catalog":
            return self.cost_usd_by_day
        return self.upstream_basis_usd_by_day if basis == "upstream" else self.higher_basis_usd_by_day


@dataclass(frozen=True)
class DayUsage:
    """One KST day of a customer."""

    day: date
    total: Consumption


@dataclass(frozen=True)
class ModelUsage:
    """One model of a customer over some days."""

    model_pk: int
    model_id: str
    name: str
    total: Consumption


def month_lines(customer: Customer, billing_month: BillingMonth) -> list[UsageSum]:
    """What that month bills, by month of occurrence and model, ordered by month and then model id.

    Holds every priced event whose billing month it is, late events of earlier months included.
    """
    days: dict[tuple[BillingMonth, int], dict[date, tuple[Consumption, Decimal, Decimal]]] = {}
    rollups = UsageRollup.objects.filter(customer=customer, billing_month=billing_month.first_on)
    totals = {f"total_{name}": Sum(name) for name in UsageRollup.SUMS}
    for day, model_pk, *sums in rollups.order_by("day").values_list("day", "model_id").annotate(**totals):
        month = BillingMonth(day.year, day.month)
        days.setdefault((month, model_pk), {})[day] = (consumption_of(sums[:-2]), *sums[-2:])
    model_ids = {model.pk: model.model_id for model in _models(pk for _, pk in days)}
    return [
        UsageSum(
            month=month,
            model_pk=model_pk,
            model_id=model_ids[model_pk],
            total=sum((sums for sums, _, _ in by_day.values()), Consumption()),
            cost_usd_by_day={day: sums.cost_usd for day, (sums, _, _) in by_day.items()},
            upstream_basis_usd_by_day={day: upstream for day, (_, upstream, _) in by_day.items()},
            higher_basis_usd_by_day={day: higher for day, (_, _, higher) in by_day.items()},
        )
        for (month, model_pk), by_day in sorted(days.items(), key=lambda item: (item[0][0], model_ids[item[0][1]]))
    ]


def usage_by_day(customer: Customer, first_on: date, last_on: date) -> list[DayUsage]:
    """Each KST day from `first_on` to `last_on`, both included, that has priced usage; in order."""
    days = _sums(UsageRollup.objects.filter(customer=customer, day__range=(first_on, last_on)), "day")
    return sorted((DayUsage(day, sums) for day, sums in days), key=lambda usage: usage.day)


def usage_by_model(customer: Customer, first_on: date, last_on: date) -> list[ModelUsage]:
    """Each model used from `first_on` to `last_on`, both included; the most expensive first, then by model id."""
    sums = dict(_sums(UsageRollup.objects.filter(customer=customer, day__range=(first_on, last_on)), "model_id"))
    models = [ModelUsage(model.pk, model.model_id, model.name, sums[model.pk]) for model in _models(sums)]
    return sorted(models, key=lambda usage: (-usage.total.cost_usd, usage.model_id))


def usage_total(customer: Customer, first_on: date, last_on: date) -> Consumption:
    """Everything priced from `first_on` to `last_on`, both included."""
    return sum((usage.total for usage in usage_by_day(customer, first_on, last_on)), Consumption())


def open_quarantine(customer: Customer, billing_month: BillingMonth) -> QuerySet[QuarantinedEvent]:
    """Events that block that month's close: accepted, and neither priced nor excluded yet. Oldest first."""
    return QuarantinedEvent.objects.filter(
        customer=customer, billing_month=billing_month.first_on, status=QuarantinedEvent.Status.OPEN
    ).order_by("occurred_at", "event_id")


def quarantined_event(customer: Customer, event_id: str) -> QuarantinedEvent:
    """The quarantine row of that customer's event, whatever was decided about it; UnknownEvent otherwise."""
    event = QuarantinedEvent.objects.filter(customer=customer, event_id=event_id).first()
    if event is None:
        raise UnknownEvent(f"{customer.slug} has no quarantined event {event_id!r}", field="event_id")
    return event


def period_status(customer: Customer, month: BillingMonth) -> str:
    """`BillingPeriod.Status` of the month; a month that nobody closed is open, whether or not it has a row."""
    status = (
        BillingPeriod.objects.filter(customer=customer, month=month.first_on).values_list("status", flat=True).first()
    )
    return status or BillingPeriod.Status.OPEN


def customers_with_usage(month: BillingMonth) -> QuerySet[Customer]:
    """Customers with something to bill, or to resolve first, in a month that is not closed for them; by slug."""
    of_customer = {"customer_id": OuterRef("pk")}
    used = UsageRollup.objects.filter(**of_customer, billing_month=month.first_on)
    waiting = QuarantinedEvent.objects.filter(
        **of_customer, billing_month=month.first_on, status=QuarantinedEvent.Status.OPEN
    )
    closed = BillingPeriod.objects.filter(**of_customer, month=month.first_on, status=BillingPeriod.Status.CLOSED)
    return Customer.objects.filter(Exists(used) | Exists(waiting), ~Exists(closed)).order_by("slug")


def closed_months(customer_ids: Iterable[int]) -> set[tuple[int, date]]:
    """(customer id, first day of the month) of every closed month of these customers."""
    periods = BillingPeriod.objects.filter(customer_id__in=set(customer_ids), status=BillingPeriod.Status.CLOSED)
    return set(periods.values_list("customer_id", "month"))


def _sums(rollups: QuerySet[UsageRollup], *keys: str) -> list[tuple[Any, ...]]:
    """Rows of `keys` and their `Consumption`."""
    totals = {f"total_{name}": Sum(name) for name in SUMMED}
    rows = rollups.order_by().values_list(*keys).annotate(**totals)
    return [(*row[: len(keys)], consumption_of(row[len(keys) :])) for row in rows]


def consumption_of(sums: Sequence[Any]) -> Consumption:
    """From the sums of the columns `SUMMED`."""
    counts, amounts = sums[:-2], sums[-2:]
    # PostgreSQL adds bigints up to a numeric; the counts are whole all the same.
    return Consumption(*map(int, counts), *amounts)  # type: ignore[arg-type]


def _models(pks: Iterable[int]) -> list[Model]:
    return list(Model.objects.filter(pk__in=set(pks)).only("pk", "model_id", "name"))
