"""Keeping what customers may spend true to the ledger, the grants and the rollups; and the terms they spend on."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import connection, transaction
from django.utils import timezone

from accounts.errors import InvalidInput
from accounts.models import Customer
from accounts.services import record_audit
from billing.models import SpendingAccount
from billing.selectors.spending import recount, selling_factors

#: How many customers are locked at a time where all of them are recounted.
_BATCH = 200

_LOCK = "SELECT 1 FROM billing_spendingaccount WHERE customer_id = ANY (%s) ORDER BY customer_id FOR NO KEY UPDATE"
_WRITE = """
UPDATE billing_spendingaccount AS account SET
    prepaid_krw = counted.prepaid_krw, receivable_krw = counted.receivable_krw,
    promotional_krw = counted.promotional_krw, unbilled_usd = counted.unbilled_usd,
    factor_krw_per_usd = counted.factor, refreshed_at = %s
FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::numeric[], %s::numeric[])
     AS counted (customer_id, prepaid_krw, receivable_krw, promotional_krw, unbilled_usd, factor)
WHERE account.customer_id = counted.customer_id
"""


@transaction.atomic
def refresh_spending(*, customer_ids: Iterable[int], now: datetime | None = None) -> None:
    """Recount these customers' spending accounts; holds stay as they are.

    The rows are locked first, in the order of customers, and counted after: a settlement under way is either in the
    counts or waits and adds to them. `now` (by default the clock) decides about the rate and which grants still hold.
    Call it at the end of whatever posts to the ledger, closes a month, or changes a rate or a margin.
    """
    at = now or timezone.now()
    ids = sorted(set(customer_ids))
    if not ids:
        return
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [ids])
    counted, factors = recount(ids, at=at), selling_factors(ids, at=at)
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
                [factors.get(pk) for pk in ids],
            ],
        )


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
