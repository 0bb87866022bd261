"""The events that a month's invoice bills, as the lines of a statement, and the hash chain over them.

The lines are made in the database, by one expression for the chain at the close and for the file that is handed out
later: what is hashed is what the customer gets.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import connection, transaction
from django.db.models import Min

from accounts.models import Customer
from billing.statements import StatementHead, foot_line
from usage.models import UsageRollup
from usage.periods import BillingMonth
from usage.selectors.archives import require_events

_FETCHED_ROWS = 2_000

# Columns as in billing.statements.COLUMNS. Later decisions count: a quarantined event that was rated stands at that cost,
# one that was excluded or withdrawn not at all.
_LINES = """
SELECT event.occurred_at, event.event_id, coalesce(held.cost_usd, event.cost_usd) AS cost_usd,
       json_build_array(
           event.event_id, to_char(event.occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
           model.model_id, event.prompt_tokens, event.completion_tokens, event.cache_read_tokens,
           event.cache_write_tokens, event.cache_write_1h_tokens, event.reasoning_tokens, event.audio_input_tokens,
           event.audio_output_tokens, event.image_output_tokens, event.images, event.web_searches,
           trim_scale(coalesce(held.cost_usd, event.cost_usd))::text)::text AS line
FROM usage_event AS event
LEFT JOIN usage_quarantinedevent AS held ON held.customer_id = event.customer_id AND held.event_id = event.event_id
JOIN catalog_model AS model ON model.id = coalesce(held.model_id, event.model_id)
WHERE event.customer_id = %(customer)s AND event.billing_month = %(month)s
  AND event.occurred_at >= %(first_at)s AND event.occurred_at < %(end_at)s
  AND coalesce(held.cost_usd, event.cost_usd) IS NOT NULL
  AND NOT EXISTS (SELECT FROM usage_withdrawnevent AS gone
                  WHERE gone.customer_id = event.customer_id AND gone.event_id = event.event_id)
"""
_CHAIN = f"""
SELECT count(*), coalesce(sum(cost_usd), 0), jeongsan_chain(line ORDER BY occurred_at, event_id COLLATE "C")
FROM ({_LINES}) AS lines
"""  # noqa: S608 - made of constants of this file
_ORDERED = f'SELECT line FROM ({_LINES}) AS lines ORDER BY occurred_at, event_id COLLATE "C"'  # noqa: S608


def statement_digest(customer: Customer, month: BillingMonth) -> tuple[int, str]:
    """How many events the month bills, and their digest (64 hexadecimal digits).

    Raises EventsArchived where some of them stand in files.
    """
    require_events(customer, billing_month=month)
    head, chain = _summed(_parameters(customer, month), customer, month)
    return head.events, head.digest(chain)


def statement_lines(customer: Customer, month: BillingMonth) -> Iterator[str]:
    """The whole file, line by line without line breaks; read through one cursor, so it needs the memory of a batch."""
    require_events(customer, billing_month=month)
    parameters = _parameters(customer, month)
    with transaction.atomic():
        head, chain = _summed(parameters, customer, month)
        yield head.line()
        with connection.chunked_cursor() as cursor:
            cursor.execute(_ORDERED, parameters)
            while rows := cursor.fetchmany(_FETCHED_ROWS):
                yield from (line for (line,) in rows)
        yield foot_line(head.digest(chain))


def _summed(parameters: dict[str, Any], customer: Customer, month: BillingMonth) -> tuple[StatementHead, bytes]:
    with connection.cursor() as cursor:
        cursor.execute(_CHAIN, parameters)
        events, cost_usd, chain = cursor.fetchone()
    return StatementHead(customer.slug, str(month), events, cost_usd), bytes(chain or b"")


def _parameters(customer: Customer, month: BillingMonth) -> dict[str, Any]:
    """Late usage lies in the partitions of earlier months; the sums know how far back to look."""
    rollups = UsageRollup.objects.filter(customer=customer, billing_month=month.first_on)
    first_day = rollups.aggregate(first_day=Min("day"))["first_day"] or month.first_on
    return {
        "customer": customer.pk,
        "month": month.first_on,
        "first_at": BillingMonth(first_day.year, first_day.month).start_at,
        "end_at": month.end_at,
    }
