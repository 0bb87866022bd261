"""What was consumed, in sums: the only reading of usage that pages, quotes and the close need.

Everything here reads `UsageRollup` (one row per KST day, key, model and price), never the events. A quarantined event
is in no sum until it is priced. Costs are USD and exact; months and days are Korean.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Count, Exists, OuterRef, QuerySet, Sum

from accounts.models import Customer
from catalog.models import Model
from catalog.money import EXACT, ZERO
from usage.errors import UnknownEvent
from usage.models import BillingPeriod, QuarantinedEvent, UsageRollup
from usage.models.rollups import BASES, SUMMED
from usage.periods import BillingMonth

# PostgreSQL adds bigints up to a numeric, which costs more to read; the counts are whole and fit all the same.
_COUNTS = ", ".join(f"sum({name})::bigint AS {name}" for name in SUMMED[:-2])
_USD = ", ".join(f"sum({name}) AS {name}" for name in (*SUMMED[-2:], *BASES))
_BILLED = f"""
SELECT billed.customer_id, billed.month, billed.model_id, model.model_id, {", ".join(SUMMED + BASES)}
FROM (SELECT customer_id, date_trunc('month', day::timestamp)::date AS month, model_id, {_COUNTS}, {_USD}
      FROM usage_usagerollup WHERE customer_id = ANY (%s) AND billing_month = %s GROUP BY 1, 2, 3) AS billed
JOIN catalog_model AS model ON model.id = billed.model_id
ORDER BY billed.customer_id, billed.month, model.model_id COLLATE "C"
"""  # noqa: S608 - made of constants
_BILLED_DAYS = """
SELECT customer_id, model_id, day, sum(cost_usd), sum(upstream_basis_usd), sum(higher_basis_usd)
FROM usage_usagerollup WHERE customer_id = ANY (%s) AND billing_month = %s GROUP BY 1, 2, 3 ORDER BY 3
"""


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


class Bases(NamedTuple):
    """The USD that a contract may be priced on (`UsageRollup`)."""

    cost_usd: Decimal
    upstream_usd: Decimal
    higher_usd: Decimal

    def of(self, basis: str) -> Decimal:
        """What is sold where the contract goes by `catalog`, `upstream` or `higher`."""
        if basis == "catalog":
            return self.cost_usd
        return self.upstream_usd if basis == "upstream" else self.higher_usd


@dataclass(frozen=True)
class UsageSum:
    """What one line of an invoice is made of: one model's events of one KST month.

    `month` is the month in which the events happened; it is earlier than the billed month for late ones. `bases_by_day`
    add up to `bases` exactly; None where days were not asked for. The daily exchange rule prices days, and promotional
    credit covers days.
    """

    month: BillingMonth
    model_pk: int
    model_id: str
    total: Consumption
    bases: Bases
    bases_by_day: Mapping[date, Bases] | None

    def basis_usd_by_day(self, basis: str) -> dict[date, Decimal]:
        """What is sold on each day under a basis. Raises ValueError where days were not asked for."""
        if self.bases_by_day is None:
            raise ValueError("these sums were read without their days")
        return {day: bases.of(basis) for day, bases in self.bases_by_day.items()}


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
    """What that month bills to one customer, with days; as `billed_sums`."""
    return billed_sums([customer.pk], billing_month, with_days_of=[customer.pk])[customer.pk]


def billed_sums(
    customer_ids: Collection[int], billing_month: BillingMonth, *, with_days_of: Collection[int]
) -> dict[int, list[UsageSum]]:
    """What that month bills to each of the customers, by month of occurrence and model, ordered by month and then model id.

    Holds every priced event whose billing month it is, late events of earlier months included. Days are thirty times as
    many rows, so they are read only of the customers that are named.
    """
    days: dict[tuple[int, BillingMonth, int], dict[date, Bases]] = {}
    found: dict[int, list[UsageSum]] = {customer_id: [] for customer_id in customer_ids}
    with connection.cursor() as cursor:
        if with_days_of:
            cursor.execute(_BILLED_DAYS, [list(with_days_of), billing_month.first_on])
            for customer_id, model_pk, day, *bases in cursor:
                days.setdefault((customer_id, BillingMonth(day.year, day.month), model_pk), {})[day] = Bases(*bases)
        cursor.execute(_BILLED, [list(customer_ids), billing_month.first_on])
        for customer_id, first_on, model_pk, model_id, *sums in cursor:
            month = BillingMonth(first_on.year, first_on.month)
            found[customer_id].append(
                UsageSum(
                    month=month,
                    model_pk=model_pk,
                    model_id=model_id,
                    total=Consumption(*sums[:-2]),
                    bases=Bases(sums[-4], *sums[-2:]),
                    bases_by_day=days.get((customer_id, month, model_pk)),
                )
            )
    return found


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


def open_quarantine_counts(customer_ids: Collection[int], billing_month: BillingMonth) -> dict[int, int]:
    """How many events block that month's close, by customer; whoever has none is left out."""
    waiting = QuarantinedEvent.objects.filter(
        customer__in=customer_ids, billing_month=billing_month.first_on, status=QuarantinedEvent.Status.OPEN
    )
    return dict(waiting.order_by().values_list("customer_id").annotate(Count("pk")))


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
