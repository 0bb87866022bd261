"""Deciding by hand about events that could not be priced. `usage.services.rerating` prices them when a price is there.

The event's own row never changes; its `QuarantinedEvent` carries the decision, once.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from accounts.services import record_audit
from usage.errors import AlreadyResolved, ReasonMissing
from usage.models import QuarantinedEvent

_MAX_REASON_CHARS = 500


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
