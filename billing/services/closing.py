"""Closing a month, some customers at a time: what is done is done, what fails is parked, and running it again goes on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction

from accounts.models import Customer
from billing.errors import MonthNotEnded
from billing.models import BillingRun, BillingRunItem, Invoice
from billing.selectors.bills import compute_bill
from billing.selectors.drafts import drafted_digests, require_approval
from billing.selectors.facts import MonthFacts, load_facts
from billing.selectors.previews import require_no_quarantine
from billing.selectors.terms import customers_with_minimum
from billing.services.issuing import (
    IssuingFacts,
    PlannedInvoice,
    issue_invoices,
    load_issuing_facts,
    plan_invoice,
)
from billing.services.run_items import (
    DONE,
    PARKED,
    PENDING,
    at_once_or_apart,
    month_of,
    note_items,
    parking,
    take_items,
)
from usage.models import BillingPeriod
from usage.periods import KST, BillingMonth
from usage.selectors import customers_with_usage
from usage.services.activity import withdraw_estimates
from usage.services.locking import hold_customers

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
    return at_once_or_apart(lambda ids: _close_batch(ids, actor=actor, now=now), item_ids, now=now)


def close_customer(*, item_id: int, actor: str, now: datetime) -> BillingRunItem | None:
    """Close one customer's month. None when another worker is at it or it is closed already."""
    return next(iter(close_customers(item_ids=[item_id], actor=actor, now=now)), None)


def finish_run(*, run: BillingRun, now: datetime) -> None:
    """Date the run once no customer is pending; parked ones may still be waiting."""
    if not run.items.filter(status=PENDING).exists():
        BillingRun.objects.filter(pk=run.pk, finished_at=None).update(finished_at=now)


def _customers_to_close(month: BillingMonth) -> list[Customer]:
    """Active customers that existed in the month, and any other that has usage in it or owes its minimum."""
    existing = Customer.objects.filter(status=Customer.Status.ACTIVE, created_at__lt=month.end_at)
    chosen = {one.pk: one for one in [*existing, *customers_with_usage(month), *customers_with_minimum(month)]}
    return [chosen[pk] for pk in sorted(chosen)]


@dataclass(frozen=True, slots=True)
class _Decision:
    """What becomes of one customer's month; an invoice exactly where the outcome is INVOICED."""

    outcome: BillingPeriod.Outcome
    plan: PlannedInvoice | None = None


def _close_batch(item_ids: Sequence[int], *, actor: str, now: datetime) -> list[BillingRunItem]:
    items = take_items(BillingRunItem.objects.filter(pk__in=item_ids))
    if not items:
        return []
    month, customers = month_of(items), [item.customer for item in items]
    # From here no event of these customers can be stored until we commit, so none slips between the sum and the close.
    hold_customers(customer.pk for customer in customers)
    # An estimate is never on an invoice beside the real events of its day.
    withdraw_estimates(customers=customers, actor=actor, now=now)
    closed = _closed_before(customers, month)
    for item in items:
        if item.customer_id in closed:
            item.status, item.invoice = DONE, closed[item.customer_id]
    waiting = [item for item in items if item.status == PENDING]
    billed = [item.customer for item in waiting]
    facts, issuing = load_facts(billed, month), load_issuing_facts(billed, month, now=now)
    approved = drafted_digests(waiting)
    decisions: list[tuple[BillingRunItem, _Decision]] = []
    for item in waiting:
        with parking(item):
            decisions.append((item, _decide(item, facts, issuing, approved, now=now)))
    periods = _close_periods(month, {item.customer_id: made.outcome for item, made in decisions}, now=now)
    invoiced = [(item, made.plan) for item, made in decisions if made.plan]
    plans = [(plan, periods[item.customer_id]) for item, plan in invoiced]
    for (item, _), invoice in zip(invoiced, issue_invoices(plans=plans, now=now, actor=actor), strict=True):
        item.invoice = invoice
    for item, _ in decisions:
        item.status = DONE
    note_items(items, now=now)
    return items


def _decide(
    item: BillingRunItem, facts: MonthFacts, issuing: IssuingFacts, approved: Mapping[int, str], *, now: datetime
) -> _Decision:
    """Computed from what was read before; refusals are raised."""
    customer = item.customer
    require_no_quarantine(customer, facts)
    bill = compute_bill(customer, facts)
    if item.run.is_stepwise:
        require_approval(item, bill, approved.get(item.pk))
    if bill is None:
        return _Decision(BillingPeriod.Outcome.NO_USAGE)
    if bill.is_nothing:
        return _Decision(BillingPeriod.Outcome.NO_CHARGE)
    plan = plan_invoice(customer=customer, bill=bill, facts=issuing, now=now)
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
