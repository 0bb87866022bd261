"""How long a month's close takes, against what the database needs merely to add the month up.

The yardstick is one `SELECT customer, model, sum(...) GROUP BY` over the raw events of the month. The close itself reads the
rollups, computes every bill, issues it with lines, ledger entries, tax record, outbox rows and number, in two processes
(one a core). Re-rating prices all raw events anew and is compared with a plain scan of the same rows. Documents are
compared with WeasyPrint printing the same HTML, one after the other in this process.
"""

from __future__ import annotations

import gc
import multiprocessing
import statistics
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO

import psutil
from django.db import connection
from pypdf import PdfReader
from weasyprint import CSS, HTML
from weasyprint.text.fonts import FontConfiguration

from accounts.models import Customer
from accounts.services import add_seller_profile, add_tax_profile, create_customer
from billing.documents import InvoiceDocument
from billing.models import BillingRunItem, Invoice
from billing.pdf import invoice_html, render_invoice
from billing.services.closing import start_run
from billing.services.exchange import set_rate
from billing.services.margins import set_margin
from billing.services.run_items import in_batches
from catalog.models import Model, Price, Provider
from config import env
from tests.bench.closers import close_batches
from tests.bench.report import Measured
from usage.periods import BillingMonth
from usage.selectors.repricing import repriced_sums
from usage.services.partitions import ensure_partitions

MONTH = BillingMonth(2026, 10)
NOW = datetime(2026, 11, 2, 1, 0, tzinfo=UTC)
ACTOR = "bench"
CUSTOMERS = 1_000
EVENTS = 5_000_000
MODELS = 300
PRICES_PER_MODEL = 3
MODELS_PER_CUSTOMER = 20
PROCESSES = 2
DOCUMENTS = 1_000
COMPARED_DOCUMENTS = 50
ROUNDS = 3

# Customers use 20 models each; the day decides which of a model's three prices holds. Whole numbers only, so that every cost
# is exact: prices are 1 to 300 millionths of a dollar per token.
_FILL = """
INSERT INTO usage_event (
    customer_id, event_id, occurred_at, received_at, billing_month, api_key_id, requested_model, served_model, dialect,
    usage, prompt_tokens, completion_tokens, cache_read_tokens, cache_write_tokens, cache_write_1h_tokens,
    reasoning_tokens, audio_input_tokens, audio_output_tokens, image_output_tokens, images, web_searches, flags, model_id,
    price_id, cost_usd, upstream_cost_usd, app_title, app_referer, body_hash)
SELECT customer.id, 'gen-' || n, at, at, '2026-10-01', NULL, price.name, price.name, 'openrouter',
       '{{"prompt_tokens": 1200, "completion_tokens": 300, "total_tokens": 1500, "cost": 0.001, "is_byok": false,
          "prompt_tokens_details": {{"cached_tokens": 400}}, "completion_tokens_details": {{"reasoning_tokens": 100}}}}',
       prompt, completion, prompt / 3, 0, 0, completion / 3, 0, 0, 0, 0, 0, '{{}}', price.model_id, price.id,
       (prompt - prompt / 3) * price.prompt_usd + prompt / 3 * price.cache_usd + completion * price.completion_usd,
       prompt * price.prompt_usd / 2, 'Help desk', 'https://desk.example', sha256(n::text::bytea)
FROM generate_series({first}::bigint, {last}::bigint) AS n
CROSS JOIN LATERAL (SELECT timestamptz '2026-09-30T15:00Z' + (n * 2678399 / {events}) * interval '1 second' AS at,
                           200 + n * 37 % 20000 AS prompt, 1 + n * 11 % 2000 AS completion) AS made
JOIN bench_customer AS customer ON customer.number = n % {customers}
JOIN bench_price AS price
  ON price.model_number = (n % {customers} * 7 + n / {customers} % {models_per_customer}) % {models}
 AND price.version = (extract(day FROM at AT TIME ZONE 'Asia/Seoul')::int - 1) / 11
"""
_ROLLUPS = """
INSERT INTO usage_usagerollup (
    customer_id, billing_month, day, api_key_id, app_id, model_id, price_id, requests, prompt_tokens, completion_tokens,
    cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens, audio_input_tokens,
    audio_output_tokens, image_output_tokens, images, web_searches, cost_usd, upstream_cost_usd,
    upstream_basis_usd, higher_basis_usd)
SELECT customer_id, billing_month, (occurred_at AT TIME ZONE 'Asia/Seoul')::date, NULL, 0, model_id, price_id, count(*),
       sum(prompt_tokens), sum(completion_tokens), sum(cache_read_tokens), 0, 0, sum(reasoning_tokens), 0, 0, 0, 0, 0,
       sum(cost_usd), sum(upstream_cost_usd), sum(upstream_cost_usd), sum(greatest(cost_usd, upstream_cost_usd))
FROM usage_event GROUP BY 1, 2, 3, model_id, price_id
"""
_GROUP_BY = """
SELECT customer_id, model_id, count(*), sum(prompt_tokens), sum(completion_tokens), sum(cost_usd)
FROM usage_event WHERE billing_month = '2026-10-01' GROUP BY customer_id, model_id
"""
_SCAN = """
SELECT count(*), sum(prompt_tokens), sum(completion_tokens), sum(cost_usd) FROM usage_event
WHERE billing_month = '2026-10-01'
"""


