"""What customers may still spend, and what one USD of usage takes from it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction

from django.db import connection
from django.db.models import F, Q, Sum

from accounts.models import Customer
from billing.models import MarginRule, PromotionalCredit, SpendingAccount
from billing.selectors.exchange import rate_in_force
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
SELECT customer_id, sum(spent.cost_usd) FROM month
CROSS JOIN LATERAL (
    SELECT sum(cost_usd) AS cost_usd FROM usage_usagerollup AS rollup
    WHERE rollup.customer_id = month.customer_id AND rollup.billing_month = month.billing_month) AS spent
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


def selling_factor(*, rate_krw_per_usd: Decimal, margin: Decimal) -> Decimal:
    """Won with VAT of one USD at list price: rate / (1 - margin) x 1.1, rounded up at the tenth decimal."""
    return round_up(Fraction(rate_krw_per_usd) / (1 - Fraction(margin)) * _WITH_VAT, decimals=FACTOR_DECIMALS)


def selling_factors(customer_ids: Collection[int], *, at: datetime) -> dict[int, Decimal]:
    """The factor of each customer by the rate and margin that would bill today; left out where one of them is missing.

    Under the month_end and daily rules that is the rate last published, whatever the rate of the month's end will be.
    """
    published = rate_in_force(on=at.astimezone(KST).date())
    margins = _margins(BillingMonth.of(at).last_on)
    factors: dict[int, Decimal] = {}
    for customer in Customer.objects.filter(pk__in=customer_ids):
        margin = margins.get(customer.pk, margins.get(None))
        rate = customer.fixed_rate_krw_per_usd or (published.rate if published is not None else None)
        if margin is not None and rate is not None:
            factors[customer.pk] = selling_factor(rate_krw_per_usd=rate, margin=margin)
    return factors


def recount(customer_ids: Collection[int], *, at: datetime) -> dict[int, Recount]:
    """Each customer's projections from the rows they are projections of. `at` decides which grants still count."""
    ids = list(customer_ids)
    with connection.cursor() as cursor:
        cursor.execute(_LEDGER, [ids])
        ledger = {customer: (int(prepaid), int(owed)) for customer, prepaid, owed in cursor.fetchall()}
        cursor.execute(_UNBILLED, [ids])
        unbilled: dict[int, Decimal] = dict(cursor.fetchall())
    promotional = _promotional(ids, at)
    return {
        pk: Recount(*ledger.get(pk, (0, 0)), promotional.get(pk, 0), exact_sum((unbilled.get(pk, ZERO), ZERO)))
        for pk in ids
    }


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


def _margins(on: date) -> dict[int | None, Decimal]:
    """The margin of that day by customer; None is the default's."""
    rules = MarginRule.objects.filter(Q(effective_to__isnull=True) | Q(effective_to__gt=on), effective_from__lte=on)
    return dict(rules.values_list("customer_id", "margin"))
