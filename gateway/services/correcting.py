"""Putting an upstream's own counts in the place of an estimate, while the month that bills it is open."""

from __future__ import annotations

import logging
from datetime import datetime

from django.db import transaction

from accounts.errors import DomainError
from gateway.calls import Outcome, Settled
from gateway.models import GatewayCall
from gateway.services.metering import ACTOR, LockedCall, read_outcome, reported_line
from usage.models import UsageAlias, UsageEvent
from usage.services.replacing import replace_event, replacement_id

REASON = "estimated; the upstream has told its counts"

logger = logging.getLogger(__name__)


def replace_estimate(call: LockedCall, outcome: Outcome, *, now: datetime) -> Settled:
    """Let what `outcome` counts (its `usage` is there) be billed instead of the call's estimate.

    In a transaction of its own. Where it can't be done (the month is closed, the usage can't be read) the estimate stays,
    and nobody asks for it again.
    """
    assert call.event_id is not None
    ending = read_outcome(call, outcome)
    event_id = replacement_id(call.event_id)
    try:
        with transaction.atomic():
            replace_event(
                customer_id=call.customer_id,
                event_id=call.event_id,
                line=reported_line(ending, event_id=event_id),
                reason=REASON,
                actor=ACTOR,
                now=now,
            )
            return _replaced(call, outcome, event_id)
    except DomainError as refusal:
        logger.warning("the estimate of call %s stays: %s", call.call_id, refusal.message)
        flags = list(dict.fromkeys([*call.flags, refusal.code]))
        GatewayCall.objects.filter(pk=call.call_id).update(next_ask_at=None, flags=flags)
        return Settled(call.call_id, call.event_id, call.is_billed, tuple(flags))


def _replaced(call: LockedCall, outcome: Outcome, event_id: str) -> Settled:
    event = UsageEvent.objects.get(customer_id=call.customer_id, occurred_at=call.started_at, event_id=event_id)
    is_billed = event.cost_usd != 0
    flags = [flag for flag in call.flags if flag not in {"estimated", "zero_completion"}] + ["replaced"]
    GatewayCall.objects.filter(pk=call.call_id).update(
        status=GatewayCall.Status.SETTLED,
        event_id=event_id,
        cost_usd=event.cost_usd,
        is_billed=is_billed,
        served_model=event.served_model,
        flags=flags,
        next_ask_at=None,
    )
    if outcome.upstream_generation_id:
        UsageAlias.objects.bulk_create(
            [UsageAlias(customer_id=call.customer_id, upstream_id=outcome.upstream_generation_id, event_id=event_id)],
            ignore_conflicts=True,
        )
    return Settled(call.call_id, event_id, is_billed, tuple(flags))
