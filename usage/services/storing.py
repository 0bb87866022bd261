"""Writing events: priced here, then one statement that takes the ids nobody has, stores their rows and adds to the sums.

Migration 0011 has that statement. Its key table decides what is new: `INSERT ... ON CONFLICT DO NOTHING` waits for another
transaction that holds the same id; afterwards the id is either ours or committed by the other, and its body hash can be
compared. So an event is stored once however many processes send it, in whatever month.

A few events go along in the statement, which is then all there is to say to the database; many go before it, by COPY.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from itertools import islice
from operator import attrgetter
from typing import Any

import msgspec
from django.db import OperationalError, connection, transaction

from catalog.selectors import Catalog
from usage.periods import BillingMonth
from usage.services.attribution import AppName, app_ids
from usage.services.decoding import DecodedEvent
from usage.services.rating import Rating, current_catalog, kept_catalog, rate
from usage.services.resolving import Payer

#: (customer id, event id): what makes an event the same event.
Identity = tuple[int, str]

#: Up to so many events go along in the statement.
_FEW = 100
#: Rows that are made while the database reads those before them.
_COPIED_AT_ONCE = 100
_ATTEMPTS = 5
_RETRIED = frozenset({"40P01", "40001"})  # deadlock, serialization failure: the database asks to try again
_STORE_FEW = "SELECT * FROM usage_store_events(%s, %s, %s::date[], %s, %s)"
_PREPARE_COPY = "SELECT usage_prepare_copy()"
_COPY = "COPY usage_incoming FROM STDIN"
_STORE_COPIED = "SELECT * FROM usage_store_copied(%s, %s::date[], %s, %s)"
_NULL = "\\N"
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class MeteredEvent(msgspec.Struct, gc=False):
    """An event and who pays for it. `body_hash` is hexadecimal; `rating` is there once it was priced."""

    identity: Identity
    decoded: DecodedEvent
    payer: Payer
    body_hash: str
    rating: Rating | None = None

    @property
    def app_name(self) -> AppName:
        return self.payer.customer_id, self.decoded.app_referer, self.decoded.app_title


class _Row(msgspec.Struct, omit_defaults=True, gc=False):
    """An event as the statement reads it. `month` is its own, by its first day; `code` says why it has no price."""

    customer_id: int
    event_id: str
    occurred_at: str
    month: str
    requested_model: str
    served_model: str
    dialect: str
    usage: msgspec.Raw
    body_hash: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    image_output_tokens: int = 0
    images: int = 0
    web_searches: int = 0
    flags: tuple[str, ...] = ()
    api_key_id: int | None = None
    app_id: int = 0
    app_title: str = ""
    app_referer: str = ""
    upstream_cost_usd: Decimal | None = None
    model_id: int | None = None
    price_id: int | None = None
    cost_usd: Decimal | None = None
    code: str | None = None
    detail: str | None = None


_ENCODER = msgspec.json.Encoder(decimal_format="number")


class _CatalogChanged(Exception):
    """Prices were read from a catalog that is no longer the current one."""


def store_events(events: Sequence[MeteredEvent], *, now: datetime) -> dict[Identity, str | None]:
    """Price the events and store those whose ids are new, whole or not at all; each identity may stand here once.

    Returns for every identity None when it was stored now, or the body hash under which it was stored before.
    """
    # One order for everybody: two batches with the same ids then wait for each other, never in a circle.
    batch = _Batch(sorted(events, key=attrgetter("identity")))
    catalog = kept_catalog()
    attempt = 1
    while True:
        try:
            return batch.store(catalog, now)
        except _CatalogChanged:
            catalog = current_catalog()
        except OperationalError as error:
            is_ours = not connection.in_atomic_block  # else whoever began the transaction tries again
            if attempt == _ATTEMPTS or not is_ours or getattr(error.__cause__, "sqlstate", None) not in _RETRIED:
                raise
            attempt += 1


def rows_of(events: Sequence[MeteredEvent]) -> tuple[str, list[int], list[str], int]:
    """A few events, priced by the catalog that this process has: what `usage_store_events` takes, but for the instant."""
    catalog = kept_catalog()
    batch = _Batch(sorted(events, key=attrgetter("identity")))
    return batch.rows(catalog), batch.customer_ids, batch.months.all(), catalog.version


class _Batch:
    """Events on their way in, in the order of their identities."""

    def __init__(self, events: Sequence[MeteredEvent]) -> None:
        self._events = events
        self._apps = app_ids(event.app_name for event in events)
        self.customer_ids = sorted({event.payer.customer_id for event in events})
        self.months = _Months()

    def rows(self, catalog: Catalog) -> str:
        """All of them priced, as JSON."""
        return _ENCODER.encode([self._row(event, catalog) for event in self._events]).decode()

    def store(self, catalog: Catalog, now: datetime) -> dict[Identity, str | None]:
        """As `store_events`. Raises _CatalogChanged when nothing was stored because the catalog is another one by now."""
        if len(self._events) <= _FEW:
            with connection.cursor() as cursor:  # the statement is a transaction of its own
                return self._ask(cursor, _STORE_FEW, [self.rows(catalog)], catalog, now)
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_PREPARE_COPY)
            with connection.wrap_database_errors, cursor.copy(_COPY) as copy:
                rows_left = (_copy_row(self._row(event, catalog), event.decoded.is_plain) for event in self._events)
                while part := "".join(islice(rows_left, _COPIED_AT_ONCE)):
                    copy.write(part)
            return self._ask(cursor, _STORE_COPIED, [], catalog, now)

    def _ask(
        self, cursor: Any, statement: str, rows: list[str], catalog: Catalog, now: datetime
    ) -> dict[Identity, str | None]:
        cursor.execute(statement, [*rows, self.customer_ids, self.months.all(), now, catalog.version])
        is_current, known = cursor.fetchone()
        if not is_current:
            raise _CatalogChanged
        stored: dict[Identity, str | None] = dict.fromkeys([event.identity for event in self._events])
        for customer_id, event_id, body_hash in msgspec.json.decode(known) if known else ():
            stored[customer_id, event_id] = body_hash
        return stored

    def _row(self, event: MeteredEvent, catalog: Catalog) -> _Row:
        decoded = event.decoded
        quantities = decoded.quantities
        rating = event.rating = rate(
            catalog, decoded.served_model, quantities, flags=decoded.flags, at=decoded.occurred_at
        )
        row = _Row(
            event.payer.customer_id,
            decoded.event_id,
            decoded.occurred_text,
            self.months.of(decoded),
            decoded.requested_model,
            decoded.served_model,
            decoded.dialect,
            msgspec.Raw(decoded.usage_json),
            event.body_hash,
            quantities.prompt,
            quantities.completion,
            quantities.cache_read,
            quantities.cache_write,
            quantities.cache_write_1h,
            quantities.reasoning,
            quantities.audio_input,
            quantities.audio_output,
            quantities.image_output,
            quantities.images,
            quantities.web_searches,
            decoded.flags,
            event.payer.api_key_id,
            self._apps[event.app_name],
            decoded.app_title,
            decoded.app_referer,
            decoded.upstream_cost_usd,
            rating.model_pk,
            rating.price_pk,
            rating.cost_usd,
        )
        if rating.code:
            row.code, row.detail = rating.code, rating.detail
        return row


def _copy_row(row: _Row, is_plain: bool) -> str:
    """The row as one line of COPY text, in the order of its fields."""
    event_id, requested, served, dialect = row.event_id, row.requested_model, row.served_model, row.dialect
    usage, title, referer = bytes(row.usage).decode(), row.app_title, row.app_referer
    if not is_plain:
        event_id, requested, served, dialect, usage, title, referer = (
            text.translate(_ESCAPES) for text in (event_id, requested, served, dialect, usage, title, referer)
        )
    key, upstream_usd, cost_usd = row.api_key_id, row.upstream_cost_usd, row.cost_usd
    return (
        f"{row.customer_id}\t{event_id}\t{row.occurred_at}\t{row.month}\t{requested}\t{served}\t{dialect}\t{usage}\t"
        f"{row.body_hash}\t{row.prompt_tokens}\t{row.completion_tokens}\t{row.cache_read_tokens}\t"
        f"{row.cache_write_tokens}\t{row.cache_write_1h_tokens}\t{row.reasoning_tokens}\t{row.audio_input_tokens}\t"
        f"{row.audio_output_tokens}\t{row.image_output_tokens}\t{row.images}\t{row.web_searches}\t"
        f"{{{','.join(row.flags)}}}\t"  # flags are plain identifiers
        f"{_NULL if key is None else key}\t{row.app_id}\t{title}\t{referer}\t"
        f"{_NULL if upstream_usd is None else upstream_usd}\t{_NULL if row.model_id is None else row.model_id}\t"
        f"{_NULL if row.price_id is None else row.price_id}\t{_NULL if cost_usd is None else cost_usd}\t"
        f"{_NULL if row.code is None else row.code}\t"
        f"{_NULL if row.detail is None else row.detail.translate(_ESCAPES)}\n"
    )


class _Months:
    """The Korean months in which events happened, by their first days."""

    def __init__(self) -> None:
        self._by_hour: dict[str, str] = {}

    def of(self, event: DecodedEvent) -> str:
        hour = event.occurred_text[:13]  # of UTC; Korea is whole hours from it
        month = self._by_hour.get(hour)
        if month is None:
            month = self._by_hour[hour] = BillingMonth.of(event.occurred_at).first_on.isoformat()
        return month

    def all(self) -> list[str]:
        return sorted(set(self._by_hour.values()))
