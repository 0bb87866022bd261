"""Closing a month, some customers at a time: what is done is done, what fails is parked, and running it again goes on."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction

from accounts.errors import DomainError
from accounts.models import Customer
from billing.errors import MonthNotEnded
from billing.models import BillingRun, BillingRunItem, Invoice
from billing.selectors.bills import month_bill
from billing.selectors.drafts import require_approval
from billing.selectors.previews import quarantine_problem
from billing.services.issuing import (
    IssuingFacts,
    PlannedInvoice,
    issue_invoices,
    load_issuing_facts,
    plan_invoice,
)
from usage.models import BillingPeriod
from usage.periods import KST, BillingMonth
from usage.selectors import customers_with_usage, open_quarantine
from usage.services.activity import withdraw_estimates
from usage.services.locking import hold_customers

logger = logging.getLogger(__name__)

DONE = BillingRunItem.Status.DONE
PARKED = BillingRunItem.Status.PARKED
PENDING = BillingRunItem.Status.PENDING

#: Customers closed in one transaction: what they share is read once and their rows are written in sets. Larger batches
#: gain little, hold metering of their customers back for longer, and share out worse.
BATCH_CUSTOMERS = 25

_REASON_CHARS = 500
_LOCK_ACCOUNTS = """
SELECT 1 FROM billing_spendingaccount WHERE customer_id = ANY (%s) ORDER BY customer_id FOR NO KEY UPDATE
"""
_CLOSE_PERIODS = """
INSERT INTO usage_billingperiod AS period (customer_id, month, start_at, end_at, status, closed_at, outcome)
SELECT closed.customer_id, %s, %s, %s, 'closed', %s, closed.outcome
FROM unnest(%s::bigint[], %s::text[]) AS closed (customer_id, outcome)
ON CONFLICT (customer_id, month) DO UPDATE
SET status = excluded.status, closed_at = excluded.closed_at, outcome = excluded.outcome
RETURNING customer_id, id
"""
_NOTE = """
UPDATE billing_billingrunitem AS item
SET status = noted.status, reason_code = noted.reason_code, reason = noted.reason, invoice_id = noted.invoice_id,
    updated_at = %s
FROM jsonb_to_recordset(%s::jsonb)
     AS noted (id bigint, status text, reason_code text, reason text, invoice_id bigint)
WHERE item.id = noted.id
"""


@transaction.atomic
def start_run(*, month: BillingMonth, actor: str, now: datetime, customer: Customer | None = None) -> BillingRun:
    """The run of a month, made or taken up again: every customer (or the one given) that still has something to close.

    Parked customers become pending again. Raises MonthNotEnded before the month's last instant in Korea.
    """
    if now < month.end_at:
        raise MonthNotEnded(f"{month} ends at {month.end_at.astimezone(KST):%Y-%m-%d %H:%M} KST", field="month")
    run, _created = BillingRun.objects.get_or_create(month=month.first_on, defaults={"started_at": now, "actor": actor})
    wanted = [customer] if customer else _customers_to_close(month)
    BillingRunItem.objects.bulk_create(
        (BillingRunItem(run=run, customer=one, updated_at=now) for one in wanted), ignore_conflicts=True
    )
    parked = run.items.filter(status=PARKED)
    if customer:
        parked = parked.filter(customer=customer)
    parked.update(status=PENDING, reason_code="", reason="", updated_at=now)
    if run.items.filter(status=PENDING).exists():
        BillingRun.objects.filter(pk=run.pk).update(finished_at=None)
    return run


def close_customers(*, item_ids: Sequence[int], actor: str, now: datetime) -> list[BillingRunItem]:
    """Close the month of these customers of one run, and return those that were closed or parked here. Left out is whoever
    another worker is at or who is closed already.

    What refuses a customer parks it with a reason that a person can act on, and touches no other. All that is written is
    one transaction, numbers in the order of customers. Where that fails as a whole, each customer is closed by itself, so
    that whoever is the cause is parked alone.
    """
    try:
        with transaction.atomic():
            return _close_batch(item_ids, actor=actor, now=now)
    except Exception as error:
        if len(item_ids) == 1:
            return [park(item_id=item_ids[0], now=now, **_reason_of(error, f"closing billing run item {item_ids[0]}"))]
        logger.warning("closing %d customers at once failed, each is closed by itself: %s", len(item_ids), error)
    apart = BillingRunItem.objects.filter(pk__in=item_ids).order_by("customer_id").values_list("pk", flat=True)
    return [item for pk in apart for item in close_customers(item_ids=[pk], actor=actor, now=now)]


def close_customer(*, item_id: int, actor: str, now: datetime) -> BillingRunItem | None:
    """Close one customer's month. None when another worker is at it or it is closed already."""
    return next(iter(close_customers(item_ids=[item_id], actor=actor, now=now)), None)


def in_batches(item_ids: Sequence[int]) -> list[list[int]]:
    """The items as they are shared out to workers: BATCH_CUSTOMERS at a time."""
    return [list(item_ids[start : start + BATCH_CUSTOMERS]) for start in range(0, len(item_ids), BATCH_CUSTOMERS)]


def finish_run(*, run: BillingRun, now: datetime) -> None:
    """Date the run once no customer is pending; parked ones may still be waiting."""
    if not run.items.filter(status=PENDING).exists():
        BillingRun.objects.filter(pk=run.pk, finished_at=None).update(finished_at=now)


def _customers_to_close(month: BillingMonth) -> list[Customer]:
    """Active customers that existed in the month, and any other that has usage in it."""
    existing = Customer.objects.filter(status=Customer.Status.ACTIVE, created_at__lt=month.end_at)
    chosen = {one.pk: one for one in [*existing, *customers_with_usage(month)]}
    return [chosen[pk] for pk in sorted(chosen)]


