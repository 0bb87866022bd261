"""Taking an event back, or putting another one in its place, while the month that bills it is open.

Events are only ever added: what was wrong stays readable, a `WithdrawnEvent` says that it counts no longer, and the rollups
lose it in the same transaction in which its replacement enters by the one writer. A closed month is on an invoice, and
only a document can correct that.
"""

from __future__ import annotations

import re
from datetime import datetime

from django.db import connection, transaction

from accounts.models import Customer
from accounts.services import record_audit
from catalog.money import decimal_text
from usage.errors import AlreadyResolved, InvalidReplacement, MonthClosed, ReasonMissing, UnknownEvent
from usage.events import EventDraft, EventRefused, parse_event_line
from usage.models import BillingPeriod, QuarantinedEvent, UsageEvent, WithdrawnEvent
from usage.periods import BillingMonth
from usage.selectors.events import event_by_id
from usage.services.attribution import app_ids
from usage.services.ingesting import Status, ingest_events
from usage.services.locking import hold_customer
from usage.services.partitions import ensure_partitions
from usage.services.rating import Rating
from usage.services.resolving import Payer, Payers
from usage.services.summing import RollupDeltas

_MAX_REASON_CHARS = 500
_NUMBERED = re.compile(r"(.+)~([0-9]{1,6})")
# Sums of nothing would be lines of nothing on the invoice.
_FORGET_EMPTY = """
WITH days AS (DELETE FROM usage_usagerollup WHERE customer_id = %s AND billing_month = %s AND requests = 0)
DELETE FROM usage_usagehour WHERE customer_id = %s AND hour_at = date_trunc('hour', %s, 'UTC') AND requests = 0
"""


def replacement_id(event_id: str) -> str:
    """The id of the event that replaces this one: `gen-1` -> `gen-1~1` -> `gen-1~2`."""
    numbered = _NUMBERED.fullmatch(event_id)
    return f"{numbered[1]}~{int(numbered[2]) + 1}" if numbered else f"{event_id}~1"


def replace_event(
    *, customer_id: int, event_id: str, line: bytes, reason: str, actor: str, now: datetime
) -> WithdrawnEvent:
    """Let the event of this raw JSON line count instead of a stored one. Its id must be `replacement_id(event_id)`.

    Doing the same again changes nothing. Raises UnknownEvent, MonthClosed, AlreadyResolved (it was taken back before, in
    another way), InvalidReplacement (the line can't be taken), or ReasonMissing. Takes the customer's lock alone: in a
    transaction of the caller's own, call it before anything of that customer is stored.
    """
    replacement = _read_replacement(customer_id, event_id, line, now)
    ensure_partitions({BillingMonth.of(replacement.occurred_at)})
    with transaction.atomic():
        withdrawn = _withdraw(customer_id, event_id, replacement.event_id, reason, actor, now)
        [answer] = ingest_events(lines=[line], now=now, actor=actor)
        if answer.status not in {Status.ACCEPTED, Status.DUPLICATE}:
            raise InvalidReplacement(f"{answer.field}: {answer.reason}", field=answer.field)
        return withdrawn


def exclude_priced_event(*, customer_id: int, event_id: str, reason: str, actor: str, now: datetime) -> WithdrawnEvent:
    """Decide that a stored event is not billed, and nothing in its place. Refusals and locks as in `replace_event`."""
    with transaction.atomic():
        return _withdraw(customer_id, event_id, "", reason, actor, now)


def _read_replacement(customer_id: int, event_id: str, line: bytes, now: datetime) -> EventDraft:
    try:
        draft = parse_event_line(line, now=now)
        payer = Payers([draft]).of(draft)
    except EventRefused as refused:
        raise InvalidReplacement(str(refused), field=refused.field) from None
    if draft.event_id != replacement_id(event_id):
        raise InvalidReplacement(f"id: must be {replacement_id(event_id)!r}", field="id")
    if payer.customer_id != customer_id:
        raise InvalidReplacement("customer: is another one than the replaced event's", field="customer")
    return draft


