"""Which margins hold on a day, and what is left of them beside the upstreams' actual charges."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from django.db import connection
from django.db.models import Q

from accounts.models import Customer
from billing.margins import Basis, MarginBook, Scope, Terms
from billing.models import MarginRule
from catalog.changes import as_percent
from catalog.models import Model
from catalog.money import ZERO, decimal_text, exact_sum
from usage.periods import BillingMonth

_AT_COST = Terms(ZERO)
_CHARGED = """rollup.day >= %(first)s AND rollup.day <= %(last)s AND rollup.upstream_cost_usd > 0
  AND (%(customer)s::bigint IS NULL OR rollup.customer_id = %(customer)s)"""
_PAIRS = f"""
SELECT used.customer_id, used.model_id, model.model_id, provider.slug
FROM (SELECT DISTINCT customer_id, model_id FROM usage_usagerollup AS rollup WHERE {_CHARGED}) AS used
JOIN catalog_model AS model ON model.id = used.model_id JOIN catalog_provider AS provider ON provider.id = model.provider_id
"""  # noqa: S608 - made of constants
# Margins are few, so sums by margin are few rows, and each is sold exactly.
_SOLD = f"""
SELECT rollup.day, rollup.model_id, terms.margin, sum(rollup.cost_usd), sum(rollup.upstream_cost_usd),
       sum(CASE terms.basis WHEN 'upstream' THEN rollup.upstream_basis_usd WHEN 'higher' THEN rollup.higher_basis_usd
                            ELSE rollup.cost_usd END)
FROM usage_usagerollup AS rollup
JOIN unnest(%(customers)s::bigint[], %(models)s::bigint[], %(margins)s::numeric[], %(bases)s::text[])
     AS terms (customer_id, model_id, margin, basis)
  ON terms.customer_id = rollup.customer_id AND terms.model_id = rollup.model_id
WHERE {_CHARGED} GROUP BY 1, 2, 3
"""  # noqa: S608 - made of constants


def margin_book(on: date, customer_pks: Collection[int] | None = None) -> MarginBook:
    """The rules of that day: everybody's and those of these customers (None: of all). One query, however many they are."""
    rules = MarginRule.objects.filter(Q(effective_to__isnull=True) | Q(effective_to__gt=on), effective_from__lte=on)
    if customer_pks is not None:
        rules = rules.filter(Q(customer__isnull=True) | Q(customer__in=customer_pks))
    rows = rules.values_list("customer_id", "provider__slug", "family", "model__model_id", "margin", "basis").order_by()
    return MarginBook(
        (Scope(customer, provider or "", family, model_id or ""), Terms(margin, Basis(basis)))
        for customer, provider, family, model_id, margin, basis in rows
    )


def terms_of_model(customer: Customer | None, *, model_pk: int, model_id: str, on: date) -> Terms | None:
    """The terms on which one model sells on that day to a customer, or to nobody in particular."""
    customer_pk = None if customer is None else customer.pk
    book = margin_book(on, [] if customer_pk is None else [customer_pk])
    if book.is_general(customer_pk):
        return book.general(customer_pk)
    provider = Model.objects.values_list("provider__slug", flat=True).get(pk=model_pk)
    return book.terms(customer_pk, model_id=model_id, provider=provider)


@dataclass(frozen=True, slots=True)
class ModelMargin:
    """One model in one month: what its usage cost at list price, what it sells for, and what upstreams charged for it.

    `selling_usd` is exact. `percent` is (selling - charged) / selling to four decimals, for people; None where nothing is
    sold for money.
    """

    model_pk: int
    model_id: str
    cost_usd: Decimal
    selling_usd: Fraction
    upstream_cost_usd: Decimal

    @property
    def is_negative(self) -> bool:
        """Whether it is sold below what upstreams charged."""
        return self.selling_usd < Fraction(self.upstream_cost_usd)

    @property
    def percent(self) -> Decimal | None:
        if not self.selling_usd:
            return None
        return as_percent(1 - Fraction(self.upstream_cost_usd) / self.selling_usd)

    def as_dict(self) -> dict[str, str | None]:
        """Facts for people and alerts, as text."""
        return {
            "model": self.model_id,
            "cost_usd": decimal_text(self.cost_usd),
            "upstream_cost_usd": decimal_text(self.upstream_cost_usd),
            "margin_percent": None if self.percent is None else decimal_text(self.percent),
        }


def model_margins(month: BillingMonth) -> list[ModelMargin]:
    """Every model used in that Korean month whose upstreams said what they charged; the smallest margin first.

    Each customer's usage sells by the rules that bill the month (its last day's; without a rule at cost). Usage of a day,
    key and price for which no upstream named a charge counts on neither side.
    """
    by_model: dict[int, list[SoldUsage]] = {}
    for sold in sold_usage(month, month.first_on, month.last_on):
        by_model.setdefault(sold.model_pk, []).append(sold)
    ids = dict(Model.objects.filter(pk__in=by_model).values_list("pk", "model_id"))
    found = [
        ModelMargin(
            model_pk=model_pk,
            model_id=ids[model_pk],
            cost_usd=exact_sum(row.cost_usd for row in rows),
            selling_usd=sum((row.selling_usd for row in rows), Fraction(0)),
            upstream_cost_usd=exact_sum(row.upstream_cost_usd for row in rows),
        )
        for model_pk, rows in by_model.items()
    ]
    return sorted(found, key=lambda one: (one.selling_usd / Fraction(one.upstream_cost_usd), one.model_id))


def negative_margin(month: BillingMonth) -> list[ModelMargin]:
    """The models of that month that sold below what upstreams actually charged; the worst first."""
    return [margin for margin in model_margins(month) if margin.is_negative]


@dataclass(frozen=True, slots=True)
class SoldUsage:
    """Usage of one model on one day that sold on the same terms, and whose upstreams said what they charged for it."""

    day: date
    model_pk: int
    cost_usd: Decimal
    upstream_cost_usd: Decimal
    selling_usd: Fraction


def sold_usage(month: BillingMonth, first: date, last: date, *, customer_pk: int | None = None) -> list[SoldUsage]:
    """What was used on these days of a month, both included, by day, model and terms; of one customer or of all.

    Terms are those of the month's last day; without any, usage sells at cost.
    """
    asked = {"first": first, "last": last, "customer": customer_pk}
    book = margin_book(month.last_on, None if customer_pk is None else [customer_pk])
    with connection.cursor() as cursor:
        cursor.execute(_PAIRS, asked)
        pairs = cursor.fetchall()
        terms = [
            book.terms(customer, model_id=model_id, provider=provider) or _AT_COST
            for customer, _, model_id, provider in pairs
        ]
        arrays = {
            "customers": [customer for customer, *_ in pairs],
            "models": [model_pk for _, model_pk, *_ in pairs],
            "margins": [one.margin for one in terms],
            "bases": [one.basis.value for one in terms],
        }
        cursor.execute(_SOLD, {**asked, **arrays})
        return [
            SoldUsage(day, model_pk, cost, charged, Terms(margin).selling(basis))
            for day, model_pk, margin, cost, charged, basis in cursor.fetchall()
        ]