def measure() -> Measured:
    """Seconds: medians of three rounds for what can be repeated, one run for the close itself."""
    _prepare()
    filled = _seconds(_fill)
    rolled = _seconds(lambda: _execute(_ROLLUPS))
    _execute("ANALYZE")
    group_by = _median(lambda: _execute(_GROUP_BY))
    scan = _median(lambda: _execute(_SCAN))
    rerate = _median(lambda: repriced_sums(MONTH))
    closed = _close()
    documents = _documents()
    issued, lines = Invoice.objects.count(), sum(len(invoice.document["lines"]) for invoice in Invoice.objects.all())
    return Measured(
        name="close",
        ratios={
            "close_vs_group_by": round(closed / group_by, 2),
            "rerate_vs_scan": round(rerate / scan, 2),
            "pdf_vs_weasyprint": documents["ratio"],
        },
        figures={
            "events": EVENTS,
            "customers": CUSTOMERS,
            "invoices": issued,
            "lines": lines,
            "processes": PROCESSES,
            "preload_s": round(filled, 1),
            "rollups_s": round(rolled, 1),
            "group_by_s": f"{group_by:.2f}",
            "scan_s": f"{scan:.2f}",
            "close_s": f"{closed:.2f}",
            "rerate_s": f"{rerate:.2f}",
            **{name: value for name, value in documents.items() if name != "ratio"},
        },
    )


def _prepare() -> None:
    ensure_partitions({MONTH})
    add_seller_profile(
        valid_from=date(2025, 1, 1), actor=ACTOR, registration_no="2018612345", name="주식회사 정산", ceo_name="한결",
        address="서울특별시 중구 세종대로 110", business_type="정보통신업", business_class="소프트웨어",
        email="b@jeongsan.example", bank_name="한빛은행", bank_account_no="100-027-418265",
        bank_account_holder="주식회사 정산",
    )  # fmt: skip
    set_margin(customer=None, margin=Decimal("0.15"), effective_from=date(2026, 1, 1), actor=ACTOR)
    set_rate(rate_on=date(2026, 10, 30), rate=Decimal("1443.2"), source="bench", reason="bench", actor=ACTOR, now=NOW)
    _execute("CREATE TABLE bench_customer (number bigint PRIMARY KEY, id bigint NOT NULL)")
    for number in range(CUSTOMERS):
        customer = create_customer(slug=f"bench-{number}", name=f"벤치 {number}", actor=ACTOR)
        add_tax_profile(
            customer=customer, valid_from=date(2025, 1, 1), actor=ACTOR, kind="corporation",
            registration_no="1208147521", name=f"주식회사 벤치 {number}", ceo_name="김벤치",
            address="서울특별시 강남구 테헤란로 1", business_type="정보통신업", business_class="소프트웨어",
            email=f"tax@bench-{number}.example",
        )  # fmt: skip
        _execute("INSERT INTO bench_customer VALUES (%s, %s)", [number, customer.pk])
    Customer.objects.update(created_at=datetime(2026, 1, 1, tzinfo=UTC))
    _prices()


