"""Metering: raw lines in, one exact answer per line out. The command, the API and the gateway share this one door."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from itertools import islice
from typing import Any

from catalog.selectors import Catalog
from usage.dialects import Flag, UsageRefused, read_usage
from usage.errors import PayloadTooLarge
from usage.events import EventDraft, EventRefused, parse_event_line
from usage.services.rating import current_catalog, rate
from usage.services.resolving import Payers
from usage.services.storing import Identity, MeteredEvent, store_events

MAX_BATCH_EVENTS = 10_000
#: Decimals of USD that the database keeps; what an upstream reports beyond them cannot be kept exactly.
_KEPT_DECIMALS = 28

logger = logging.getLogger(__name__)


class Status(StrEnum):
    """What became of one item."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"  # the same event was stored before; nothing changed
    CONFLICT = "conflict"  # its id was stored before with another content; nothing changed
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class ItemResult:
    """The answer for one item. `index` counts from 0 in the order given; `id` is None where it was unreadable.

    `field` and `reason` say what is wrong with a rejected or conflicting item. `quarantine_code` and
    `quarantine_detail` stand on an accepted event that is kept without a price.
    """

    index: int
    id: str | None
    status: Status
    code: str = ""
    field: str = ""
    reason: str = ""
    quarantine_code: str = ""
    quarantine_detail: str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; what does not apply is left out."""
        body: dict[str, Any] = {"index": self.index, "id": self.id, "status": self.status.value}
        if self.code:
            body |= {"code": self.code, "field": self.field, "reason": self.reason}
        if self.quarantine_code:
            body["quarantined"] = {"code": self.quarantine_code, "detail": self.quarantine_detail}
        return body


def ingest_events(*, lines: Iterable[bytes], now: datetime, actor: str) -> list[ItemResult]:
    """Store a batch of at most 10,000 raw JSON events; one answer per line, in order.

    Every event that reads as accepted or duplicate is durable when this returns; an exception means that nothing of
    the batch was stored, and sending it again is safe. Within a batch the first of several equal ids counts.
    Raises PayloadTooLarge for a longer batch.
    """
    raws = list(islice(lines, MAX_BATCH_EVENTS + 1))
    if len(raws) > MAX_BATCH_EVENTS:
        raise PayloadTooLarge(f"one batch has at most {MAX_BATCH_EVENTS} events")
    results: dict[int, ItemResult] = {}
    drafts: dict[int, EventDraft] = {}
    for index, raw in enumerate(raws):
        try:
            drafts[index] = parse_event_line(raw, now=now)
        except EventRefused as refused:
            results[index] = _rejected(index, refused)
    if drafts:
        events = _meter(drafts, results)
        first: dict[Identity, MeteredEvent] = {}
        for event in events.values():
            first.setdefault(event.identity, event)
        stored = store_events(list(first.values()), now=now) if first else {}
        for index, event in events.items():
            # Of several equal ids in this batch the one that was stored is the measure of the others.
            known = stored[event.identity]
            if known is None and first[event.identity] is not event:
                known = first[event.identity].body_hash
            results[index] = _answer(index, event, known)
    answers = [results[index] for index in range(len(raws))]
    logger.info("%s sent %d events: %s", actor, len(answers), count_by_status(answers))
    return answers


def count_by_status(results: Iterable[ItemResult]) -> dict[str, int]:
    """How many items were accepted, duplicate, conflict and rejected; `quarantined` counts some of the accepted again."""
    counts = dict.fromkeys([*(status.value for status in Status), "quarantined"], 0)
    for result in results:
        counts[result.status.value] += 1
        counts["quarantined"] += bool(result.quarantine_code)
    return counts


def _meter(drafts: dict[int, EventDraft], results: dict[int, ItemResult]) -> dict[int, MeteredEvent]:
    """Resolve, read and price each draft; a refusal goes into `results` instead."""
    payers = Payers(list(drafts.values()))
    catalog = current_catalog()
    events: dict[int, MeteredEvent] = {}
    for index, draft in drafts.items():
        try:
            events[index] = _metered(draft, payers, catalog)
        except EventRefused as refused:
            results[index] = _rejected(index, refused)
    return events


def _metered(draft: EventDraft, payers: Payers, catalog: Catalog) -> MeteredEvent:
    payer = payers.of(draft)
    try:
        reading = read_usage(draft.dialect, draft.usage)
    except UsageRefused as refused:
        raise EventRefused(refused.field, refused.reason, draft.event_id) from None
    upstream_cost_usd, flags = reading.upstream_cost_usd, (*reading.flags, *draft.flags)
    if upstream_cost_usd is not None and not _fits(upstream_cost_usd):
        upstream_cost_usd, flags = None, (*flags, Flag.UPSTREAM_COST_UNREADABLE.value)
    return MeteredEvent(
        draft=draft,
        payer=payer,
        quantities=reading.quantities,
        upstream_cost_usd=upstream_cost_usd,
        flags=flags,
        rating=rate(catalog, draft.served_model, reading.quantities, flags=flags, at=draft.occurred_at),
        body_hash=draft.body_hash(customer_id=payer.customer_id, api_key_id=payer.api_key_id),
    )


def _fits(amount: Decimal) -> bool:
    exponent = amount.as_tuple().exponent
    return isinstance(exponent, int) and -exponent <= _KEPT_DECIMALS


def _answer(index: int, event: MeteredEvent, known: bytes | None) -> ItemResult:
    """`known` is the body hash under which the id was stored before this item, None when this item was stored."""
    event_id = event.draft.event_id
    if known is None:
        return ItemResult(
            index,
            event_id,
            Status.ACCEPTED,
            quarantine_code=event.rating.code,
            quarantine_detail=event.rating.detail,
        )
    if known == event.body_hash:
        return ItemResult(index, event_id, Status.DUPLICATE)
    reason = "this id was stored before with another content"
    return ItemResult(index, event_id, Status.CONFLICT, code="idempotency_conflict", field="id", reason=reason)


def _rejected(index: int, refused: EventRefused) -> ItemResult:
    return ItemResult(
        index, refused.event_id, Status.REJECTED, code="invalid_event", field=refused.field, reason=refused.reason
    )
