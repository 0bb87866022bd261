"""Whether metering and reading stay as fast when the tables grow.

Ingest is measured as a call of the service with 1,000 new events a batch, with one million events stored and again with
twenty million, all in the very month that the new ones go to: in the event table with its index, the key table and the
sums, filled by SQL inside the server (indexes are built afterwards, as a restored archive's are). New events come in the
order of time, a second a batch, over 200 customers. Their ids begin with the time, as upstreams' do; a second series has
wholly random ids, each of which lands on another page of the key table's index. Beside each round the same rows go by `COPY`
into an empty table, which shows how busy the machine is.

A customer's month is read through the selectors that the portal, the usage API and the close use. Beside its own rows stand
those that 50 million events of 2,000 other customers leave in the two tables of sums: one a day for about 22 of them, one an
hour for about 3; the events themselves are in no table that these questions read.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, reset_queries

from accounts.models import Customer
from accounts.services import create_customer
from catalog.models import Model, Price, Provider
from tests.bench.report import Measured
from usage.periods import BillingMonth
from usage.selectors import month_lines, usage_by_day, usage_by_model
from usage.selectors.groups import UsageScope, usage_groups
from usage.services.ingesting import Status, ingest_events
from usage.services.partitions import ensure_partitions

MONTH = BillingMonth(2026, 10)
NOW = datetime(2026, 11, 1, tzinfo=UTC)
SMALL, LARGE = 1_000_000, 20_000_000
CUSTOMERS = 200
MODELS = 6
COMPONENTS = {"prompt": "0.0000025", "completion": "0.00001", "input_cache_read": "0.00000025"}
BATCH_EVENTS = 1_000
ROUNDS, BATCHES_PER_ROUND = 9, 5
WARM_BATCHES = 10
#: Kind of ids -> name of the ratio.
IDS = {"timed": "growth_20m_vs_1m", "random": "growth_20m_vs_1m_random_ids"}
OTHERS, OTHERS_EVENTS = 2_000, 50_000_000
#: Rows that a customer has for each day and each hour: keys x models x apps.
ROWS_PER_DAY, ROWS_PER_HOUR = 36, 12
READS = 20

_COLUMNS = """customer_id, event_id, occurred_at, received_at, billing_month, api_key_id, requested_model, served_model,
    dialect, usage, prompt_tokens, completion_tokens, cache_read_tokens, cache_write_tokens, cache_write_1h_tokens,
    reasoning_tokens, audio_input_tokens, audio_output_tokens, image_output_tokens, images, web_searches, flags, model_id,
    price_id, cost_usd, upstream_cost_usd, app_title, app_referer, body_hash"""
# Each customer has as many events as the next, in the order of the index; `first` shifts them between those of before.
_ID = """'gen-' || CASE n %% 2 WHEN 0 THEN extract(epoch FROM at)::bigint || '-' ELSE '' END
           || left(md5('event ' || n), 20)"""
_MADE = f"""FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
CROSS JOIN LATERAL (
    SELECT (n - %(first)s) * {CUSTOMERS} / (%(last)s - %(first)s + 1) AS number,
           timestamptz '2026-09-30T15:00Z' + interval '1 second' * (2419199 * ((n - %(first)s) * {CUSTOMERS}.0
               / (%(last)s - %(first)s + 1) %% 1)) AS at) AS made
JOIN bench_owner AS owner ON owner.number = made.number
"""
_EVENTS = f"""
INSERT INTO usage_event_2026_10 ({_COLUMNS})
SELECT owner.id,
       {_ID},
       at, at, '2026-10-01', NULL, sold.model_id, sold.model_id,
       'openrouter',
       '{{"prompt_tokens": 1200, "completion_tokens": 300, "total_tokens": 1500, "cost": 0.001875}}',
       1200, 300, 400, 0, 0, 100, 0, 0, 0, 0, 0, '{{}}', sold.id, price.id, 0.0051, 0.001875, 'Help desk',
       'https://desk.example', sha256(n::text::bytea)
{_MADE}JOIN (SELECT id, model_id, row_number() OVER (ORDER BY id) - 1 AS number FROM catalog_model) AS sold
  ON sold.number = n %% {MODELS}
