"""The monthly minimum of a contract: agreed from a day on, changed, and ended. What was billed under one stays.

All of it happens with the customer's months held, as the close does: a minimum is either seen by a bill or comes after it.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Max

from accounts.errors import Conflict, InvalidInput
from accounts.models import Customer
from accounts.services import record_audit
from billing.models import Invoice, MonthlyMinimum
from billing.services.requiring import require_days, require_reason, require_won
from usage.periods import BillingMonth
from usage.services.locking import hold_customer


def set_minimum(
    *,
    customer: Customer,
    amount_krw: int,
    effective_from: date,
    reason: str,
    actor: str,
    now: datetime,
    applies_without_usage: bool = True,
    effective_to: date | None = None,
) -> MonthlyMinimum:
    """What a customer's months come to at least, in won of supply after discounts, from that day on and before
    `effective_to` (None: until it is ended). The minimum that is in force ends where this one begins.

    Raises Conflict where another one covers some of these days, or was billed on some of them already.
    """
    reason = require_reason(reason)
    require_won(amount_krw)
    require_days(effective_from, effective_to)
    try:
        with transaction.atomic():
            hold_customer(customer.pk)
            _end_open(customer, effective_from)
            minimum = MonthlyMinimum.objects.create(
                customer=customer,
                amount_krw=amount_krw,
                applies_without_usage=applies_without_usage,
                effective_from=effective_from,
                effective_to=effective_to,
                reason=reason,
                actor=actor,
                created_at=now,
            )
            data = {"customer": customer.slug, "amount_krw": amount_krw, "effective_from": effective_from.isoformat()}
            record_audit(actor=actor, action="set_minimum", subject=minimum, reason=reason, data=data)
            return minimum
    except IntegrityError:
        raise Conflict(
            f"another minimum of {customer.slug} covers days from {effective_from} on", field="effective_from"
        ) from None


@transaction.atomic
def end_minimum(*, minimum: MonthlyMinimum, effective_to: date, reason: str, actor: str) -> MonthlyMinimum:
    """Let a minimum hold no more from that day on; its own first day: it never held.

    Raises Conflict for one that has an end already, and for an end on a day that was billed with it.
    """
    reason = require_reason(reason)
    hold_customer(minimum.customer_id)
    minimum.refresh_from_db()
    if minimum.effective_to is not None:
        raise Conflict(f"this minimum ends on {minimum.effective_to} already", field="effective_to")
    if effective_to < minimum.effective_from:
        raise InvalidInput(f"effective_to: not before {minimum.effective_from}", field="effective_to")
    _end(minimum, effective_to, field="effective_to")
    data = {"effective_to": effective_to.isoformat()}
    record_audit(actor=actor, action="end_minimum", subject=minimum, reason=reason, data=data)
    return minimum


def _end_open(customer: Customer, effective_from: date) -> None:
    row = MonthlyMinimum.objects.filter(customer=customer, effective_to=None).first()
    if row is None:
        return
    if row.effective_from >= effective_from:
        raise Conflict(
            f"{customer.slug} has a minimum from {row.effective_from} already; another one starts later",
            field="effective_from",
        )
    _end(row, effective_from, field="effective_from")


def _end(minimum: MonthlyMinimum, effective_to: date, *, field: str) -> None:
    billed = Invoice.objects.filter(
        customer_id=minimum.customer_id,
        status__in=(Invoice.Status.ISSUED, Invoice.Status.PAID),
        month__gte=minimum.effective_from.replace(day=1),
        document__has_key="minimums",
    )
    last = billed.aggregate(month=Max("month"))["month"]
    if last is not None and effective_to <= BillingMonth(last.year, last.month).last_on:
        first_free = BillingMonth(last.year, last.month).last_on + timedelta(days=1)
        raise Conflict(f"{field}: {last:%Y-%m} was billed with it; not before {first_free}", field=field)
    minimum.effective_to = effective_to
    minimum.save(update_fields=["effective_to"])
