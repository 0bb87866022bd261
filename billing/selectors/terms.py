"""The terms of a customer's contract that change what its usage comes to. Writes nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date

from django.db.models import F, Q, QuerySet
from django.db.models.functions import Greatest

from accounts.errors import InvalidInput
from accounts.models import Customer
from billing.errors import UnknownModel
from billing.models import Discount, Invoice, MarginRule, MonthlyMinimum, PromotionalCredit, ZeroRating
from catalog.selectors import find_model
from usage.periods import BillingMonth


@dataclass(frozen=True, slots=True)
class ContractTerms:
    """At which margins of its own a customer's usage sells, what its contract takes off and adds, and credit that it has
    left; each kind the earliest first.
    """

    margins: tuple[MarginRule, ...]

    discounts: tuple[Discount, ...]
    minimums: tuple[MonthlyMinimum, ...]
    zero_ratings: tuple[ZeroRating, ...]
    credits: tuple[PromotionalCredit, ...]


def contract_terms(customer: Customer, *, since: date) -> ContractTerms:
    """The terms of a customer that hold on that day or later; what was taken back before it began never holds."""
    holds = Q(effective_to__isnull=True) | Q(effective_to__gt=Greatest(F("effective_from"), since))
    order = ("effective_from", "pk")
    left = Q(amount_krw__gt=F("used_krw") + F("expired_krw") + F("voided_krw"), expires_on__gte=since)
    margins = customer.margin_rules.filter(holds).select_related("provider", "model")
    return ContractTerms(
        margins=tuple(margins.order_by(*order)),
        discounts=tuple(customer.discounts.filter(holds).select_related("provider").order_by(*order)),
        minimums=tuple(customer.minimums.filter(holds).order_by(*order)),
        zero_ratings=tuple(customer.zero_ratings.filter(holds).order_by(*order)),
        credits=tuple(PromotionalCredit.objects.filter(left, customer=customer).order_by("valid_from", "pk")),
    )


def billed_before(customer: Customer, *, first_on: date, last_on: date | None) -> list[Invoice]:
    """The invoices in force of the months of these days (None: and all later ones): a term that is agreed on now comes too
    late for them, for what was billed stays.
    """
    invoices = Invoice.objects.filter(
        customer=customer,
        status__in=(Invoice.Status.ISSUED, Invoice.Status.PAID),
        month__gte=first_on.replace(day=1),
    )
    if last_on is not None:
        invoices = invoices.filter(month__lte=last_on)
    return list(invoices.order_by("month"))


def discounts_of(customer_ids: Collection[int]) -> dict[int, list[Discount]]:
    """Every discount that these customers have or had, by customer, the oldest first; whoever has none is left out.

    Which one holds is decided line by line.
    """
    found: dict[int, list[Discount]] = {}
    for row in Discount.objects.filter(customer__in=customer_ids).select_related("provider").order_by("pk"):
        found.setdefault(row.customer_id, []).append(row)
    return found


def minimums_of(customer_ids: Collection[int]) -> dict[int, list[MonthlyMinimum]]:
    """Every monthly minimum that these customers have or had, by customer; whoever has none is left out.

    Which days one holds for is decided by month.
    """
    found: dict[int, list[MonthlyMinimum]] = {}
    for row in MonthlyMinimum.objects.filter(customer__in=customer_ids).order_by("effective_from"):
        found.setdefault(row.customer_id, []).append(row)
    return found


def zero_ratings_of(customer_ids: Collection[int], month: BillingMonth) -> dict[int, ZeroRating]:
    """The evidence by which these customers' supplies of a month carry no VAT; whoever has none is left out."""
    rows = ZeroRating.objects.filter(
        Q(effective_to__isnull=True) | Q(effective_to__gt=month.first_on),
        customer__in=customer_ids,
        effective_from__lte=month.first_on,
    )
    return {row.customer_id: row for row in rows}


def customers_with_minimum(month: BillingMonth) -> QuerySet[Customer]:
    """The customers that owe something for that month even if they use nothing."""
    rows = MonthlyMinimum.objects.filter(
        Q(effective_to__isnull=True) | Q(effective_to__gt=Greatest(F("effective_from"), month.first_on)),
        applies_without_usage=True,
        effective_from__lte=month.last_on,
    )
    return Customer.objects.filter(pk__in=rows.values("customer_id"))


def known_model_ids(names: Sequence[str]) -> list[str]:
    """The own ids of models named by id, slug or alias, each once. Raises UnknownModel, InvalidInput for none at all."""
    ids = set()
    for name in names:
        model = find_model(name.strip())
        if model is None:
            raise UnknownModel(f"there is no model {name[:200]!r}", field="models")
        ids.add(model.model_id)
    if not ids:
        raise InvalidInput("models: name at least one, or none at all for every model", field="models")
    return sorted(ids)
