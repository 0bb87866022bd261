"""How fast events are metered over HTTP, against what the database itself can take.

One server process as it is deployed; a million events are there already. The yardstick is `COPY` alone, of the very rows,
already encoded, into a table of the same shape with the same indexes and the same million rows, in turns with the rest.
The index by which an id counts once is no part of that table here: it stands in a table of its own, over all months. So
there is a second yardstick, the rows and then their keys in one transaction. A third is the table as it is usually made: one
table with a key of its own, the index by which an id counts once, one for a customer's time, and foreign keys.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

from django.db import connection, transaction

from accounts.services import create_api_key, create_customer
from catalog.models import Model, Price, Provider
from catalog.pricing import PriceSheet, Quantities
from config import env
from tests.bench.clients import Connection, Target, post_batches, post_many, post_singles
from tests.bench.events import BATCH_EVENTS, CUSTOMERS, MODELS, MONTH_SECONDS, NOW, START, make_batches
from tests.bench.peers import peer_prices
from tests.bench.report import Measured

PRELOADED_EVENTS = 1_000_000
ROUNDS = 5
BATCHES = 8  # a round and client
CLIENTS = 4
SINGLES_AT_ONCE, SINGLES_EACH = 16, 150
PRICED_EVENTS = 20_000
COMPONENTS = {"prompt": "0.0000025", "completion": "0.00001", "input_cache_read": "0.00000025"}

_YARDSTICK = """
CREATE TABLE bench_event (LIKE usage_event INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)
    PARTITION BY RANGE (occurred_at);
CREATE TABLE bench_other (LIKE usage_event INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)
    PARTITION BY RANGE (occurred_at);
