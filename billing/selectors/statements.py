"""The events that a month's invoice bills, as the lines of a statement, and the hash chain over them.

The lines are made in the database, by one expression for the chain at the close and for the file that is handed out
later: what is hashed is what the customer gets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from django.db import connection, transaction
from django.db.models import Min

from accounts.models import Customer
from billing.margins import Basis
from billing.models import Invoice
from billing.statements import StatementHead, foot_line
from usage.models import UsageRollup
from usage.periods import BillingMonth
from usage.selectors.archives import require_events

_FETCHED_ROWS = 2_000

#: What is sold on another amount than list price: (first day of the month of use, model) -> basis.
Bases = Mapping[tuple[date, int], str]
_NONE: Bases = {}

# Columns as in billing.statements.COLUMNS, and behind them what an event was sold on where that may be something else.
# Later decisions count: a quarantined event that was rated stands at that cost, one that was excluded or withdrawn not at
# all.
_LINES = """
SELECT event.occurred_at, event.event_id, coalesce(held.cost_usd, event.cost_usd) AS cost_usd, sold.usd AS sold_usd,
       json_build_array(
           event.event_id, to_char(event.occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
           model.model_id, event.prompt_tokens, event.completion_tokens, event.cache_read_tokens,
           event.cache_write_tokens, event.cache_write_1h_tokens, event.reasoning_tokens, event.audio_input_tokens,
           event.audio_output_tokens, event.image_output_tokens, event.images, event.web_searches,
           trim_scale(coalesce(held.cost_usd, event.cost_usd))::text{column})::text AS line
FROM usage_event AS event
LEFT JOIN usage_quarantinedevent AS held ON held.customer_id = event.customer_id AND held.event_id = event.event_id
JOIN catalog_model AS model ON model.id = coalesce(held.model_id, event.model_id)
{sold}
WHERE event.customer_id = %(customer)s AND event.billing_month = %(month)s
  AND event.occurred_at >= %(first_at)s AND event.occurred_at < %(end_at)s
  AND coalesce(held.cost_usd, event.cost_usd) IS NOT NULL
  AND NOT EXISTS (SELECT FROM usage_withdrawnevent AS gone
                  WHERE gone.customer_id = event.customer_id AND gone.event_id = event.event_id)
"""
_AT_LIST_PRICE = "CROSS JOIN LATERAL (SELECT NULL::numeric AS usd) AS sold"
_BY_BASIS = """
LEFT JOIN unnest(%(months)s::date[], %(models)s::bigint[], %(bases)s::text[]) AS other (month, model_id, basis)
  ON other.model_id = model.id AND other.month = date_trunc('month', event.occurred_at AT TIME ZONE 'Asia/Seoul')::date
CROSS JOIN LATERAL (SELECT coalesce(held.cost_usd, event.cost_usd) AS cost, event.upstream_cost_usd AS charged) AS known
CROSS JOIN LATERAL (SELECT billing_basis(
    other.basis, known.cost, coalesce(known.charged, known.cost), greatest(known.cost, known.charged)) AS usd) AS sold
"""
_CHAIN = """
SELECT count(*), coalesce(sum(cost_usd), 0), coalesce(sum(sold_usd), 0),
       jeongsan_chain(line ORDER BY occurred_at, event_id COLLATE "C")
FROM ({lines}) AS lines
"""
_ORDERED = 'SELECT line FROM ({lines}) AS lines ORDER BY occurred_at, event_id COLLATE "C"'


def invoice_bases(invoice: Invoice) -> Bases:
    """What an invoice sells on another amount than list price."""
    lines = invoice.lines.exclude(basis=Basis.CATALOG).values_list("month", "model_id", "basis")
    return {(month, model_pk): basis for month, model_pk, basis in lines if model_pk is not None}


def statement_digest(customer: Customer, month: BillingMonth, bases: Bases = _NONE) -> tuple[int, str]:
    """How many events the month bills, and their digest (64 hexadecimal digits). `bases` are the invoice's.

    Raises EventsArchived where some of them stand in files.
    """
    require_events(customer, billing_month=month)
    head, chain = _summed(_parameters(customer, month, bases), customer, month)
    return head.events, head.digest(chain)


def statement_lines(customer: Customer, month: BillingMonth, bases: Bases = _NONE) -> Iterator[str]:
    """The whole file, line by line without line breaks; read through one cursor, so it needs the memory of a batch."""
    require_events(customer, billing_month=month)
    parameters = _parameters(customer, month, bases)
    with transaction.atomic():
        head, chain = _summed(parameters, customer, month)
        yield head.line()
        with connection.chunked_cursor() as cursor:
            cursor.execute(_ORDERED.format(lines=_lines(parameters)), parameters)
            while rows := cursor.fetchmany(_FETCHED_ROWS):
                yield from (line for (line,) in rows)
        yield foot_line(head.digest(chain))


def _lines(parameters: dict[str, Any]) -> str:
    if not parameters["models"]:
        return _LINES.format(column="", sold=_AT_LIST_PRICE)
    return _LINES.format(column=", trim_scale(sold.usd)::text", sold=_BY_BASIS)


def _summed(parameters: dict[str, Any], customer: Customer, month: BillingMonth) -> tuple[StatementHead, bytes]:
    with connection.cursor() as cursor:
        cursor.execute(_CHAIN.format(lines=_lines(parameters)), parameters)
        events, cost_usd, sold_usd, chain = cursor.fetchone()
    sold = sold_usd if parameters["models"] else None
    return StatementHead(customer.slug, str(month), events, cost_usd, sold), bytes(chain or b"")


def _parameters(customer: Customer, month: BillingMonth, bases: Bases) -> dict[str, Any]:
    """Late usage lies in the partitions of earlier months; the sums know how far back to look."""
    rollups = UsageRollup.objects.filter(customer=customer, billing_month=month.first_on)
    first_day = rollups.aggregate(first_day=Min("day"))["first_day"] or month.first_on
    return {
        "customer": customer.pk,
        "month": month.first_on,
        "first_at": BillingMonth(first_day.year, first_day.month).start_at,
        "end_at": month.end_at,
        "months": [month_on for month_on, _ in bases],
        "models": [model_pk for _, model_pk in bases],
        "bases": list(bases.values()),
    }
