"""A customer's usage by UTC day, from the events themselves: rollups are kept by Korean day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import connection

from accounts.models import Customer
from catalog.models import Model

_SQL = """
SELECT to_char(event.occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day,
       coalesce(held.model_id, event.model_id) AS model_id,
       count(*), sum(coalesce(event.cost_usd, held.cost_usd)), sum(event.prompt_tokens), sum(event.completion_tokens),
       sum(event.reasoning_tokens), sum(event.cache_read_tokens)
FROM usage_event event
LEFT JOIN usage_quarantinedevent held ON event.cost_usd IS NULL AND held.status = 'rated'
     AND held.customer_id = event.customer_id AND held.event_id = event.event_id
WHERE event.customer_id = %s AND event.occurred_at >= %s AND event.occurred_at < %s
  AND coalesce(event.cost_usd, held.cost_usd) IS NOT NULL
GROUP BY 1, 2
ORDER BY 1 DESC, 2
"""


@dataclass(frozen=True)
class Activity:
    """One model's priced events of one UTC day (`2026-10-05`); `cost_usd` is at list price."""

    day: str
    model: Model
    requests: int
    cost_usd: Decimal
    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    cached_tokens: int


def activity(customer: Customer, start_at: datetime, end_at: datetime) -> list[Activity]:
    """The days in `[start_at, end_at)`, newest first. Reads every event in it: for weeks, not for years."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL, [customer.pk, start_at, end_at])
        rows = cursor.fetchall()
    models = Model.objects.select_related("provider").in_bulk({row[1] for row in rows})
    return [
        Activity(day, models[pk], requests, cost_usd, *map(int, tokens))
        for day, pk, requests, cost_usd, *tokens in rows
    ]
