"""Working through the customers of a run, some at a time: who is refused is parked, who fails takes nobody along."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from django.db import connection, transaction
from django.db.models import QuerySet

from accounts.errors import DomainError
from billing.models import BillingRunItem
from usage.periods import BillingMonth

logger = logging.getLogger(__name__)

DONE = BillingRunItem.Status.DONE
PARKED = BillingRunItem.Status.PARKED
PENDING = BillingRunItem.Status.PENDING

#: Customers in one transaction: what they share is read once and their rows are written in sets. Larger batches gain
#: little, hold metering of their customers back for longer, and share out worse.
BATCH_CUSTOMERS = 25

_REASON_CHARS = 500
_NOTE = """
UPDATE billing_billingrunitem AS item
SET status = noted.status, reason_code = noted.reason_code, reason = noted.reason, invoice_id = noted.invoice_id,
    updated_at = %s
FROM jsonb_to_recordset(%s::jsonb)
     AS noted (id bigint, status text, reason_code text, reason text, invoice_id bigint)
WHERE item.id = noted.id
"""


def in_batches(item_ids: Sequence[int]) -> list[list[int]]:
    """The items as they are shared out to workers: BATCH_CUSTOMERS at a time."""
    return [list(item_ids[start : start + BATCH_CUSTOMERS]) for start in range(0, len(item_ids), BATCH_CUSTOMERS)]


def at_once_or_apart(
    work: Callable[[Sequence[int]], list[BillingRunItem]], item_ids: Sequence[int], *, now: datetime
) -> list[BillingRunItem]:
    """Do the work for all the items in one transaction; where that fails, for each by itself in the order of customers, so
    that whoever is the cause is parked alone.
    """
    try:
        with transaction.atomic():
            return work(item_ids)
    except Exception as error:
        if len(item_ids) == 1:
            return [_park(item_ids[0], error, now)]
        # The text of a database error shows rows; its kind is enough here.
        kind = type(error).__name__
        logger.warning("%d items of a run failed as one (%s), so each is done by itself", len(item_ids), kind)
    apart = BillingRunItem.objects.filter(pk__in=item_ids).order_by("customer_id").values_list("pk", flat=True)
    return [item for pk in apart for item in at_once_or_apart(work, [pk], now=now)]


def take_items(items: QuerySet[BillingRunItem]) -> list[BillingRunItem]:
    """Those of the items that are pending and that no other worker has, locked, with run and customer; by customer."""
    free = items.select_for_update(skip_locked=True, of=("self",)).select_related("run", "customer")
    return list(free.filter(status=PENDING).order_by("customer_id"))


def month_of(items: Iterable[BillingRunItem]) -> BillingMonth:
    """The month of the one run that all of them belong to."""
    ((_, first_on),) = {(item.run_id, item.run.month) for item in items}
    return BillingMonth(first_on.year, first_on.month)


@contextmanager
def parking(item: BillingRunItem) -> Iterator[None]:
    """What refuses inside parks the item, with a reason that a person can act on; `note_items` writes it down."""
    try:
        yield
    except Exception as error:
        item.status = PARKED
        item.reason_code, item.reason = _reason_of(error, item.pk)


def note_items(items: Iterable[BillingRunItem], *, now: datetime) -> None:
    """Write down what became of the items."""
    rows = []
    for item in items:
        item.updated_at = now
        rows.append(
            {
                "id": item.pk,
                "status": item.status,
                "reason_code": item.reason_code,
                "reason": item.reason,
                "invoice_id": item.invoice_id,
            }
        )
    with connection.cursor() as cursor:
        cursor.execute(_NOTE, [now, json.dumps(rows)])


def _park(item_id: int, error: Exception, now: datetime) -> BillingRunItem:
    code, reason = _reason_of(error, item_id)
    BillingRunItem.objects.filter(pk=item_id, status=PENDING).update(
        status=PARKED, reason_code=code, reason=reason, updated_at=now
    )
    return BillingRunItem.objects.select_related("run", "customer").get(pk=item_id)


def _reason_of(error: Exception, item_id: int) -> tuple[str, str]:
    """Why somebody is parked; what nobody foresaw stands in the log."""
    if isinstance(error, DomainError):
        return error.code, error.message[:_REASON_CHARS]
    logger.error("billing run item %s failed", item_id, exc_info=error)
    return "internal_error", f"{type(error).__name__}: see the log"