JOIN catalog_price AS price ON price.model_id = sold.id
"""
_KEYS = f"""
INSERT INTO usage_event_key (customer_id, event_id, body_hash, occurred_at)
SELECT owner.id, {_ID}, sha256(n::text::bytea), at {_MADE}
"""
_SUMS = """requests, prompt_tokens, completion_tokens, cache_read_tokens, cache_write_tokens, cache_write_1h_tokens,
    reasoning_tokens, audio_input_tokens, audio_output_tokens, image_output_tokens, images, web_searches, cost_usd,
    upstream_cost_usd"""
# Each customer's hours and days are all there, whatever the sums: writers update rows, as they mostly do.
_DAYS = f"""
INSERT INTO usage_usagerollup (
    customer_id, billing_month, day, api_key_id, model_id, price_id, app_id, {_SUMS}, upstream_basis_usd, higher_basis_usd)
SELECT owner.id, '2026-10-01', date '2026-10-01' + day, NULL, price.model_id, price.id, app.id,
       1, 1200, 300, 400, 0, 0, 100, 0, 0, 0, 0, 0, 0.0051, 0.001875, 0.001875, 0.0051
FROM bench_owner AS owner JOIN usage_usageapp AS app ON app.customer_id = owner.id
CROSS JOIN generate_series(0, 30) AS day CROSS JOIN catalog_price AS price
"""
_HOURS = f"""
INSERT INTO usage_usagehour (customer_id, hour_at, billing_month, api_key_id, model_id, app_id, {_SUMS})
SELECT owner.id, timestamptz '2026-09-30T15:00Z' + interval '1 hour' * hour, '2026-10-01', NULL, price.model_id, app.id,
       1, 1200, 300, 400, 0, 0, 100, 0, 0, 0, 0, 0, 0.0051, 0.001875
FROM bench_owner AS owner JOIN usage_usageapp AS app ON app.customer_id = owner.id
CROSS JOIN generate_series(0, 743) AS hour CROSS JOIN catalog_price AS price
"""
_OTHERS_SUMS = (
    "%(events)s, %(events)s * 1200, %(events)s * 300, %(events)s * 400, 0, 0, %(events)s * 100, 0, 0, 0, 0, 0, "
)
_OTHERS_DAYS = f"""
INSERT INTO usage_usagerollup (
    customer_id, billing_month, day, api_key_id, model_id, price_id, app_id, {_SUMS}, upstream_basis_usd, higher_basis_usd)
SELECT owner, '2026-10-01', date '2026-10-01' + day, number %% 3, %(model)s + number / 3 %% 6, %(price)s, number / 18,
       {_OTHERS_SUMS} %(events)s * 0.0051, 0, %(events)s * 0.0051, %(events)s * 0.0051
FROM unnest(%(owners)s::bigint[]) AS owner, generate_series(0, 30) AS day, generate_series(0, {ROWS_PER_DAY} - 1) AS number
"""
_OTHERS_HOURS = f"""
INSERT INTO usage_usagehour (customer_id, hour_at, billing_month, api_key_id, model_id, app_id, {_SUMS})
SELECT owner, timestamptz '2026-09-30T15:00Z' + interval '1 hour' * hour, '2026-10-01', number %% 3,
       %(model)s + number / 3 %% 4, 0, {_OTHERS_SUMS} %(events)s * 0.0051, 0
FROM unnest(%(owners)s::bigint[]) AS owner, generate_series(0, 743) AS hour,
     generate_series(0, {ROWS_PER_HOUR} - 1) AS number
