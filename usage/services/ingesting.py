"""Metering: raw lines in, one exact answer per line out. The command, the API and the gateway share this one door."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import Executor, wait
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from usage.errors import PayloadTooLarge
from usage.events import EventRefused
from usage.services.decoding import DecodedEvent, decode_event
from usage.services.reconnecting import on_a_live_connection
from usage.services.resolving import Payers
from usage.services.storing import Identity, MeteredEvent, rows_of, store_events

MAX_BATCH_EVENTS = 10_000
#: Below this a second transaction costs more than it saves.
_SHARED_FROM_EVENTS = 500

logger = logging.getLogger(__name__)


class Status(StrEnum):
    """What became of one item."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"  # the same event was stored before; nothing changed
    CONFLICT = "conflict"  # its id was stored before with another content; nothing changed
    REJECTED = "rejected"


class ItemResult(msgspec.Struct, frozen=True, gc=False):
    """The answer for one item. `index` counts from 0 in the order given; `id` is None where it was unreadable.

    `field` and `reason` say what is wrong with a rejected or conflicting item. `quarantine_code` and
    `quarantine_detail` stand on an accepted event that is kept without a price, `cost_usd` on every other accepted one; it
    is no part of the JSON.
    """

    index: int
    id: str | None
    status: Status
    code: str = ""
    field: str = ""
    reason: str = ""
    quarantine_code: str = ""
    quarantine_detail: str = ""
    cost_usd: Decimal | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; what does not apply is left out."""
        body: dict[str, Any] = {"index": self.index, "id": self.id, "status": self.status}
        if self.code:
            body |= {"code": self.code, "field": self.field, "reason": self.reason}
        if self.quarantine_code:
            body["quarantined"] = {"code": self.quarantine_code, "detail": self.quarantine_detail}
        return body


def ingest_events(
    *, lines: Iterable[bytes], now: datetime, actor: str, helpers: Executor | None = None
) -> list[ItemResult]:
    """Store a batch of at most 10,000 raw JSON events; one answer per line, in order.

    Every event that reads as accepted or duplicate is durable when this returns; an exception means that nothing of
    the batch was stored, and sending it again is safe. Within a batch the first of several equal ids counts.
    With `helpers` (a pool with a free thread, outside any transaction) the customers of a large batch are stored in two
    transactions at the same time: after an exception one may be there, and sending the batch again is still safe.
    Raises PayloadTooLarge for a longer batch.
    """
    results: dict[int, ItemResult] = {}
    decoded: dict[int, DecodedEvent] = {}
    count = 0
    for raw in lines:
        if count == MAX_BATCH_EVENTS:
            raise PayloadTooLarge(f"one batch has at most {MAX_BATCH_EVENTS} events")
        try:
            decoded[count] = decode_event(raw, now=now)
        except EventRefused as refused:
            results[count] = _rejected(count, refused)
        count += 1
    events = _resolved(decoded, results) if decoded else {}
    first: dict[Identity, MeteredEvent] = {}
    for event in events.values():
        first.setdefault(event.identity, event)
    stored = _stored(list(first.values()), now, helpers) if first else {}
    for index, event in events.items():
        # Of several equal ids in this batch the one that was stored is the measure of the others.
        known = stored.get(event.identity)
        if known is None and first[event.identity] is not event:
            known = first[event.identity].body_hash
        results[index] = _answer(index, event, known)
    answers = [results[index] for index in range(count)]
    if logger.isEnabledFor(logging.INFO):
        logger.info("%s sent %d events: %s", actor, count, count_by_status(answers))
    return answers


class PricedEvent(NamedTuple):
    """What a prepared event costs, and all its tokens."""

    cost_usd: Decimal
    tokens: int


class PreparedEvents(NamedTuple):
    """The arguments of `usage_store_events` (migration 0011) and, in the order of the lines, what each event costs."""

    rows: str
    customer_ids: list[int]
    months: list[str]
    catalog_version: int
    priced: list[PricedEvent]


def prepare_events(*, lines: Sequence[bytes], now: datetime) -> PreparedEvents | None:
    """A few events on their way into a statement that does more than store them; None where one of them is refused or
    has no price. Their ids differ. Whoever runs the statement asks it whether it stored them.
    """
    try:
        decoded = {place: decode_event(line, now=now) for place, line in enumerate(lines)}
    except EventRefused:
        return None
    refused: dict[int, ItemResult] = {}
    events = list(_resolved(decoded, refused).values())
    if refused:
        return None
    rows, customer_ids, months, version = rows_of(events)
    priced = []
    for event in events:
        if event.rating is None or event.rating.cost_usd is None:
            return None
        quantities = event.decoded.quantities
        priced.append(PricedEvent(event.rating.cost_usd, quantities.prompt + quantities.completion))
    return PreparedEvents(rows, customer_ids, months, version, priced)


def count_by_status(results: Collection[ItemResult]) -> dict[str, int]:
    """How many items were accepted, duplicate, conflict and rejected; `quarantined` counts some of the accepted again."""
    found = [result.status for result in results]
    counts = {status.value: sum(one is status for one in found) for status in Status}
    return {**counts, "quarantined": sum(bool(result.quarantine_code) for result in results)}


def _resolved(decoded: dict[int, DecodedEvent], results: dict[int, ItemResult]) -> dict[int, MeteredEvent]:
    """Find out who pays for each event; a refusal goes into `results` instead."""
    payers = Payers(list(decoded.values()))
    events: dict[int, MeteredEvent] = {}
    for index, event in decoded.items():
        try:
            payer = payers.of(event)
            if event.refused is not None:
                raise event.refused
        except EventRefused as refused:
            results[index] = _rejected(index, refused)
        else:
            digest = event.body_hash(customer_id=payer.customer_id, api_key_id=payer.api_key_id).hex()
            events[index] = MeteredEvent((payer.customer_id, event.event_id), event, payer, digest)
    return events


def _stored(events: Sequence[MeteredEvent], now: datetime, helpers: Executor | None) -> dict[Identity, str | None]:
    """As `store_events`; large batches in two halves where there is somebody to help."""
    halves = _halves(events) if helpers is not None and len(events) >= _SHARED_FROM_EVENTS else None
    if helpers is None or halves is None:
        return store_events(events, now=now)
    beside = helpers.submit(on_a_live_connection, lambda: store_events(halves[1], now=now))
    try:
        stored = store_events(halves[0], now=now)
    finally:
        wait([beside])  # nothing of the batch is under way any more when its sender is answered
    return stored | beside.result()


def _halves(events: Sequence[MeteredEvent]) -> tuple[list[MeteredEvent], list[MeteredEvent]] | None:
    """Two parts of about the same size that share no customer, so that they do not wait for each other; None if one
    customer has most of the events.
    """
    counts = Counter(event.payer.customer_id for event in events)
    size, first = 0, set()
    for customer_id, count in counts.most_common():
        if size + count <= len(events) // 2:
            size += count
            first.add(customer_id)
    if size < len(events) // 4:
        return None
    halves: tuple[list[MeteredEvent], list[MeteredEvent]] = ([], [])
    for event in events:
        halves[event.payer.customer_id not in first].append(event)
    return halves


def _answer(index: int, event: MeteredEvent, known: str | None) -> ItemResult:
    """`known` is the body hash under which the id was stored before this item, None when this item was stored."""
    event_id = event.decoded.event_id
    if known is None:
        assert event.rating is not None  # what was stored was priced, or has a code that says why not
        if event.rating.code:
            return ItemResult(
                index,
                event_id,
                Status.ACCEPTED,
                quarantine_code=event.rating.code,
                quarantine_detail=event.rating.detail,
            )
        return ItemResult(index, event_id, Status.ACCEPTED, cost_usd=event.rating.cost_usd)
    if known == event.body_hash:
        return ItemResult(index, event_id, Status.DUPLICATE)
    reason = "this id was stored before with another content"
    return ItemResult(index, event_id, Status.CONFLICT, code="idempotency_conflict", field="id", reason=reason)


def _rejected(index: int, refused: EventRefused) -> ItemResult:
    return ItemResult(
        index, refused.event_id, Status.REJECTED, code="invalid_event", field=refused.field, reason=refused.reason
    )
