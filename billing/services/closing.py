"""Closing a month, one customer at a time: what is done is done, what fails is parked, and running it again goes on."""

from __future__ import annotations

import logging
from datetime import datetime

from django.db import transaction

from accounts.errors import DomainError
from accounts.models import Customer
from billing.errors import MonthNotEnded
from billing.models import BillingRun, BillingRunItem, Invoice
from billing.selectors.bills import month_bill
from billing.selectors.drafts import require_approval
from billing.selectors.previews import quarantine_problem, require_identities
from billing.services.issuing import issue_invoice
from usage.models import BillingPeriod
from usage.periods import KST, BillingMonth
from usage.selectors import customers_with_usage, open_quarantine
from usage.services.activity import withdraw_estimates
from usage.services.locking import hold_customer

logger = logging.getLogger(__name__)

DONE = BillingRunItem.Status.DONE
PARKED = BillingRunItem.Status.PARKED
PENDING = BillingRunItem.Status.PENDING


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


def close_customer(*, item_id: int, actor: str, now: datetime) -> BillingRunItem | None:
    """Close one customer's month, whole or not at all. None when another worker is at it or it is closed already.

    Whatever goes wrong parks this customer with a reason that a person can act on, and touches no other.
    """
    try:
        with transaction.atomic():
            return _close_item(item_id=item_id, actor=actor, now=now)
    except DomainError as refusal:
        return park(item_id=item_id, code=refusal.code, reason=refusal.message, now=now)
    except Exception as error:
        logger.exception("closing billing run item %s failed", item_id)
        return park(item_id=item_id, code="internal_error", reason=f"{type(error).__name__}: see the log", now=now)


def finish_run(*, run: BillingRun, now: datetime) -> None:
    """Date the run once no customer is pending; parked ones may still be waiting."""
    if not run.items.filter(status=PENDING).exists():
        BillingRun.objects.filter(pk=run.pk, finished_at=None).update(finished_at=now)


def _customers_to_close(month: BillingMonth) -> list[Customer]:
    """Active customers that existed in the month, and any other that has usage in it."""
    existing = Customer.objects.filter(status=Customer.Status.ACTIVE, created_at__lt=month.end_at)
    chosen = {one.pk: one for one in [*existing, *customers_with_usage(month)]}
    return [chosen[pk] for pk in sorted(chosen)]


def _close_item(*, item_id: int, actor: str, now: datetime) -> BillingRunItem | None:
    item = (
        BillingRunItem.objects.select_for_update(skip_locked=True, of=("self",))
        .select_related("run", "customer")
        .filter(pk=item_id, status=PENDING)
        .first()
    )
    if item is None:
        return None
    customer, month = item.customer, BillingMonth(item.run.month.year, item.run.month.month)
    # From here no event of this customer can be stored until we commit, so none slips between the sum and the close.
    hold_customer(customer.pk)
    period, _created = BillingPeriod.objects.get_or_create(
        customer=customer, month=month.first_on, defaults={"start_at": month.start_at, "end_at": month.end_at}
    )
    if period.status == BillingPeriod.Status.CLOSED:
        return _done(item, invoice=period.invoices.exclude(status=Invoice.Status.VOID).first(), now=now)
    # An estimate is never on an invoice beside the real events of its day.
    withdraw_estimates(customer=customer, actor=actor, now=now)
    quarantined = open_quarantine(customer, month).count()
    if quarantined:
        raise quarantine_problem(customer, month, quarantined)
    bill = month_bill(customer, month)
    if item.run.is_stepwise:
        require_approval(item, bill)
    if bill is None:
        _close_period(period, outcome=BillingPeriod.Outcome.NO_USAGE, now=now)
        return _done(item, invoice=None, now=now)
    if bill.usage_krw == 0:
        _close_period(period, outcome=BillingPeriod.Outcome.NO_CHARGE, now=now)
        return _done(item, invoice=None, now=now)
    require_identities(customer, on=now.astimezone(KST).date())
    _close_period(period, outcome=BillingPeriod.Outcome.INVOICED, now=now)
    invoice = issue_invoice(customer=customer, period=period, bill=bill, now=now, actor=actor)
    return _done(item, invoice=invoice, now=now)


def _close_period(period: BillingPeriod, *, outcome: BillingPeriod.Outcome, now: datetime) -> None:
    period.status, period.outcome, period.closed_at = BillingPeriod.Status.CLOSED, outcome, now
    period.save(update_fields=["status", "outcome", "closed_at"])


def _done(item: BillingRunItem, *, invoice: Invoice | None, now: datetime) -> BillingRunItem:
    item.status, item.invoice, item.updated_at = DONE, invoice, now
    item.save(update_fields=["status", "invoice", "updated_at"])
    return item


def park(*, item_id: int, code: str, reason: str, now: datetime) -> BillingRunItem:
    """Note what is missing; the customer waits for a person, the others go on."""
    BillingRunItem.objects.filter(pk=item_id, status=PENDING).update(
        status=PARKED, reason_code=code, reason=reason[:500], updated_at=now
    )
    return BillingRunItem.objects.select_related("customer").get(pk=item_id)
