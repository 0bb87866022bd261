"""Writing events: ids first, then the rows by COPY, then the sums, all in one transaction and all set-based.

The key table decides what is new. `INSERT ... ON CONFLICT DO NOTHING` waits for another transaction that holds the same
id; afterwards the id is either ours or committed by the other, and its body hash can be compared. So an event is stored
once however many processes send it, in whatever month.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from itertools import islice
from operator import attrgetter

import msgspec
from django.db import OperationalError, connection, transaction

from catalog.selectors import Catalog
from usage.models import QuarantinedEvent
from usage.periods import BillingMonth
from usage.services.attribution import AppName, app_ids
from usage.services.decoding import DecodedEvent
from usage.services.locking import SHARE_CUSTOMERS
from usage.services.partitions import ensure_partitions
from usage.services.rating import Rating, rate
from usage.services.resolving import Payer
from usage.services.summing import RollupDeltas

#: (customer id, event id): what makes an event the same event.
Identity = tuple[int, str]

_ATTEMPTS = 5
_RETRIED = frozenset({"40P01", "40001"})  # deadlock, serialization failure: the database asks to try again

# Columns go as one text each, its values apart by a character that no value has: a tenth of the cost of an array.
_APART = "\x01"
_CLOSED = """
SELECT customer_id, month FROM usage_billingperiod
WHERE customer_id = ANY (%(customer_ids)s::bigint[]) AND status = 'closed'
"""
_CLAIM = """
WITH claimed AS (
    INSERT INTO usage_event_key (customer_id, event_id, body_hash, occurred_at)
    SELECT customer_id, event_id, decode(body_hash, 'hex'), occurred_at
    FROM unnest(string_to_array(%(customers)s, %(apart)s)::bigint[], string_to_array(%(events)s, %(apart)s),
                string_to_array(%(hashes)s, %(apart)s), string_to_array(%(instants)s, %(apart)s)::timestamptz[])
         AS new (customer_id, event_id, body_hash, occurred_at)
    ON CONFLICT DO NOTHING
    RETURNING customer_id, event_id
)
SELECT count(*), string_agg(customer_id::text, %(apart)s), string_agg(event_id, %(apart)s) FROM claimed
"""
# One message to the server, three statements, each with a view of its own: what is closed is read once the locks are held.
_HOLD_AND_CLAIM = ";".join((SHARE_CUSTOMERS, _CLOSED, _CLAIM))
_HASHES = """
SELECT string_agg(encode(body_hash, 'hex'), %(apart)s ORDER BY place)
FROM unnest(string_to_array(%(customers)s, %(apart)s)::bigint[], string_to_array(%(events)s, %(apart)s))
     WITH ORDINALITY AS asked (customer_id, event_id, place)
