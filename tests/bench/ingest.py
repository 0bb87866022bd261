"""How fast events are metered, against what the database itself can take.

The yardstick is `COPY` alone, of the very rows, already encoded, into a table of the same shape with the same indexes,
in the same run. Metering is measured as a call of the service (parse, resolve, price, claim, store, sum), not over HTTP.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.db import connection

from accounts.services import create_customer
from catalog.models import Model, Price, Provider
from catalog.pricing import PriceSheet, Quantities
from tests.bench.clients import meter
from tests.bench.report import Measured
from usage.services.ingesting import Status, ingest_events

BATCH_EVENTS = 1_000
ROUNDS = 5
BATCHES_PER_ROUND = 4
CLIENTS = 4
CUSTOMERS = 50
DAYS = 31
PRICED_EVENTS = 20_000
NOW = datetime(2026, 11, 1, tzinfo=UTC)
START = datetime(2026, 9, 30, 15, 0, tzinfo=UTC)  # 1 October in Korea
MODELS = ("openai/gpt-5-mini", "anthropic/claude-sonnet-4.5", "google/gemini-2.5-pro", "openai/gpt-5")
COMPONENTS = {"prompt": "0.0000025", "completion": "0.00001", "input_cache_read": "0.00000025"}

Batch = list[bytes]

_YARDSTICK = """
CREATE TABLE bench_event (LIKE usage_event INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)
    PARTITION BY RANGE (occurred_at);
CREATE TABLE bench_event_2026_10 PARTITION OF bench_event FOR VALUES FROM ('2026-09-30T15:00Z') TO ('2026-10-31T15:00Z');
"""


def measure() -> Measured:
    """Rates in events per second: medians over rounds in which the ways take turns."""
    _prepare()
    rows = _encoded_rows(ROUNDS * BATCHES_PER_ROUND)
    copied, fresh, again = [], [], []
    for number in range(ROUNDS):
        batches = make_batches(f"round{number}", BATCHES_PER_ROUND)
        own_rows = rows[number * BATCHES_PER_ROUND : (number + 1) * BATCHES_PER_ROUND]
        copied.append(_rate(lambda own_rows=own_rows: [_copy(batch) for batch in own_rows]))
        fresh.append(_rate(lambda batches=batches: meter_batches(batches, Status.ACCEPTED)))
        again.append(_rate(lambda batches=batches: meter_batches(batches, Status.DUPLICATE)))
    parallel = _rate_of_clients()
    copy, one, replay = (statistics.median(rates) for rates in (copied, fresh, again))
    ours, plain = _pricing_rates()
    return Measured(
        name="ingest",
        ratios={
            "c1_vs_copy": round(one / copy, 3),
            "c4_vs_copy": round(parallel / copy, 3),
            "replay_vs_fresh": round(replay / one, 3),
            "pricing_vs_decimal": round(ours / plain, 3),
        },
        figures={
            "measured_path": "service call in batches of 1,000, not HTTP",
            "copy_alone_events_per_s": round(copy),
            "ingest_1_process_events_per_s": round(one),
            "ingest_4_processes_events_per_s": round(parallel),
            "replay_1_process_events_per_s": round(replay),
            "pricing_per_s": round(ours),
            "plain_decimal_dot_per_s": round(plain),
        },
    )


def _prepare() -> None:
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
    with connection.cursor() as cursor:
        cursor.execute(_YARDSTICK)


def make_batches(label: str, count: int) -> list[Batch]:
    """Batches of events that nobody sent before: in time order, a few hours each, over all customers and models."""
    return [
        [_line(f"gen-{label}-{number:09}", number) for number in range(first, first + BATCH_EVENTS)]
        for first in range(0, count * BATCH_EVENTS, BATCH_EVENTS)
    ]


def _line(event_id: str, number: int) -> bytes:
    prompt, completion = 200 + number * 37 % 20_000, 1 + number * 11 % 2_000
    event = {
        "id": event_id,
        "customer": f"bench-{number % CUSTOMERS}",
        "requested_model": "openrouter/auto",
        "model": MODELS[number % len(MODELS)],
        "occurred_at": (START + timedelta(seconds=number * 5 // 2 % (DAYS * 86400))).isoformat(),
        "dialect": "openrouter",
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "cost": 0.001875,
            "is_byok": False,
            "prompt_tokens_details": {"cached_tokens": prompt // 3, "audio_tokens": 0},
            "cost_details": {"upstream_inference_cost": None},
            "completion_tokens_details": {"reasoning_tokens": completion // 2},
        },
        "app": {"title": "Help desk", "referer": "https://desk.example"},
    }
    return json.dumps(event).encode()


def _encoded_rows(batches: int) -> list[bytes]:
    """Batches of rows as COPY text, taken from events that were metered for it."""
    meter_batches(make_batches("encoded", batches), Status.ACCEPTED)
    with connection.cursor() as cursor, cursor.copy("COPY (SELECT * FROM usage_event ORDER BY seq) TO STDOUT") as copy:
        rows = [bytes(row) for row in copy]
    return [b"".join(rows[first : first + BATCH_EVENTS]) for first in range(0, len(rows), BATCH_EVENTS)]


def _copy(rows: bytes) -> None:
    with connection.cursor() as cursor, cursor.copy("COPY bench_event FROM STDIN") as copy:
        copy.write(rows)


def meter_batches(batches: Sequence[Batch], expected: Status) -> None:
    """Send the batches one after the other; every event must come out as expected, and priced."""
    for batch in batches:
        results = ingest_events(lines=batch, now=NOW, actor="bench")
        if any(result.status is not expected or result.quarantine_code for result in results):
            raise RuntimeError(f"a benchmark's events must be {expected}")


def _rate(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return BATCHES_PER_ROUND * BATCH_EVENTS / (time.perf_counter() - begin)


def _rate_of_clients() -> float:
    """Four processes at once, each with batches of its own; from the common start until the last one ends."""
    batches = ROUNDS * BATCHES_PER_ROUND // CLIENTS * 2
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(CLIENTS + 1)
    clients = [context.Process(target=meter, args=(number, ready, batches)) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    ready.wait(timeout=60)
    begin = time.perf_counter()
    for client in clients:
        client.join()
    elapsed_seconds = time.perf_counter() - begin
    if any(client.exitcode for client in clients):
        raise RuntimeError("a client failed")
    return CLIENTS * batches * BATCH_EVENTS / elapsed_seconds


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
            sheet.cost(each, at=NOW)
        middle = time.perf_counter()
        for u, v, w, x, y in counts:
            a * u + b * v + c * w + d * x + e * y
        ours.append(PRICED_EVENTS / (middle - begin))
        plain.append(PRICED_EVENTS / (time.perf_counter() - middle))
    return statistics.median(ours), statistics.median(plain)
