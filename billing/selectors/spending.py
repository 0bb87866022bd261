"""What customers may still spend, and what one USD of usage takes from it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from django.db import connection
from django.db.models import F, Sum

from accounts.models import Customer
from billing.margins import Basis, MarginBook, Terms
from billing.models import PromotionalCredit, SpendingAccount
from billing.selectors.exchange import rate_in_force
from billing.selectors.margins import margin_book
from catalog.models import Model
from catalog.money import VAT_DIVISOR, ZERO, Rounding, exact_sum, round_up, round_won
from usage.periods import KST, BillingMonth

#: Decimals of the factor: its last one is a hundred-millionth of a won of the dearest call there is.
FACTOR_DECIMALS = 10
_WITH_VAT = Fraction(VAT_DIVISOR + 1, VAT_DIVISOR)

_LEDGER = """
SELECT customer_id,
       -coalesce(sum(amount) FILTER (WHERE account = 'prepayments'), 0),
       coalesce(sum(amount) FILTER (WHERE account IN ('receivable', 'unapplied')), 0)
FROM billing_ledgerentry
WHERE customer_id = ANY (%s) AND currency = 'KRW' AND account IN ('prepayments', 'receivable', 'unapplied')
GROUP BY customer_id
"""
# The months of a customer are walked along the index of the rollups, so that closed years are not read.
_UNBILLED = """
WITH RECURSIVE month AS (
    SELECT customer_id, (SELECT min(billing_month) FROM usage_usagerollup AS first
                         WHERE first.customer_id = asked.customer_id) AS billing_month
    FROM unnest(%s::bigint[]) AS asked (customer_id)
    UNION ALL
    SELECT customer_id, (SELECT min(billing_month) FROM usage_usagerollup AS next
                         WHERE next.customer_id = month.customer_id AND next.billing_month > month.billing_month)
    FROM month WHERE billing_month IS NOT NULL
)
SELECT customer_id, sum(spent.usd), sum(spent.krw) FROM month
CROSS JOIN LATERAL billing_sold(month.customer_id, month.billing_month) AS spent
WHERE billing_month IS NOT NULL AND NOT EXISTS (
    SELECT FROM usage_billingperiod AS period WHERE period.customer_id = month.customer_id
    AND period.month = month.billing_month AND period.status = 'closed')
GROUP BY customer_id
"""


@dataclass(frozen=True, slots=True)
class Recount:
    """What the ledger, the grants and the rollups say of one customer; the fields of `SpendingAccount` of those names."""

    prepaid_krw: int = 0
    receivable_krw: int = 0
    promotional_krw: int = 0
    unbilled_usd: Decimal = ZERO
    unbilled_by_model_krw: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class SpendingTerms:
    """On which terms a customer's usage counts today: in general, and by the keys of the models that sell on others.

    The factor is won with VAT per USD of the basis (`selling_factor`); None where the rate or the general margin is missing.
    """

    basis: Basis
    factor: Decimal | None
    by_model: Mapping[int, tuple[Basis, Decimal]]


def selling_factor(*, rate_krw_per_usd: Decimal, margin: Decimal) -> Decimal:
    """Won with VAT of one USD at list price: rate / (1 - margin) x 1.1, rounded up at the tenth decimal."""
    return round_up(Fraction(rate_krw_per_usd) / (1 - Fraction(margin)) * _WITH_VAT, decimals=FACTOR_DECIMALS)


def spending_terms(customer_ids: Collection[int], *, at: datetime) -> dict[int, SpendingTerms]:
    """The terms of each customer by the rate and the margin rules that would bill today.

    Under the month_end and daily rules the rate is the one last published, whatever the rate of the month's end will be.
    """
    published = rate_in_force(on=at.astimezone(KST).date())
    book = margin_book(BillingMonth.of(at).last_on, customer_ids)
    models: list[tuple[int, str, str]] | None = None
    found: dict[int, SpendingTerms] = {}
    for customer in Customer.objects.filter(pk__in=customer_ids):
        rate = customer.fixed_rate_krw_per_usd or (published.rate if published is not None else None)
        general = book.general(customer.pk)
        by_model: dict[int, tuple[Basis, Decimal]] = {}
        if rate is not None and not book.is_general(customer.pk):
            if models is None:
                models = list(Model.objects.order_by().values_list("pk", "model_id", "provider__slug"))
            by_model = _by_model(book, customer.pk, general, models, rate)
        factor = None
        if general is not None and rate is not None:
            factor = selling_factor(rate_krw_per_usd=rate, margin=general.margin)
        found[customer.pk] = SpendingTerms(Basis.CATALOG if general is None else general.basis, factor, by_model)
    return found


def _by_model(
    book: MarginBook, customer_pk: int, general: Terms | None, models: Iterable[tuple[int, str, str]], rate: Decimal
) -> dict[int, tuple[Basis, Decimal]]:
    """The models that sell on other terms than the general ones."""
    by_model = {}
    for model_pk, model_id, provider in models:
        terms = book.terms(customer_pk, model_id=model_id, provider=provider)
        if terms is not None and terms != general:
            by_model[model_pk] = (terms.basis, selling_factor(rate_krw_per_usd=rate, margin=terms.margin))
    return by_model


def recount(customer_ids: Collection[int], *, at: datetime) -> dict[int, Recount]:
    """Each customer's projections from the rows they are projections of, by the terms that are stored (`SpendingTerm`).

    `at` decides which grants still count.
    """
    ids = list(customer_ids)
    with connection.cursor() as cursor:
        cursor.execute(_LEDGER, [ids])
        ledger = {customer: (int(prepaid), int(owed)) for customer, prepaid, owed in cursor.fetchall()}
        cursor.execute(_UNBILLED, [ids])
        unbilled = {customer: (usd, krw) for customer, usd, krw in cursor.fetchall()}
    promotional = _promotional(ids, at)
    return {pk: Recount(*ledger.get(pk, (0, 0)), promotional.get(pk, 0), *unbilled.get(pk, (ZERO, ZERO))) for pk in ids}


def available_krw(account: SpendingAccount) -> Decimal | None:
    """What new calls may still hold, in won; None where nothing limits it. May be negative where terms were changed."""
    if account.credit_limit_krw is None and not account.is_prepaid:
        return None
    whole = (account.credit_limit_krw or 0) + account.prepaid_krw + account.promotional_krw
    return exact_sum((Decimal(whole - account.receivable_krw - account.held_krw), -account.unbilled_krw))


def _promotional(ids: Collection[int], at: datetime) -> Mapping[int, int]:
    """Won with VAT that free credit takes off what is not yet billed: grants that hold today and cover every model."""
    today = at.astimezone(KST).date()
    left = F("amount_krw") - F("used_krw") - F("expired_krw") - F("voided_krw")
    sums = (
        PromotionalCredit.objects.filter(
            customer__in=ids, valid_from__lte=today, expires_on__gte=today, models_covered__isnull=True
        )
        .order_by()
        .values_list("customer_id")
        .annotate(left=Sum(left))
    )
    return {pk: round_won(won * _WITH_VAT, Rounding.DOWN) for pk, won in sums}
