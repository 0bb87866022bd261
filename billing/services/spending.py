"""Keeping what customers may spend true to the ledger, the grants and the rollups; and the terms they spend on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from django.db import connection, transaction
from django.utils import timezone

from accounts.errors import InvalidInput
from accounts.models import Customer
from accounts.services import record_audit
from billing.models import SpendingAccount
from billing.selectors.spending import SpendingTerms, recount, spending_terms

#: How many customers are locked at a time where all of them are recounted.
_BATCH = 200

_LOCK = "SELECT 1 FROM billing_spendingaccount WHERE customer_id = ANY (%s) ORDER BY customer_id FOR NO KEY UPDATE"
_WRITE = """
UPDATE billing_spendingaccount AS account SET
    prepaid_krw = counted.prepaid_krw, receivable_krw = counted.receivable_krw,
    promotional_krw = counted.promotional_krw, unbilled_usd = counted.unbilled_usd,
    unbilled_by_model_krw = counted.unbilled_by_model_krw, refreshed_at = %s
FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::numeric[], %s::numeric[])
     AS counted (customer_id, prepaid_krw, receivable_krw, promotional_krw, unbilled_usd, unbilled_by_model_krw)
WHERE account.customer_id = counted.customer_id
"""
_WRITE_TERMS = """
UPDATE billing_spendingaccount AS account SET basis = today.basis, factor_krw_per_usd = today.factor
FROM unnest(%s::bigint[], %s::text[], %s::numeric[]) AS today (customer_id, basis, factor)
WHERE account.customer_id = today.customer_id
"""
_FORGET_MODELS = """
DELETE FROM billing_spendingterm AS term WHERE customer_id = ANY (%s) AND NOT EXISTS (
    SELECT FROM unnest(%s::bigint[], %s::bigint[]) AS today (customer_id, model_id)
    WHERE today.customer_id = term.customer_id AND today.model_id = term.model_id)
"""
_WRITE_MODELS = """
INSERT INTO billing_spendingterm AS term (customer_id, model_id, basis, factor_krw_per_usd)
SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::numeric[])
ON CONFLICT (customer_id, model_id) DO UPDATE SET basis = EXCLUDED.basis, factor_krw_per_usd = EXCLUDED.factor_krw_per_usd
WHERE (term.basis, term.factor_krw_per_usd) IS DISTINCT FROM (EXCLUDED.basis, EXCLUDED.factor_krw_per_usd)
"""


@transaction.atomic
def refresh_spending(*, customer_ids: Iterable[int], now: datetime | None = None) -> None:
    """Recount these customers' spending accounts; holds stay as they are.

    The rows are locked first, in the order of customers, and counted after, by the terms of the day: a settlement under
    way is either in the counts or waits and adds to them. `now` (by default the clock) decides about the rate, the margins
    and which grants still hold. Call it at the end of whatever posts to the ledger, closes a month, or changes a rate or a
    margin.
    """
    at = now or timezone.now()
    ids = sorted(set(customer_ids))
    if not ids:
        return
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [ids])
    _write_terms(spending_terms(ids, at=at))
    counted = recount(ids, at=at)
    rows = [counted[pk] for pk in ids]
    with connection.cursor() as cursor:
        cursor.execute(
            _WRITE,
            [
                at,
                ids,
                [row.prepaid_krw for row in rows],
                [row.receivable_krw for row in rows],
                [row.promotional_krw for row in rows],
                [row.unbilled_usd for row in rows],
                [row.unbilled_by_model_krw for row in rows],
            ],
        )


def _write_terms(terms: Mapping[int, SpendingTerms]) -> None:
    """Store what the counts go by; the accounts are locked."""
    ids = list(terms)
    models = [(pk, model_pk, *of_model) for pk in ids for model_pk, of_model in terms[pk].by_model.items()]
    customers, keys = [pk for pk, *_ in models], [model_pk for _, model_pk, *_ in models]
    with connection.cursor() as cursor:
        cursor.execute(_WRITE_TERMS, [ids, [terms[pk].basis.value for pk in ids], [terms[pk].factor for pk in ids]])
        cursor.execute(_FORGET_MODELS, [ids, customers, keys])
        if models:
            bases, factors = [basis.value for *_, basis, _ in models], [factor for *_, factor in models]
            cursor.execute(_WRITE_MODELS, [customers, keys, bases, factors])


def refresh_all_spending(*, now: datetime) -> int:
    """Recount every customer's account, some at a time; returns how many. For beat: rates change and grants end by
    themselves.
    """
    ids = list(Customer.objects.order_by("pk").values_list("pk", flat=True))
    for start in range(0, len(ids), _BATCH):
        refresh_spending(customer_ids=ids[start : start + _BATCH], now=now)
    return len(ids)


@transaction.atomic
def set_credit_terms(
    *,
    customer: Customer,
    credit_limit_krw: int | None,
    is_prepaid: bool,
    reason: str,
    actor: str,
    now: datetime,
) -> SpendingAccount:
    """Whether a customer pays ahead, and how many won it may owe (None: no limit; for one that pays ahead: 0).

    Calls under way are not touched; a limit below what is used already refuses new ones.
    """
    if credit_limit_krw is not None and not 0 <= credit_limit_krw <= 10**15:
        raise InvalidInput("credit_limit_krw: 0 to 1,000,000,000,000,000 won", field="credit_limit_krw")
    reason = reason.strip()
    if not reason:
        raise InvalidInput("reason: why the terms change", field="reason")
    refresh_spending(customer_ids=[customer.pk], now=now)
    account = SpendingAccount.objects.select_for_update().get(pk=customer.pk)
    before = {"credit_limit_krw": account.credit_limit_krw, "is_prepaid": account.is_prepaid}
    after = {"credit_limit_krw": credit_limit_krw, "is_prepaid": is_prepaid}
    if before != after:
        account.credit_limit_krw, account.is_prepaid = credit_limit_krw, is_prepaid
        account.save(update_fields=["credit_limit_krw", "is_prepaid"])
        data = {"before": before, "after": after}
        record_audit(actor=actor, action="set_credit_terms", subject=account, reason=reason, data=data)
    return account
