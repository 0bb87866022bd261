"""Everything that the bills of some customers for one month are computed from, read at once.

A batch of customers costs the same dozen queries as one customer. `bills.compute_bill` makes the bills of them and reads
nothing more, so whoever holds the customers bills what is here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import chain

from accounts.models import Customer
from billing.margins import MarginBook
from billing.models import Discount, MonthlyMinimum, PromotionalCredit, ZeroRating
from billing.selectors.exchange import RateBook, rate_book
from billing.selectors.margins import margin_book
from billing.selectors.promotions import usable_credits
from billing.selectors.terms import discounts_of, minimums_of, zero_ratings_of
from catalog.models import Model
from usage.periods import BillingMonth
from usage.selectors import UsageSum, billed_sums, open_quarantine_counts


@dataclass(frozen=True, slots=True)
class BilledModel:
    """What a bill says of a model; `provider` is the slug."""

    model_id: str
    name: str
    provider: str


@dataclass(frozen=True, slots=True)
class MonthFacts:
    """The facts of one month by customer. `on` is the day that the month_end rule looks back from."""

    month: BillingMonth
    on: date
    sums: Mapping[int, list[UsageSum]]
    models: Mapping[int, BilledModel]
    margins: MarginBook
    rates: RateBook
    discounts: Mapping[int, list[Discount]]
    minimums: Mapping[int, list[MonthlyMinimum]]
    zero_ratings: Mapping[int, ZeroRating]
    credits: Mapping[int, list[PromotionalCredit]]
    quarantined: Mapping[int, int]


def load_facts(customers: Collection[Customer], month: BillingMonth, *, on: date | None = None) -> MonthFacts:
    """The facts for the bills of these customers.

    For a month that still runs, `on` is today: its last day has no rate yet, so the last one published so far stands in.
    """
    ids = [customer.pk for customer in customers]
    grants = usable_credits(ids, month)
    daily = {one.pk for one in customers if one.exchange_rule == Customer.ExchangeRule.DAILY}
    sums = billed_sums(ids, month, with_days_of=daily | set(grants))
    looked_back_from = min(on or month.last_on, month.last_on)
    # Late usage under the daily rule is sold at the rates of its own days.
    late = [line.month.first_on for pk in daily for line in sums[pk]]
    return MonthFacts(
        month=month,
        on=looked_back_from,
        sums=sums,
        models=_models({line.model_pk for line in chain.from_iterable(sums.values())}),
        margins=margin_book(month.last_on, ids),
        rates=rate_book(min([looked_back_from, *late]), month.last_on),
        discounts=discounts_of(ids),
        minimums=minimums_of(ids),
        zero_ratings=zero_ratings_of(ids, month),
        credits=grants,
        quarantined=open_quarantine_counts(ids, month),
    )


def _models(pks: Collection[int]) -> dict[int, BilledModel]:
    rows = Model.objects.filter(pk__in=pks).values_list("pk", "model_id", "name", "provider__slug")
    return {pk: BilledModel(model_id, name, provider) for pk, model_id, name, provider in rows}
