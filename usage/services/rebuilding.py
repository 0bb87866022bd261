"""Making sums anew from the events, where something behind the database's back has damaged them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db import connection, transaction
from django.db.models import Exists, OuterRef

from accounts.models import Customer
from accounts.services import record_audit
from usage.audit import Sums, recount_query, sum_differences
from usage.models import UsageArchive, UsageHour, UsageRollup
from usage.periods import BillingMonth
from usage.services.locking import hold_customer

MAX_LISTED = 100
_MONTHS = """
SELECT customer_id, billing_month FROM (
    SELECT customer_id, billing_month FROM usage_event
    UNION SELECT customer_id, billing_month FROM usage_usagerollup
    UNION SELECT customer_id, billing_month FROM usage_usagehour) AS found
WHERE (%(customer_id)s::bigint IS NULL OR customer_id = %(customer_id)s)
  AND (%(month)s::date IS NULL OR billing_month = %(month)s)
ORDER BY 1, 2
"""

_ARCHIVES_OF_HOUR = UsageArchive.objects.filter(
    status=UsageArchive.Status.ARCHIVED, start_at__lte=OuterRef("hour_at"), end_at__gt=OuterRef("hour_at")
)


@dataclass(frozen=True)
class RebuiltMonth:
    """What a customer's billing month looked like before: the rows that were wrong, a sentence each, and how many."""

    customer: Customer
    month: BillingMonth
    differences: list[str]
    count: int


def rebuild_rollups(
    *, actor: str, customer: Customer | None = None, month: BillingMonth | None = None
) -> Iterator[RebuiltMonth]:
    """Recount every billing month of these customers, all without a filter, and write anew the sums of those that differ.

    Each customer's month is one transaction that keeps its writers and its close out; sound months are only read.
    """
    params: dict[str, Any] = {"customer_id": customer and customer.pk, "month": month and month.first_on}
    with connection.cursor() as cursor:
        cursor.execute(_MONTHS, params)
        found: list[tuple[int, date]] = cursor.fetchall()
    owners = Customer.objects.in_bulk({customer_id for customer_id, _ in found})
    for customer_id, first_on in found:
        yield _rebuild(owners[customer_id], BillingMonth(first_on.year, first_on.month), actor)


@transaction.atomic
def _rebuild(customer: Customer, month: BillingMonth, actor: str) -> RebuiltMonth:
    hold_customer(customer.pk)
    params: dict[str, Any] = {"customer_id": customer.pk, "billing_month": month.first_on, "end_at": month.end_at}
    listed: list[str] = []
    count = 0
    tables: tuple[Sums, ...] = (UsageRollup, UsageHour)
    for model in tables:
        differences = list(sum_differences(model, params))
        if differences:
            count += len(differences)
            listed += differences[: MAX_LISTED - len(listed)]
            columns = ", ".join((*model.KEY, *model.SUMS))
            rows = model.objects.filter(customer=customer, billing_month=month.first_on)
            if model is UsageHour:  # hours of archived months can't be recounted
                rows = rows.exclude(Exists(_ARCHIVES_OF_HOUR))
            rows.delete()
            with connection.cursor() as cursor:
                insert = f"INSERT INTO {model._meta.db_table} ({columns})"
                cursor.execute(f"{insert} {recount_query(model, one_month=True)}", params)
    if count:
        record_audit(
            actor=actor,
            action="rebuild_rollups",
            subject=customer,
            data={"billing_month": str(month), "rows": count, "differences": listed[:10]},
        )
    return RebuiltMonth(customer, month, listed, count)