CREATE TABLE bench_other_2026_10 PARTITION OF bench_other FOR VALUES FROM ('2026-09-30T15:00Z') TO ('2026-10-31T15:00Z');
CREATE TABLE bench_key (LIKE usage_event_key INCLUDING ALL);
CREATE TABLE bench_usual (LIKE usage_event INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
ALTER TABLE bench_usual ADD PRIMARY KEY (seq), ADD UNIQUE (customer_id, event_id),
    ADD FOREIGN KEY (customer_id) REFERENCES accounts_customer, ADD FOREIGN KEY (model_id) REFERENCES catalog_model,
    ADD FOREIGN KEY (price_id) REFERENCES catalog_price;
CREATE INDEX ON bench_usual (customer_id, occurred_at);
CREATE TABLE bench_event_2026_10 PARTITION OF bench_event FOR VALUES FROM ('2026-09-30T15:00Z') TO ('2026-10-31T15:00Z');
"""
#: The same event a million times, under ids of its own, in time order, spread over customers and the month.
_PRELOAD = """
WITH made AS (
    SELECT {made} FROM (SELECT * FROM usage_event LIMIT 1) AS template, generate_series(0, %(events)s - 1) AS number
), keys AS (
    INSERT INTO usage_event_key (customer_id, event_id, body_hash, occurred_at)
    SELECT customer_id, event_id, body_hash, occurred_at FROM made
)
INSERT INTO usage_event SELECT * FROM made
"""
_KEYS = """
COPY (SELECT event_key.* FROM usage_event_key AS event_key JOIN usage_event AS event USING (customer_id, event_id)
      ORDER BY event.seq) TO STDOUT
"""
_MADE = {
    "seq": "nextval('usage_event_seq_seq') AS seq",
    "customer_id": "(%(customers)s::bigint[])[1 + number %% %(count)s] AS customer_id",
    "event_id": "'gen-preloaded-' || lpad(number::text, 9, '0') AS event_id",
    "occurred_at": "%(start)s::timestamptz + number * %(step)s::interval AS occurred_at",
}


def measure() -> Measured:
    """Rates in events per second: medians over rounds in which the ways take turns."""
    secret = _prepare()
    with _server() as port:
        target = Target(port, secret)
        client = Connection(target)
        rows = _prepared_rows(target, client)
        copied, copied_with_keys, copied_as_usual, fresh, again, parallel = [], [], [], [], [], []
        for number in range(ROUNDS):
            requests = [target.request(batch) for batch in make_batches(f"round{number}", BATCHES)]
            own_rows = rows[number * BATCHES : (number + 1) * BATCHES]
            copied.append(_rate(partial(_copy, "bench_event", [batch for batch, _ in own_rows])))
            copied_as_usual.append(_rate(partial(_copy, "bench_usual", [batch for batch, _ in own_rows])))
            copied_with_keys.append(_rate(partial(_copy_with_keys, own_rows)))
            fresh.append(_rate(partial(post_batches, client, requests, "accepted")))
            again.append(_rate(partial(post_batches, client, requests, "duplicate")))
            parallel.append(_rate_of_clients(target, number))
        singles = statistics.median(_rate_of_singles(target, number) for number in range(3))
    copy, with_keys, as_usual, one, replay, four = (
        statistics.median(rates) for rates in (copied, copied_with_keys, copied_as_usual, fresh, again, parallel)
    )
    ours, plain = _pricing_rates()
    peers, remarks = peer_prices(ours)
    return Measured(
        name="ingest",
        ratios={
            "c1_vs_copy": round(one / copy, 3),
            "c4_vs_copy": round(four / copy, 3),
            "c1_vs_copy_with_keys": round(one / with_keys, 3),
            "c4_vs_copy_with_keys": round(four / with_keys, 3),
            "c1_vs_copy_usual_table": round(one / as_usual, 3),
            "c4_vs_copy_usual_table": round(four / as_usual, 3),
            "replay_vs_fresh": round(replay / one, 3),
            "pricing_vs_decimal": round(ours / plain, 3),
        },
        figures={
            "measured_path": "HTTP, one server process, batches of 1,000, a million events there before",
            "copy_alone_events_per_s": round(copy),
            "copy_with_keys_events_per_s": round(with_keys),
            "copy_usual_table_events_per_s": round(as_usual),
            "ingest_1_client_events_per_s": round(one),
            "ingest_4_clients_events_per_s": round(four),
            "replay_1_client_events_per_s": round(replay),
            "single_posts_per_s": round(singles),
            "pricing_per_s": round(ours),
            "plain_decimal_dot_per_s": round(plain),
            **{name: round(rate) for name, rate in peers.items()},
            **remarks,
        },
    )


def _prepare() -> str:
    """Customers, models and prices; the secret of an ingest key."""
    for number in range(CUSTOMERS):
        create_customer(slug=f"bench-{number}", name="bench", actor="bench")
    for model_id in MODELS:
        slug = model_id.partition("/")[0]
        provider, _ = Provider.objects.get_or_create(slug=slug, defaults={"name": slug})
        model = Model.objects.create(provider=provider, model_id=model_id, canonical_slug=model_id, name=model_id)
        Price.objects.create(
            model=model,
            kind=Price.Kind.LISTED,
            components=COMPONENTS,
            effective_from=datetime(2026, 1, 1, tzinfo=UTC),
            source="bench",
            created_by="bench",
        )
    return create_api_key(customer=None, name="bench", actor="bench").secret


@contextlib.contextmanager
def _server() -> Iterator[int]:
    """The site in one process; its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "config.asgi:application", "--port", str(port), "--no-access-log"]
    # A client waits while the others take their turns.
    command += ["--log-level", "warning", "--timeout-keep-alive", "600"]
    with subprocess.Popen(command, cwd=env.REPOSITORY, env=os.environ) as process:
        try:
            deadline = time.monotonic() + 60
            while not _answers(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("the server did not start")
                time.sleep(0.1)
            yield port
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _prepared_rows(target: Target, client: Connection) -> list[tuple[bytes, bytes]]:
    """Warm everything up, fill the tables, and return batches of rows, and of their keys, as COPY text."""
    warm = [target.request(batch) for batch in make_batches("encoded", ROUNDS * BATCHES)]
    post_batches(client, warm, "accepted")
    with connection.cursor() as cursor:
        with cursor.copy("COPY (SELECT * FROM usage_event ORDER BY seq) TO STDOUT") as copy:
            rows = [bytes(row) for row in copy]
        with cursor.copy(_KEYS) as copy:
            keys = [bytes(row) for row in copy]
        cursor.execute("SELECT array_agg(id ORDER BY id) FROM accounts_customer")
        [customers] = cursor.fetchone()
        cursor.execute("SELECT * FROM usage_event LIMIT 0")
        made = ", ".join(_MADE.get(column.name, f"template.{column.name}") for column in cursor.description)
        cursor.execute(
            _PRELOAD.format(made=made),
            {
                "customers": customers,
                "count": len(customers),
                "start": START,
                "step": f"{MONTH_SECONDS / PRELOADED_EVENTS} seconds",
                "events": PRELOADED_EVENTS,
            },
        )
        cursor.execute(_YARDSTICK)
        cursor.execute("INSERT INTO bench_event SELECT * FROM usage_event WHERE event_id LIKE 'gen-preloaded-%'")
        cursor.execute("INSERT INTO bench_other SELECT * FROM bench_event")
        cursor.execute("INSERT INTO bench_usual SELECT * FROM bench_event")
        cursor.execute("INSERT INTO bench_key SELECT * FROM usage_event_key WHERE event_id LIKE 'gen-preloaded-%'")
        cursor.execute("VACUUM ANALYZE usage_event, usage_event_key, bench_event, bench_other, bench_usual, bench_key")
        cursor.execute("CHECKPOINT")
    return [
        (b"".join(rows[first : first + BATCH_EVENTS]), b"".join(keys[first : first + BATCH_EVENTS]))
        for first in range(0, len(rows), BATCH_EVENTS)
    ]


def _copy(table: str, batches: list[bytes]) -> None:
    for rows in batches:
        with connection.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as copy:
            copy.write(rows)


def _copy_with_keys(batches: list[tuple[bytes, bytes]]) -> None:
    for rows, keys in batches:
        with transaction.atomic(), connection.cursor() as cursor:
            with cursor.copy("COPY bench_other FROM STDIN") as copy:
                copy.write(rows)
            with cursor.copy("COPY bench_key FROM STDIN") as copy:
                copy.write(keys)


def _rate(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return BATCHES * BATCH_EVENTS / (time.perf_counter() - begin)


def _rate_of_clients(target: Target, number: int) -> float:
    """Four processes at once, each with batches of its own."""
    seconds = _seconds(post_many, [(target, f"client{number}-{which}", BATCHES) for which in range(CLIENTS)])
    return CLIENTS * BATCHES * BATCH_EVENTS / seconds


def _rate_of_singles(target: Target, number: int) -> float:
    """Sixteen connections at once that send single events."""
    seconds = _seconds(post_singles, [(target, f"single{number}", SINGLES_AT_ONCE, SINGLES_EACH)])
    return SINGLES_AT_ONCE * SINGLES_EACH / seconds


def _seconds(work: Callable[..., None], clients: list[tuple[Any, ...]]) -> float:
    """From the moment at which all clients are ready until the last is done."""
    context = multiprocessing.get_context("spawn")
    ready, done = context.Barrier(len(clients) + 1), context.Barrier(len(clients) + 1)
    processes = [context.Process(target=work, args=(*arguments, ready, done)) for arguments in clients]
    for process in processes:
        process.start()
    ready.wait(timeout=120)
    begin = time.perf_counter()
    done.wait(timeout=120)
    seconds = time.perf_counter() - begin
    for process in processes:
        process.join()
    return seconds


def _pricing_rates() -> tuple[float, float]:
    """Events priced per second: ours, and a bare sum of five Decimal products. Medians of five turns each."""
    sheet = PriceSheet.parse(COMPONENTS)
    quantities = [Quantities(prompt=n, completion=n // 7, cache_read=n // 3) for n in range(PRICED_EVENTS)]
    prices = [Decimal(price) for price in ("0.0000025", "0.00000025", "0.000003125", "0.00001", "0.00001")]
    counts = [(q.prompt - q.cache_read, q.cache_read, 0, q.completion, 0) for q in quantities]
    a, b, c, d, e = prices
    ours, plain = [], []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        for each in quantities:
            sheet.total_usd(each, at=NOW)
        middle = time.perf_counter()
        for u, v, w, x, y in counts:
            a * u + b * v + c * w + d * x + e * y
        ours.append(PRICED_EVENTS / (middle - begin))
        plain.append(PRICED_EVENTS / (time.perf_counter() - middle))
    return statistics.median(ours), statistics.median(plain)