JOIN usage_event_key USING (customer_id, event_id)
"""
_COPY = """
COPY usage_event (
    customer_id, event_id, occurred_at, received_at, billing_month, api_key_id, requested_model, served_model, dialect,
    usage, prompt_tokens, completion_tokens, cache_read_tokens, cache_write_tokens, cache_write_1h_tokens,
    reasoning_tokens, audio_input_tokens, audio_output_tokens, image_output_tokens, images, web_searches,
    flags, model_id, price_id, cost_usd, upstream_cost_usd, app_title, app_referer, body_hash
) FROM STDIN
"""
#: Rows that are made while the database writes those before them.
_COPIED_AT_ONCE = 100
_NULL = "\\N"
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class MeteredEvent(msgspec.Struct, gc=False):
    """An event and who pays for it. `body_hash` is hexadecimal; `rating` is there once the event was stored."""

    identity: Identity
    decoded: DecodedEvent
    payer: Payer
    body_hash: str
    rating: Rating | None = None

    @property
    def app_name(self) -> AppName:
        return self.payer.customer_id, self.decoded.app_referer, self.decoded.app_title


def store_events(events: Sequence[MeteredEvent], *, catalog: Catalog, now: datetime) -> dict[Identity, str | None]:
    """Price and store the events whose ids are new, whole or not at all; each identity may stand here once.

    Returns for every identity None when it was stored now, or the body hash under which it was stored before.
    """
    months = _Months()
    ensure_partitions({months.of(event.decoded) for event in events})
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with transaction.atomic():
                return _store(events, catalog, months, now)
        except OperationalError as error:
            if attempt == _ATTEMPTS or getattr(error.__cause__, "sqlstate", None) not in _RETRIED:
                raise
    raise AssertionError("unreachable")


def _store(
    events: Sequence[MeteredEvent], catalog: Catalog, months: _Months, now: datetime
) -> dict[Identity, str | None]:
    fresh, known, months.closed = _hold_and_claim(events)
    if fresh:
        _write(fresh, catalog, months, now)
    stored: dict[Identity, str | None] = dict.fromkeys([event.identity for event in fresh])
    stored.update(_stored_hashes([event.identity for event in known]))
    return stored


def _write(events: Sequence[MeteredEvent], catalog: Catalog, months: _Months, now: datetime) -> None:
    """Price the events, copy their rows, and add them to the sums or to the quarantine."""
    apps = app_ids(event.app_name for event in events)
    deltas = RollupDeltas()
    quarantined: list[QuarantinedEvent] = []
    received_at = now.isoformat()

    def row(event: MeteredEvent) -> str:
        decoded = event.decoded
        rating = event.rating = rate(
            catalog, decoded.served_model, decoded.quantities, flags=decoded.flags, at=decoded.occurred_at
        )
        billing_month = months.billing(event.payer.customer_id, decoded)
        if rating.code:
            quarantined.append(_quarantined(event, rating, billing_month, now))
        else:
            deltas.add(
                event.payer,
                billing_month,
                decoded.occurred_at,
                rating,
                decoded.quantities,
                decoded.upstream_cost_usd,
                apps[event.app_name],
            )
        return _copy_row(event, rating, billing_month, received_at)

    _copy(row(event) for event in events)
    QuarantinedEvent.objects.bulk_create(quarantined, batch_size=1000)
    deltas.write()


class _Months:
    """Which month bills an event: its own or, where that is closed for the customer, the next one that is not."""

    def __init__(self) -> None:
        self.closed: set[tuple[int, date]] = set()
        self._by_hour: dict[str, BillingMonth] = {}

    def of(self, event: DecodedEvent) -> BillingMonth:
        hour = event.occurred_text[:13]  # of UTC; Korea is whole hours from it
        month = self._by_hour.get(hour)
        if month is None:
            month = self._by_hour[hour] = BillingMonth.of(event.occurred_at)
        return month

    def billing(self, customer_id: int, event: DecodedEvent) -> date:
        """Its first day."""
        month = self.of(event)
        first_on = month.first_on
        while (customer_id, first_on) in self.closed:
            month = month.next()
            first_on = month.first_on
        return first_on


def _hold_and_claim(
    events: Sequence[MeteredEvent],
) -> tuple[Sequence[MeteredEvent], Sequence[MeteredEvent], set[tuple[int, date]]]:
    """Hold the customers' months against a close and take the ids that nobody has.

    Returns the events whose ids are ours now, those whose ids were known, and which months are closed.
    """
    # One order for everybody: two batches with the same ids then wait for each other, never in a circle.
    ordered = sorted(events, key=attrgetter("identity"))
    with connection.cursor() as cursor:
        cursor.execute(
            _HOLD_AND_CLAIM,
            {
                "apart": _APART,
                "customer_ids": sorted({event.payer.customer_id for event in events}),
                **_texts(event.identity for event in ordered),
                "hashes": _APART.join([event.body_hash for event in ordered]),
                "instants": _APART.join([event.decoded.occurred_text for event in ordered]),
            },
        )
        cursor.nextset()
        closed = set(cursor.fetchall())
        cursor.nextset()
        count, customers, names = cursor.fetchone()
    if count == len(events):
        return events, (), closed
    if count == 0:
        return (), events, closed
    claimed = set(zip(map(int, customers.split(_APART)), names.split(_APART), strict=True))
    return (
        [event for event in events if event.identity in claimed],
        [event for event in events if event.identity not in claimed],
        closed,
    )


def _stored_hashes(identities: Sequence[Identity]) -> Iterable[tuple[Identity, str]]:
    if not identities:
        return ()
    with connection.cursor() as cursor:
        cursor.execute(_HASHES, {"apart": _APART, **_texts(identities)})
        return zip(identities, cursor.fetchone()[0].split(_APART), strict=True)


def _texts(identities: Iterable[Identity]) -> dict[str, str]:
    customers, names = zip(*identities, strict=True)
    return {"customers": _APART.join(map(str, customers)), "events": _APART.join(names)}


def _copy(rows: Iterable[str]) -> None:
    with connection.cursor() as cursor, connection.wrap_database_errors, cursor.copy(_COPY) as copy:
        rows = iter(rows)
        while part := "".join(islice(rows, _COPIED_AT_ONCE)):
            copy.write(part)


def _copy_row(event: MeteredEvent, rating: Rating, billing_month: date, received_at: str) -> str:
    """The event as one line of COPY text, columns as in `_COPY`."""
    decoded, counts, api_key_id = event.decoded, event.decoded.quantities, event.payer.api_key_id
    requested, served, usage = decoded.requested_model, decoded.served_model, decoded.usage_json.decode()
    event_id, dialect, title, referer = decoded.event_id, decoded.dialect, decoded.app_title, decoded.app_referer
    if not decoded.is_plain:
        event_id, requested, served, dialect, usage, title, referer = (
            text.translate(_ESCAPES) for text in (event_id, requested, served, dialect, usage, title, referer)
        )
    upstream_usd = decoded.upstream_cost_usd
    return (
        f"{event.payer.customer_id}\t{event_id}\t{decoded.occurred_text}\t{received_at}\t{billing_month}\t"
        f"{_NULL if api_key_id is None else api_key_id}\t{requested}\t{served}\t{dialect}\t{usage}\t"
        f"{counts.prompt}\t{counts.completion}\t{counts.cache_read}\t{counts.cache_write}\t{counts.cache_write_1h}\t"
        f"{counts.reasoning}\t{counts.audio_input}\t{counts.audio_output}\t{counts.image_output}\t{counts.images}\t"
        f"{counts.web_searches}\t{{{','.join(decoded.flags)}}}\t"  # flags are plain identifiers
        f"{_NULL if rating.model_pk is None else rating.model_pk}\t"
        f"{_NULL if rating.price_pk is None else rating.price_pk}\t"
        f"{_NULL if rating.cost_usd is None else rating.cost_usd}\t"
        f"{_NULL if upstream_usd is None else upstream_usd}\t{title}\t{referer}\t\\\\x{event.body_hash}\n"
    )


def _quarantined(event: MeteredEvent, rating: Rating, billing_month: date, now: datetime) -> QuarantinedEvent:
    return QuarantinedEvent(
        customer_id=event.payer.customer_id,
        event_id=event.decoded.event_id,
        occurred_at=event.decoded.occurred_at,
        billing_month=billing_month,
        served_model=event.decoded.served_model,
        code=rating.code,
        detail=rating.detail,
        created_at=now,
    )