def _prices() -> None:
    _execute(
        "CREATE TABLE bench_price (model_number bigint, version bigint, id bigint, model_id bigint, name text, "
        "prompt_usd numeric, cache_usd numeric, completion_usd numeric, PRIMARY KEY (model_number, version))"
    )
    provider = Provider.objects.create(slug="bench", name="Bench")
    edges = [
        datetime(2025, 1, 1, tzinfo=UTC),
        datetime(2026, 10, 11, 15, tzinfo=UTC),
        datetime(2026, 10, 22, 15, tzinfo=UTC),
    ]
    for number in range(MODELS):
        name = f"bench/model-{number}"
        model = Model.objects.create(provider=provider, model_id=name, canonical_slug=name, name=f"Bench: {number}")
        for version, since in enumerate(edges):
            until = edges[version + 1] if version + 1 < len(edges) else None
            usd = [Decimal(number + version + factor).scaleb(-6) for factor in (1, 0, 4)]
            components = dict(zip(("prompt", "input_cache_read", "completion"), map(str, usd), strict=True))
            components = {key: format(Decimal(text), "f") for key, text in components.items()}
            price = Price.objects.create(
                model=model, kind=Price.Kind.LISTED, components=components, effective_from=since, effective_to=until,
                source="bench", created_by=ACTOR,
            )  # fmt: skip
            _execute(
                "INSERT INTO bench_price VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                [number, version, price.pk, model.pk, name, *usd],
            )


def _fill() -> None:
    """In steps of half a million, so that no single statement holds everything."""
    step = 500_000
    for first in range(0, EVENTS, step):
        statement = _FILL.format(
            first=first, last=min(first + step, EVENTS) - 1, events=EVENTS, customers=CUSTOMERS, models=MODELS,
            models_per_customer=MODELS_PER_CUSTOMER,
        )  # fmt: skip
        _execute(statement)


def _close() -> float:
    """Seconds from asking for the run until the last customer is closed."""
    context = multiprocessing.get_context("spawn")
    ready, batches = context.Barrier(PROCESSES + 1), context.Queue()
    workers = [context.Process(target=close_batches, args=(ready, batches, NOW)) for _ in range(PROCESSES)]
    for worker in workers:
        worker.start()
    ready.wait(timeout=60)
    begin = time.perf_counter()
    run = start_run(month=MONTH, actor=ACTOR, now=NOW)
    pending = run.items.filter(status=BillingRunItem.Status.PENDING).order_by("customer_id")
    for batch in [*in_batches(list(pending.values_list("pk", flat=True))), *[None] * PROCESSES]:
        batches.put(batch)
    for worker in workers:
        worker.join()
    elapsed_seconds = time.perf_counter() - begin
    left = run.items.exclude(status=BillingRunItem.Status.DONE).count()
    if left or any(worker.exitcode for worker in workers):
        raise RuntimeError(f"{left} customers were not closed")
    return elapsed_seconds


def _documents() -> dict[str, float | str]:
    """PDFs of real invoices: ours against bare WeasyPrint with the same HTML, taking turns; memory and size over many."""
    documents = [InvoiceDocument.from_json(invoice.document) for invoice in Invoice.objects.order_by("pk")[:DOCUMENTS]]
    fonts = FontConfiguration()
    styles = CSS(filename=env.REPOSITORY / "templates" / "invoices" / "invoice.css", font_config=fonts)
    render_invoice(documents[0])
    ours, bare = [], []
    for document in documents[:COMPARED_DOCUMENTS]:
        html = invoice_html(document)
        # Otherwise the collector, which comes once in two prints, always comes to the same of the two.
        gc.collect()
        ours.append(_seconds(lambda document=document: render_invoice(document)))
        gc.collect()
        bare.append(_seconds(lambda html=html: HTML(string=html).write_pdf(font_config=fonts, stylesheets=[styles])))
    process = psutil.Process()
    memory, page_bytes = [], []
    for number, document in enumerate(documents, start=1):
        pdf = render_invoice(document)
        page_bytes.append(len(pdf) / len(PdfReader(BytesIO(pdf)).pages))
        if number in {len(documents) // 10, len(documents)}:
            memory.append(process.memory_info().rss / 1e6)
    return {
        "ratio": round(statistics.median(ours) / statistics.median(bare), 2),
        "pdf_ms": round(statistics.median(ours) * 1000),
        "weasyprint_ms": round(statistics.median(bare) * 1000),
        "documents": len(documents),
        "largest_page_kb": round(max(page_bytes) / 1000),
        "memory_after_a_tenth_mb": round(memory[0]),
        "memory_at_the_end_mb": round(memory[-1]),
    }


def _execute(statement: str, parameters: list[object] | None = None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _median(work: Callable[[], object]) -> float:
    return statistics.median(_seconds(work) for _ in range(ROUNDS))