"""


def measure() -> Measured:
    """Events per second at both sizes, milliseconds per question."""
    _prepare()
    filled_small = _seconds(lambda: _fill(1, SMALL))
    small = {ids: _ingest(f"small {ids}", ids) for ids in IDS}
    filled_large = _seconds(lambda: _fill(SMALL + 1, LARGE))
    large = {ids: _ingest(f"large {ids}", ids) for ids in IDS}
    sizes = _sizes()
    filled_others = _seconds(_fill_others)
    reads = _reads()
    ratios = {}
    for ids, name in IDS.items():
        ratios[name] = round(small[ids][0] / large[ids][0], 3)
        ratios[f"{name}_beside_copy"] = round(small[ids][0] / small[ids][1] / (large[ids][0] / large[ids][1]), 3)
    return Measured(
        name="growth",
        ratios={**ratios, "slowest_read_vs_50ms": round(max(reads.values()) / 50, 3)},
        figures={
            "measured_path": "service call in batches of 1,000, one process",
            **{f"ingest_at_1m_{ids}_ids_events_per_s": round(small[ids][0]) for ids in IDS},
            **{f"ingest_at_20m_{ids}_ids_events_per_s": round(large[ids][0]) for ids in IDS},
            **{f"copy_beside_1m_{ids}_ids_events_per_s": round(small[ids][1]) for ids in IDS},
            **{f"copy_beside_20m_{ids}_ids_events_per_s": round(large[ids][1]) for ids in IDS},
            **sizes,
            "others_day_rows": OTHERS * 31 * ROWS_PER_DAY,
            "others_hour_rows": OTHERS * 744 * ROWS_PER_HOUR,
            **{f"{name}_ms": f"{value:.1f}" for name, value in reads.items()},
            "preload_1m_s": round(filled_small),
            "preload_19m_s": round(filled_large),
            "preload_sums_s": round(filled_others),
        },
    )


def _prepare() -> None:
    ensure_partitions({MONTH})
    _execute("CREATE TABLE bench_owner (number bigint PRIMARY KEY, id bigint NOT NULL)")
    for number in range(CUSTOMERS):
        customer = create_customer(slug=f"bench-{number}", name="bench", actor="bench")
        _execute("INSERT INTO bench_owner VALUES (%s, %s)", [number, customer.pk])
    provider = Provider.objects.create(slug="bench", name="bench")
    for number in range(MODELS):
        model_id = f"bench/model-{number}"
        model = Model.objects.create(provider=provider, model_id=model_id, canonical_slug=model_id, name=model_id)
        Price.objects.create(
            model=model,
            kind=Price.Kind.LISTED,
            components=COMPONENTS,
            effective_from=datetime(2026, 1, 1, tzinfo=UTC),
            source="bench",
            created_by="bench",
        )
    _execute(
        "INSERT INTO usage_usageapp (customer_id, referer, title) "
        "SELECT id, 'https://desk.example', 'Help desk' FROM bench_owner"
    )
    _execute(_DAYS)
    _execute(_HOURS)
    for table in ("usage_event_2026_10", "usage_event_key"):
        _execute(
            f"ALTER TABLE {table} SET (autovacuum_enabled = false)"
        )  # it would read gigabytes beside the measurement
    _execute("CREATE TABLE bench_copy (LIKE usage_event INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)")


def _fill(first: int, last: int) -> None:
    """Add these events and their keys. Both indexes are dropped for it and made anew, which takes a tenth."""
    span = {"first": first, "last": last}
    _execute("SET maintenance_work_mem = '1GB'")
    _execute("ALTER TABLE usage_event DETACH PARTITION usage_event_2026_10")
    _execute("ALTER TABLE usage_event_2026_10 DROP CONSTRAINT usage_event_2026_10_pkey")
    _execute("ALTER TABLE usage_event_key DROP CONSTRAINT usage_event_key_pkey")
    _execute(_EVENTS, span)
    _execute(_KEYS, span)
    _execute("ALTER TABLE usage_event_key ADD PRIMARY KEY (customer_id, event_id)")
    _execute("ALTER TABLE usage_event_2026_10 ADD PRIMARY KEY (customer_id, occurred_at, event_id)")
    _execute(
        "ALTER TABLE usage_event ATTACH PARTITION usage_event_2026_10 "
        "FOR VALUES FROM ('2026-09-30T15:00Z') TO ('2026-10-31T15:00Z')"
    )
    for table in ("usage_event_2026_10", "usage_event_key"):
        _execute(f"ANALYZE {table}")
    _execute("CHECKPOINT")


def _fill_others() -> None:
    [model, price] = Price.objects.values_list("model_id", "pk").first()  # type: ignore[misc]
    owner = Customer.objects.get(slug="bench-0").pk
    common = {"model": model, "price": price}
    # The customer that is asked about has as much as each of the others, and lies in the midst of them.
    with connection.cursor() as cursor:
        for table in ("usage_usagerollup", "usage_usagehour"):
            cursor.execute(f"DELETE FROM {table} WHERE customer_id = %s", [owner])
    owners = [owner, *range(10_000_000, 10_000_000 + OTHERS)]
    for first in range(0, len(owners), 100):
        part = owners[first : first + 100]
        _execute(_OTHERS_DAYS, {**common, "owners": part, "events": OTHERS_EVENTS // (OTHERS * 31 * ROWS_PER_DAY)})
        _execute(_OTHERS_HOURS, {**common, "owners": part, "events": OTHERS_EVENTS // (OTHERS * 744 * ROWS_PER_HOUR)})
    _execute("VACUUM ANALYZE usage_usagerollup")
    _execute("VACUUM ANALYZE usage_usagehour")
    _execute("CHECKPOINT")


def _ingest(label: str, ids: str) -> tuple[float, float]:
    """Medians of events per second: metered, and by COPY alone."""
    _meter(_batches(f"{label} warm", ids, WARM_BATCHES))
    metered, copied = [], []
    for number in range(ROUNDS):
        batches = _batches(f"{label} {number}", ids, BATCHES_PER_ROUND)
        events = BATCHES_PER_ROUND * BATCH_EVENTS
        with connection.cursor() as cursor:
            cursor.execute("SELECT last_value FROM usage_event_seq_seq")
            before = cursor.fetchone()[0]
        metered.append(events / _seconds(lambda batches=batches: _meter(batches)))
        rows = _encoded_rows(before)
        copied.append(events / _seconds(lambda rows=rows: _copy(rows)))
        _execute("TRUNCATE bench_copy")
    return statistics.median(metered), statistics.median(copied)


_clock = itertools.count()


def _batches(label: str, ids: str, count: int) -> list[list[bytes]]:
    return [_batch(f"{label} {number}", ids, next(_clock)) for number in range(count)]


def _batch(label: str, ids: str, second: int) -> list[bytes]:
    """Events of one second, the 29th of October and later."""
    at = MONTH.start_at + timedelta(days=28, seconds=second)
    return [
        _line(f"{label} {number}", ids, number, at + timedelta(milliseconds=number)) for number in range(BATCH_EVENTS)
    ]


def _line(name: str, ids: str, number: int, at: datetime) -> bytes:
    begin = f"{int(at.timestamp())}-" if ids == "timed" else ""
    prompt, completion = 200 + number * 37 % 20_000, 1 + number * 11 % 2_000
    event = {
        "id": f"gen-{begin}{hashlib.sha256(name.encode()).hexdigest()[:20]}",
        "customer": f"bench-{number % CUSTOMERS}",
        "model": f"bench/model-{number % MODELS}",
        "occurred_at": at.isoformat(),
        "dialect": "openrouter",
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "cost": 0.001875,
            "is_byok": False,
            "prompt_tokens_details": {"cached_tokens": prompt // 3, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": completion // 2},
        },
        "app": {"title": "Help desk", "referer": "https://desk.example"},
    }
    return json.dumps(event).encode()


def _meter(batches: list[list[bytes]]) -> None:
    for batch in batches:
        results = ingest_events(lines=batch, now=NOW, actor="bench")
        if any(result.status is not Status.ACCEPTED or result.quarantine_code for result in results):
            raise RuntimeError("a benchmark's events must be accepted")


def _encoded_rows(after_seq: int) -> list[bytes]:
    """What was just metered, as COPY text in batches."""
    query = f"COPY (SELECT * FROM usage_event WHERE seq > {int(after_seq)}) TO STDOUT"
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        rows = [bytes(row) for row in copy]
    return [b"".join(rows[first : first + BATCH_EVENTS]) for first in range(0, len(rows), BATCH_EVENTS)]


def _copy(batches: list[bytes]) -> None:
    for rows in batches:
        with connection.cursor() as cursor, cursor.copy("COPY bench_copy FROM STDIN") as copy:
            copy.write(rows)


def _sizes() -> dict[str, float | str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT count(*) FROM usage_event), pg_total_relation_size('usage_event_2026_10') / 1000000.0, "
            "pg_total_relation_size('usage_event_key') / 1000000.0"
        )
        events, event_mb, key_mb = cursor.fetchone()
    return {"events_stored": events, "event_table_mb": round(event_mb), "key_table_mb": round(key_mb)}


def _reads() -> dict[str, float]:
    """Median milliseconds of each question about one customer's October."""
    customer = Customer.objects.get(slug="bench-0")
    billed = UsageScope(billing_month=MONTH)
    days = UsageScope(first_on=MONTH.first_on, last_on=MONTH.last_on)
    questions: dict[str, Callable[[], Any]] = {
        "read_close": lambda: month_lines(customer, MONTH),
        "read_portal_days": lambda: usage_by_day(customer, MONTH.first_on, MONTH.last_on),
        "read_portal_models": lambda: usage_by_model(customer, MONTH.first_on, MONTH.last_on),
        "read_api_day_model": lambda: usage_groups(customer, billed, ("day", "model"), after=None, limit=101),
        "read_api_key_app": lambda: usage_groups(customer, billed, ("key", "app"), after=None, limit=101),
        "read_api_hour_model": lambda: usage_groups(customer, days, ("hour", "model"), after=None, limit=101),
    }
    found = {}
    for name, ask in questions.items():
        if not ask():
            raise RuntimeError(f"{name} finds nothing")
        found[name] = statistics.median(_seconds(ask) for _ in range(READS)) * 1000
    return found


def _seconds(work: Callable[[], object]) -> float:
    reset_queries()
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _execute(statement: str, parameters: Any = None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
