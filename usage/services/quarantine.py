"""Deciding about events that could not be priced: price them when their model got a price, or exclude them with a reason.

The event's own row never changes; its `QuarantinedEvent` carries the decision, once. A priced one counts in the rollups
from then on, in the month that was to bill it, which is open: open quarantine blocks the close.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import connection, transaction

from accounts.models import Customer
from accounts.services import record_audit
from catalog.money import EXACT, ZERO, decimal_text
from usage.errors import AlreadyResolved, ReasonMissing
from usage.models import QuarantinedEvent, UsageEvent
from usage.selectors import closed_months
from usage.services.attribution import AppName, app_ids
from usage.services.locking import share_customers
from usage.services.rating import current_catalog, rate
from usage.services.resolving import Payer
from usage.services.summing import RollupDeltas

CHUNK_EVENTS = 5_000
_MAX_REASON_CHARS = 500
_RATED = """
UPDATE usage_quarantinedevent AS held
SET status = 'rated', model_id = rated.model_id, price_id = rated.price_id, cost_usd = rated.cost_usd,
    resolved_at = %s, resolved_by = %s, resolution = %s
FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::numeric[]) AS rated (id, model_id, price_id, cost_usd)
WHERE held.id = rated.id
"""


@dataclass(frozen=True)
class RatedQuarantine:
    """What one run priced: how many of the open events, and their cost (USD, exact). The rest is still open."""

    examined: int
    rated: int
    cost_usd: Decimal

    def __add__(self, other: RatedQuarantine) -> RatedQuarantine:
        return RatedQuarantine(
            self.examined + other.examined, self.rated + other.rated, EXACT.add(self.cost_usd, other.cost_usd)
        )


def rate_quarantined(*, actor: str, now: datetime, customer: Customer | None = None) -> RatedQuarantine:
    """Price every open quarantined event (of one customer, or of all) that the catalog can price by now.

    Each event gets the price in force when it happened. Works in chunks, each its own transaction: killed half way it
    leaves whole chunks, and running it again goes on.
    """
    held = QuarantinedEvent.objects.filter(status=QuarantinedEvent.Status.OPEN)
    if customer is not None:
        held = held.filter(customer=customer)
    total = RatedQuarantine(0, 0, ZERO)
    last = (0, 0)
    while chunk := list(
        held.filter(customer_id__gte=last[0])
        .exclude(customer_id=last[0], pk__lte=last[1])
        .order_by("customer_id", "pk")
        .values_list("customer_id", "pk")[:CHUNK_EVENTS]
    ):
        customer_id = chunk[0][0]
        pks = [pk for owner, pk in chunk if owner == customer_id]
        total += _rate_chunk(customer_id, pks, actor, now)
        last = (customer_id, pks[-1])
    return total


@transaction.atomic
def exclude_quarantined(*, event: QuarantinedEvent, actor: str, reason: str, now: datetime) -> QuarantinedEvent:
    """Decide that an open quarantined event is never billed. Raises AlreadyResolved, or ReasonMissing."""
    reason = reason.strip()
    if not 1 <= len(reason) <= _MAX_REASON_CHARS:
        raise ReasonMissing(f"excluding needs a reason of 1 to {_MAX_REASON_CHARS} characters", field="reason")
    held = QuarantinedEvent.objects.select_for_update().get(pk=event.pk)
    if held.status != QuarantinedEvent.Status.OPEN:
        raise AlreadyResolved(f"event {held.event_id!r} was {held.status} before: {held.resolution}", field="event")
    held.status = QuarantinedEvent.Status.EXCLUDED
    held.resolved_at, held.resolved_by, held.resolution = now, actor, reason
    held.save(update_fields=["status", "resolved_at", "resolved_by", "resolution"])
    record_audit(
        actor=actor,
        action="exclude_quarantined_event",
        subject=held,
        reason=reason,
        data={"customer_id": held.customer_id, "event_id": held.event_id},
    )
    return held


@transaction.atomic
def _rate_chunk(customer_id: int, pks: Sequence[int], actor: str, now: datetime) -> RatedQuarantine:
    share_customers([customer_id])
    closed = closed_months([customer_id])
    held = list(
        QuarantinedEvent.objects.select_for_update()
        .filter(pk__in=pks, status=QuarantinedEvent.Status.OPEN)
        .order_by("pk")
    )
    events = _events_of(customer_id, held)
    apps = app_ids(_app_name(event) for event in events.values())
    catalog = current_catalog()
    deltas = RollupDeltas()
    rated: list[tuple[int, int | None, int | None, Decimal | None]] = []
    cost_usd = ZERO
    for row in held:
        event = events[row.event_id]
        quantities = event.quantities
        rating = rate(catalog, event.served_model, quantities, flags=event.flags, at=event.occurred_at)
        if rating.cost_usd is None:
            continue
        assert (customer_id, row.billing_month) not in closed, "open quarantine blocks the close"
        payer = Payer(customer_id, event.api_key_id)
        app_id = apps[_app_name(event)]
        deltas.add(payer, row.billing_month, event.occurred_at, rating, quantities, event.upstream_cost_usd, app_id)
        rated.append((row.pk, rating.model_pk, rating.price_pk, rating.cost_usd))
        cost_usd = EXACT.add(cost_usd, rating.cost_usd)
    if rated:
        with connection.cursor() as cursor:
            columns = [list(column) for column in zip(*rated, strict=True)]
            cursor.execute(_RATED, [now, actor, "the model has a price", *columns])
        deltas.write()
        record_audit(
            actor=actor,
            action="rate_quarantined_events",
            subject=Customer(pk=customer_id),
            data={"events": len(rated), "cost_usd": decimal_text(cost_usd)},
        )
    return RatedQuarantine(len(held), len(rated), cost_usd)


def _events_of(customer_id: int, held: Sequence[QuarantinedEvent]) -> dict[str, UsageEvent]:
    """The events themselves, by id; the times let the database look into their partitions only."""
    if not held:
        return {}
    events = UsageEvent.objects.filter(
        customer_id=customer_id,
        event_id__in=[row.event_id for row in held],
        occurred_at__gte=min(row.occurred_at for row in held),
        occurred_at__lte=max(row.occurred_at for row in held),
    ).defer("usage")
    return {event.event_id: event for event in events}


def _app_name(event: UsageEvent) -> AppName:
    return event.customer_id, event.app_referer, event.app_title
