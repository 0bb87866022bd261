"""Which margin holds for a customer on a day, and what is left of it beside the upstream's actual charges."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from django.db.models import Q, QuerySet, Sum

from accounts.models import Customer
from billing.models import MarginRule
from catalog.changes import as_percent
from catalog.models import Model
from catalog.money import ZERO, decimal_text, exact_sum
from usage.models import UsageRollup
from usage.periods import BillingMonth


def margin_in_force(customer: Customer | None, on: date) -> MarginRule | None:
    """The customer's own rule of that day, otherwise the default rule of that day, otherwise None."""
    rules = _rules(on)
    own = rules.filter(customer=customer).first() if customer is not None else None
    return own or rules.filter(customer__isnull=True).first()


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

    Each customer's usage sells at cost / (1 - margin) by the rule that bills the month (its last day's; without a rule
    at cost). Usage of a day, key and price for which no upstream named a charge counts on neither side.
    """
    margins: dict[int | None, Decimal] = dict(_rules(month.last_on).values_list("customer_id", "margin"))
    rollups = UsageRollup.objects.filter(day__range=(month.first_on, month.last_on), upstream_cost_usd__gt=0)
    sums = (
        rollups.order_by()
        .values_list("model_id", "customer_id")
        .annotate(cost=Sum("cost_usd"), charged=Sum("upstream_cost_usd"))
    )
    by_model: dict[int, list[tuple[Decimal, Fraction, Decimal]]] = {}
    for model_pk, customer_pk, cost, charged in sums:
        margin = margins.get(customer_pk, margins.get(None, ZERO))
        by_model.setdefault(model_pk, []).append((cost, Fraction(cost) / (1 - Fraction(margin)), charged))
    ids = dict(Model.objects.filter(pk__in=by_model).values_list("pk", "model_id"))
    found = [
        ModelMargin(
            model_pk=model_pk,
            model_id=ids[model_pk],
            cost_usd=exact_sum(cost for cost, _, _ in rows),
            selling_usd=sum((selling for _, selling, _ in rows), Fraction(0)),
            upstream_cost_usd=exact_sum(charged for _, _, charged in rows),
        )
        for model_pk, rows in by_model.items()
    ]
    return sorted(found, key=lambda one: (one.selling_usd / Fraction(one.upstream_cost_usd), one.model_id))


def negative_margin(month: BillingMonth) -> list[ModelMargin]:
    """The models of that month that sold below what upstreams actually charged; the worst first."""
    return [margin for margin in model_margins(month) if margin.is_negative]


def _rules(on: date) -> QuerySet[MarginRule]:
    return MarginRule.objects.filter(Q(effective_to__isnull=True) | Q(effective_to__gt=on), effective_from__lte=on)
