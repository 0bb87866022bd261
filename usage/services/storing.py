"""Writing events: ids first, then the rows by COPY, then the sums, all in one transaction and all set-based.

The key table decides what is new. `INSERT ... ON CONFLICT DO NOTHING` waits for another transaction that holds the same
id; afterwards the id is either ours or committed by the other, and its body hash can be compared. So an event is stored
once however many processes send it, in whatever month.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from django.db import OperationalError, connection, transaction

from catalog.pricing import Quantities
from usage.events import EventDraft
from usage.models import QuarantinedEvent
from usage.periods import BillingMonth
from usage.selectors import closed_months
from usage.services.attribution import AppName, app_ids
from usage.services.locking import share_customers
from usage.services.partitions import ensure_partitions
from usage.services.rating import Rating
from usage.services.resolving import Payer
from usage.services.summing import RollupDeltas

#: (customer id, event id): what makes an event the same event.
Identity = tuple[int, str]

_ATTEMPTS = 5
_RETRIED = frozenset({"40P01", "40001"})  # deadlock, serialization failure: the database asks to try again

_CLAIM = """
INSERT INTO usage_event_key (customer_id, event_id, body_hash, occurred_at)
SELECT customer_id, event_id, decode(body_hash, 'hex'), occurred_at
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::timestamptz[]) AS new (customer_id, event_id, body_hash, occurred_at)
ON CONFLICT DO NOTHING
RETURNING customer_id, event_id
"""
_HASHES = """
SELECT customer_id, event_id, body_hash
FROM unnest(%s::bigint[], %s::text[]) AS asked (customer_id, event_id) JOIN usage_event_key USING (customer_id, event_id)
"""
_COPY = """
COPY usage_event (
    customer_id, event_id, occurred_at, received_at, billing_month, api_key_id, requested_model, served_model, dialect,
    usage, prompt_tokens, completion_tokens, cache_read_tokens, cache_write_tokens, cache_write_1h_tokens,
    reasoning_tokens, audio_input_tokens, audio_output_tokens, image_output_tokens, images, web_searches,
    flags, model_id, price_id, cost_usd, upstream_cost_usd, app_title, app_referer, body_hash
) FROM STDIN
"""
_NULL = "\\N"
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


@dataclass(frozen=True, slots=True)
class MeteredEvent:
    """An event that is ready to be stored. `upstream_cost_usd` is None where the upstream did not say."""

    draft: EventDraft
    payer: Payer
    quantities: Quantities
    upstream_cost_usd: Decimal | None
    flags: tuple[str, ...]
    rating: Rating
    body_hash: bytes

    @property
    def identity(self) -> Identity:
        return self.payer.customer_id, self.draft.event_id

    @property
    def app_name(self) -> AppName:
        return self.payer.customer_id, self.draft.app_referer, self.draft.app_title


def store_events(events: Sequence[MeteredEvent], *, now: datetime) -> dict[Identity, bytes | None]:
    """Store the events whose ids are new, whole or not at all; each identity may stand here once.

    Returns for every identity None when it was stored now, or the body hash under which it was stored before.
    """
    ensure_partitions({BillingMonth.of(event.draft.occurred_at) for event in events})
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with transaction.atomic():
                return _store(events, now)
        except OperationalError as error:
            if attempt == _ATTEMPTS or getattr(error.__cause__, "sqlstate", None) not in _RETRIED:
                raise
    raise AssertionError("unreachable")


def _store(events: Sequence[MeteredEvent], now: datetime) -> dict[Identity, bytes | None]:
    customer_ids = {event.payer.customer_id for event in events}
    share_customers(customer_ids)
    closed = closed_months(customer_ids)
    fresh = _claim(events)
    apps = app_ids(event.app_name for event in events if event.identity in fresh)
    deltas = RollupDeltas()
    quarantined: list[QuarantinedEvent] = []
    rows: list[str] = []
    received_at = now.isoformat()
    for event in events:
        if event.identity not in fresh:
            continue
        billing_month = first_open_month(event.payer.customer_id, event.draft.occurred_at, closed)
        rows.append(_copy_row(event, billing_month, received_at))
        if event.rating.code:
            quarantined.append(_quarantined(event, billing_month, now))
        else:
            deltas.add(
                event.payer,
                billing_month,
                event.draft.occurred_at,
                event.rating,
                event.quantities,
                event.upstream_cost_usd,
                apps[event.app_name],
            )
    if rows:
        _copy(rows)
        QuarantinedEvent.objects.bulk_create(quarantined, batch_size=1000)
        deltas.write()
    stored: dict[Identity, bytes | None] = dict.fromkeys(fresh)
    if len(fresh) < len(events):
        stored.update(_stored_hashes([event.identity for event in events if event.identity not in fresh]))
    return stored


def first_open_month(customer_id: int, occurred_at: datetime, closed: set[tuple[int, date]]) -> date:
    """The month that bills an event: its own or, where that is closed for the customer, the next one that is not."""
    month = BillingMonth.of(occurred_at)
    while (customer_id, month.first_on) in closed:
        month = month.next()
    return month.first_on


def _claim(events: Sequence[MeteredEvent]) -> set[Identity]:
    """Take the ids that nobody has; returns those that are ours now."""
    # One order for everybody: two batches with the same ids then wait for each other, never in a circle.
    ordered = sorted(events, key=lambda event: event.identity)
    with connection.cursor() as cursor:
        cursor.execute(
            _CLAIM,
            [
                [event.payer.customer_id for event in ordered],
                [event.draft.event_id for event in ordered],
                [event.body_hash.hex() for event in ordered],
                [event.draft.occurred_at.isoformat() for event in ordered],
            ],
        )
        return set(cursor.fetchall())


def _stored_hashes(identities: Sequence[Identity]) -> Iterable[tuple[Identity, bytes]]:
    with connection.cursor() as cursor:
        cursor.execute(_HASHES, [list(column) for column in zip(*identities, strict=True)])
        return [((customer_id, event_id), bytes(digest)) for customer_id, event_id, digest in cursor.fetchall()]


def _copy(rows: Sequence[str]) -> None:
    with connection.cursor() as cursor, connection.wrap_database_errors, cursor.copy(_COPY) as copy:
        copy.write("".join(rows))


def _copy_row(event: MeteredEvent, billing_month: date, received_at: str) -> str:
    """The event as one line of COPY text, columns as in `_COPY`."""
    draft, counts, rating = event.draft, event.quantities, event.rating
    return "\t".join(
        (
            str(event.payer.customer_id),
            draft.event_id.translate(_ESCAPES),
            draft.occurred_at.isoformat(),
            received_at,
            billing_month.isoformat(),
            _NULL if event.payer.api_key_id is None else str(event.payer.api_key_id),
            draft.requested_model.translate(_ESCAPES),
            draft.served_model.translate(_ESCAPES),
            draft.dialect.translate(_ESCAPES),
            draft.usage_json.translate(_ESCAPES),
            str(counts.prompt),
            str(counts.completion),
            str(counts.cache_read),
            str(counts.cache_write),
            str(counts.cache_write_1h),
            str(counts.reasoning),
            str(counts.audio_input),
            str(counts.audio_output),
            str(counts.image_output),
            str(counts.images),
            str(counts.web_searches),
            "{" + ",".join(event.flags) + "}",  # flags are plain identifiers
            _NULL if rating.model_pk is None else str(rating.model_pk),
            _NULL if rating.price_pk is None else str(rating.price_pk),
            _NULL if rating.cost_usd is None else format(rating.cost_usd, "f"),
            _NULL if event.upstream_cost_usd is None else format(event.upstream_cost_usd, "f"),
            draft.app_title.translate(_ESCAPES),
            draft.app_referer.translate(_ESCAPES),
            "\\\\x" + event.body_hash.hex() + "\n",
        )
    )


def _quarantined(event: MeteredEvent, billing_month: date, now: datetime) -> QuarantinedEvent:
    return QuarantinedEvent(
        customer_id=event.payer.customer_id,
        event_id=event.draft.event_id,
        occurred_at=event.draft.occurred_at,
        billing_month=billing_month,
        served_model=event.draft.served_model,
        code=event.rating.code,
        detail=event.rating.detail,
        created_at=now,
    )