@dataclass(frozen=True, slots=True)
class _Decision:
    """What becomes of one customer's month; an invoice exactly where the outcome is INVOICED."""

    outcome: BillingPeriod.Outcome
    plan: PlannedInvoice | None = None


def _close_batch(item_ids: Sequence[int], *, actor: str, now: datetime) -> list[BillingRunItem]:
    items = list(
        BillingRunItem.objects.select_for_update(skip_locked=True, of=("self",))
        .select_related("run", "customer")
        .filter(pk__in=item_ids, status=PENDING)
        .order_by("customer_id")
    )
    if not items:
        return []
    (month,) = {BillingMonth(item.run.month.year, item.run.month.month) for item in items}
    customers = [item.customer for item in items]
    # From here no event of these customers can be stored until we commit, so none slips between the sum and the close.
    hold_customers(customer.pk for customer in customers)
    # An estimate is never on an invoice beside the real events of its day.
    withdraw_estimates(customers=customers, actor=actor, now=now)
    closed = _closed_before(customers, month)
    decisions: list[tuple[BillingRunItem, _Decision]] = []
    for item in items:
        if item.customer_id in closed:
            item.status, item.invoice = DONE, closed[item.customer_id]
    waiting = [item for item in items if item.status == PENDING]
    facts = load_issuing_facts([item.customer for item in waiting], month, now=now)
    for item in waiting:
        try:
            decisions.append((item, _decide(item, month, facts, now=now)))
        except Exception as error:
            reason = _reason_of(error, f"closing billing run item {item.pk}")
            item.status, item.reason_code, item.reason = PARKED, reason["code"], reason["reason"]
    periods = _close_periods(month, {item.customer_id: made.outcome for item, made in decisions}, now=now)
    invoiced = [(item, made.plan) for item, made in decisions if made.plan]
    plans = [(plan, periods[item.customer_id]) for item, plan in invoiced]
    for (item, _), invoice in zip(invoiced, issue_invoices(plans=plans, now=now, actor=actor), strict=True):
        item.invoice = invoice
    for item, _ in decisions:
        item.status = DONE
    _note(items, now=now)
    return items


def _decide(item: BillingRunItem, month: BillingMonth, facts: IssuingFacts, *, now: datetime) -> _Decision:
    customer = item.customer
    quarantined = open_quarantine(customer, month).count()
    if quarantined:
        raise quarantine_problem(customer, month, quarantined)
    bill = month_bill(customer, month)
    if item.run.is_stepwise:
        require_approval(item, bill)
    if bill is None:
        return _Decision(BillingPeriod.Outcome.NO_USAGE)
    if bill.usage_krw == 0:
        return _Decision(BillingPeriod.Outcome.NO_CHARGE)
    plan = plan_invoice(customer=customer, bill=bill, facts=facts, now=now)
    return _Decision(BillingPeriod.Outcome.INVOICED, plan)


def _closed_before(customers: Collection[Customer], month: BillingMonth) -> dict[int, Invoice | None]:
    """The invoices in force of those whose month is closed already, by customer."""
    periods = BillingPeriod.objects.filter(
        customer__in=customers, month=month.first_on, status=BillingPeriod.Status.CLOSED
    )
    closed = list(periods.values_list("customer_id", flat=True))
    if not closed:
        return {}
    standing = Invoice.objects.filter(customer__in=closed, month=month.first_on).exclude(status=Invoice.Status.VOID)
    invoices = {invoice.customer_id: invoice for invoice in standing}
    return {customer_id: invoices.get(customer_id) for customer_id in closed}


def _close_periods(
    month: BillingMonth, outcomes: Mapping[int, BillingPeriod.Outcome], *, now: datetime
) -> dict[int, BillingPeriod]:
    """The closed months by customer. Spending accounts, which follow, are locked in the order of customers before."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK_ACCOUNTS, [list(outcomes)])
        cursor.execute(
            _CLOSE_PERIODS, [month.first_on, month.start_at, month.end_at, now, list(outcomes), list(outcomes.values())]
        )
        ids = dict(cursor.fetchall())
    return {
        customer_id: BillingPeriod(
            pk=ids[customer_id],
            customer_id=customer_id,
            month=month.first_on,
            start_at=month.start_at,
            end_at=month.end_at,
            status=BillingPeriod.Status.CLOSED,
            outcome=outcome,
            closed_at=now,
        )
        for customer_id, outcome in outcomes.items()
    }


def _note(items: Iterable[BillingRunItem], *, now: datetime) -> None:
    """Write down what became of the items."""
    rows = []
    for item in items:
        item.updated_at = now
        invoice_id = None if item.invoice is None else item.invoice.pk
        rows.append(
            {
                "id": item.pk,
                "status": item.status,
                "reason_code": item.reason_code,
                "reason": item.reason,
                "invoice_id": invoice_id,
            }
        )
    with connection.cursor() as cursor:
        cursor.execute(_NOTE, [now, json.dumps(rows)])


def _reason_of(error: Exception, what: str) -> dict[str, str]:
    """Why somebody is parked; what nobody foresaw stands in the log."""
    if isinstance(error, DomainError):
        return {"code": error.code, "reason": error.message[:_REASON_CHARS]}
    logger.error("%s failed", what, exc_info=error)
    return {"code": "internal_error", "reason": f"{type(error).__name__}: see the log"}


def park(*, item_id: int, code: str, reason: str, now: datetime) -> BillingRunItem:
    """Note what is missing; the customer waits for a person, the others go on."""
    BillingRunItem.objects.filter(pk=item_id, status=PENDING).update(
        status=PARKED, reason_code=code, reason=reason[:_REASON_CHARS], updated_at=now
    )
    return BillingRunItem.objects.select_related("customer").get(pk=item_id)