def _withdraw(
    customer_id: int, event_id: str, replaced_by: str, reason: str, actor: str, now: datetime
) -> WithdrawnEvent:
    reason = reason.strip()
    if not 1 <= len(reason) <= _MAX_REASON_CHARS:
        raise ReasonMissing(
            f"taking an event back needs a reason of 1 to {_MAX_REASON_CHARS} characters", field="reason"
        )
    hold_customer(customer_id)
    before = WithdrawnEvent.objects.filter(customer_id=customer_id, event_id=event_id).first()
    if before is not None:
        if before.replaced_by == replaced_by:
            return before
        raise AlreadyResolved(f"event {event_id!r} was taken back before: {before.reason}", field="event_id")
    customer = Customer.objects.filter(pk=customer_id).first()
    event = None if customer is None else event_by_id(customer, event_id)
    if event is None:
        raise UnknownEvent(f"the customer has no event {event_id!r}", field="event_id")
    held = QuarantinedEvent.objects.filter(customer_id=customer_id, event_id=event_id).first()
    if held is not None and held.status == QuarantinedEvent.Status.EXCLUDED:
        raise AlreadyResolved(f"event {event_id!r} was excluded before: {held.resolution}", field="event_id")
    _require_open(event)
    decided = event if held is None else held
    withdrawn = WithdrawnEvent.objects.create(
        customer_id=customer_id,
        event_id=event_id,
        occurred_at=event.occurred_at,
        billing_month=event.billing_month,
        cost_usd=decided.cost_usd,
        replaced_by=replaced_by,
        reason=reason,
        withdrawn_by=actor,
        withdrawn_at=now,
    )
    if decided.cost_usd is not None:
        _take_out(event, Rating(decided.model_id, decided.price_id, decided.cost_usd))
    elif held is not None:
        held.status = QuarantinedEvent.Status.EXCLUDED
        held.resolved_at, held.resolved_by, held.resolution = now, actor, reason
        held.save(update_fields=["status", "resolved_at", "resolved_by", "resolution"])
    record_audit(
        actor=actor,
        action="withdraw_event",
        subject=withdrawn,
        reason=reason,
        data={
            "customer_id": customer_id,
            "event_id": event_id,
            "replaced_by": replaced_by,
            "cost_usd": None if decided.cost_usd is None else decimal_text(decided.cost_usd),
        },
    )
    return withdrawn


def _require_open(event: UsageEvent) -> None:
    """Refuse where the month that bills the event is closed, naming the invoice that carries it."""
    period = BillingPeriod.objects.filter(
        customer_id=event.customer_id, month=event.billing_month, status=BillingPeriod.Status.CLOSED
    ).first()
    if period is None:
        return
    # Billing hangs its invoices on the period; a void one carries nothing.
    invoice = period.invoices.exclude(status="void").values_list("number", flat=True).first()
    carried = f"carried by invoice {invoice}: a credit note corrects it" if invoice else "billed by no invoice"
    raise MonthClosed(
        f"{event.billing_month:%Y-%m} is closed and event {event.event_id!r} is {carried}",
        field="event_id",
        month=f"{event.billing_month:%Y-%m}",
        invoice=invoice,
    )


def _take_out(event: UsageEvent, rating: Rating) -> None:
    """Take the event's share out of the sums, and sums of nothing away."""
    name = (event.customer_id, event.app_referer, event.app_title)
    deltas = RollupDeltas()
    deltas.add(
        Payer(event.customer_id, event.api_key_id),
        event.billing_month,
        event.occurred_at,
        rating,
        event.quantities,
        event.upstream_cost_usd,
        app_ids([name])[name],
    )
    deltas.negated().write()
    with connection.cursor() as cursor:
        cursor.execute(_FORGET_EMPTY, [event.customer_id, event.billing_month, event.customer_id, event.occurred_at])
