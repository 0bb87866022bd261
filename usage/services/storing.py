"""Writing events: ids first, then the rows by COPY, then the sums, all in one transaction and all set-based.

The key table decides what is new. `INSERT ... ON CONFLICT DO NOTHING` waits for another transaction that holds the same
id; afterwards the id is either ours or committed by the other, and its body hash can be compared. So an event is stored
once however many processes send it, in whatever month.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from django.db import OperationalError, connection, transaction

from catalog.money import EXACT, ZERO
from catalog.pricing import Quantities
from usage.events import EventDraft
from usage.models import QuarantinedEvent
from usage.periods import KST, BillingMonth
from usage.selectors import closed_months
from usage.services.locking import share_customers
from usage.services.partitions import ensure_partitions
from usage.services.rating import Rating
from usage.services.resolving import Payer

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

_ADD_TO_ROLLUPS = """
INSERT INTO usage_usagerollup AS kept (
    customer_id, billing_month, day, api_key_id, model_id, price_id, requests, prompt_tokens, completion_tokens,
    cache_read_tokens, cache_write_tokens, reasoning_tokens, web_searches, cost_usd, upstream_cost_usd)
SELECT * FROM unnest(
    %s::bigint[], %s::date[], %s::date[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
    %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::numeric[], %s::numeric[])
ON CONFLICT ON CONSTRAINT usage_rollup_is_one_per_day_key_model_and_price DO UPDATE SET
    requests = kept.requests + EXCLUDED.requests,
    prompt_tokens = kept.prompt_tokens + EXCLUDED.prompt_tokens,
    completion_tokens = kept.completion_tokens + EXCLUDED.completion_tokens,
    cache_read_tokens = kept.cache_read_tokens + EXCLUDED.cache_read_tokens,
    cache_write_tokens = kept.cache_write_tokens + EXCLUDED.cache_write_tokens,
    reasoning_tokens = kept.reasoning_tokens + EXCLUDED.reasoning_tokens,
    web_searches = kept.web_searches + EXCLUDED.web_searches,
    cost_usd = kept.cost_usd + EXCLUDED.cost_usd,
    upstream_cost_usd = kept.upstream_cost_usd + EXCLUDED.upstream_cost_usd
"""


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


@dataclass(slots=True)
class RollupDeltas:
    """What priced events add to the rollups, by (customer, billing month, KST day, key, model, price)."""

    _sums: dict[tuple[int, date, date, int | None, int, int], list[int | Decimal]] = field(default_factory=dict)

    def add(
        self,
        payer: Payer,
        billing_month: date,
        occurred_at: datetime,
        rating: Rating,
        quantities: Quantities,
        upstream_cost_usd: Decimal | None,
    ) -> None:
        """Add one priced event."""
        assert rating.model_pk is not None
        assert rating.price_pk is not None
        assert rating.cost_usd is not None
        day = occurred_at.astimezone(KST).date()
        key = (payer.customer_id, billing_month, day, payer.api_key_id, rating.model_pk, rating.price_pk)
        sums = self._sums.get(key)
        if sums is None:
            sums = self._sums[key] = [0, 0, 0, 0, 0, 0, 0, ZERO, ZERO]
        counts = (
            1,
            quantities.prompt,
            quantities.completion,
            quantities.cache_read,
            quantities.cache_write,
            quantities.reasoning,
            quantities.web_searches,
        )
        for position, count in enumerate(counts):
            sums[position] += count
        sums[7] = EXACT.add(sums[7], rating.cost_usd)
        if upstream_cost_usd is not None:
            sums[8] = EXACT.add(sums[8], upstream_cost_usd)

    def write(self) -> None:
        """Add the sums to the stored rows, inside the transaction that stores the events.

        Rows are touched in one fixed order, so that two writers never wait for each other in a circle.
        """
        if not self._sums:
            return
        rows = [(*key, *self._sums[key]) for key in sorted(self._sums, key=_rollup_order)]
        with connection.cursor() as cursor:
            cursor.execute(_ADD_TO_ROLLUPS, [list(column) for column in zip(*rows, strict=True)])


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


def _rollup_order(key: tuple[int, date, date, int | None, int, int]) -> tuple[int, date, date, int, int, int]:
    customer_id, billing_month, day, api_key_id, model_pk, price_pk = key
    return customer_id, billing_month, day, api_key_id or 0, model_pk, price_pk
