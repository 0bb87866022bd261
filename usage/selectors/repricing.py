"""What events cost by their prices, recomputed from the raw events in sets: for checking a month, and for asking what it
would have cost under a price that was corrected. Writes nothing.

Events of one price for which the same conditions hold (long prompts, hours of the day) cost the same per token, so their
tokens are added in the database and priced once: exact, because every product and sum is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

from catalog.models import Price
from catalog.money import EXACT, ZERO
from catalog.pricing import PriceSheet, Quantities
from usage.dialects import Flag
from usage.periods import BillingMonth

_SUMMED = (
    "prompt_tokens",
    "completion_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "image_output_tokens",
    "images",
    "web_searches",
)
_DAY = "(event.occurred_at AT TIME ZONE 'Asia/Seoul')::date"
_MINUTE = (
    "(extract(hour FROM event.occurred_at AT TIME ZONE 'UTC') * 60"
    " + extract(minute FROM event.occurred_at AT TIME ZONE 'UTC'))::int"
)
# One part of the sums. The month's own events, which are nearly all, are read once in whatever order they lie, without a
# join: what was decided about few of them is added and taken away afterwards.
_PART = """
SELECT event.customer_id, {month} AS month, {model} AS model_id, {price} AS price_id, {day} AS day, {tier} AS tier,
       {slot} AS slot, {free} AS free, min(event.occurred_at) AS at, min(event.prompt_tokens) AS prompt,
       {sign} count(*) AS requests, {sign} sum({cost}) AS cost_usd, {sums}
FROM {source}
WHERE event.billing_month = %(month)s AND {price} IS NOT NULL
  AND (%(customer)s::bigint IS NULL OR event.customer_id = %(customer)s)
  AND (%(price)s::bigint IS NULL OR {price} = %(price)s) AND {condition}
GROUP BY event.customer_id, {keys}
"""
_MONTH = "date_trunc('month', event.occurred_at AT TIME ZONE 'Asia/Seoul')::date"
_OWN = {
    "month": "%(month)s::date",
    "model": "event.model_id",
    "price": "event.price_id",
    "cost": "event.cost_usd",
    "source": "usage_event AS event",
    "sign": "",
    "condition": "event.occurred_at >= %(start_at)s AND event.occurred_at < %(end_at)s",
}
_LATE = _OWN | {"month": _MONTH, "condition": "event.occurred_at < %(start_at)s"}
# What ended without an answer costs nothing at any price. Nearly all events have no flag, and are asked no further.
_FREE = "(event.flags <> '{}' AND event.flags @> '{zero_completion}')"
# Rated quarantined events carry their price in their quarantine row.
_AT_EVENT = """ON event.customer_id = {row}.customer_id AND event.occurred_at = {row}.occurred_at
     AND event.event_id = {row}.event_id"""
_RATED = _OWN | {
    "month": _MONTH,
    "model": "held.model_id",
    "price": "held.price_id",
    "cost": "held.cost_usd",
    "source": f"usage_quarantinedevent AS held JOIN usage_event AS event {_AT_EVENT.format(row='held')}",
    "condition": "event.price_id IS NULL AND held.status = 'rated' AND event.occurred_at < %(end_at)s",
}
_WITHDRAWN = {
    "month": _MONTH,
    "model": "coalesce(event.model_id, held.model_id)",
    "price": "coalesce(event.price_id, held.price_id)",
    "cost": "coalesce(event.cost_usd, held.cost_usd)",
    "source": f"""usage_withdrawnevent AS gone JOIN usage_event AS event {_AT_EVENT.format(row="gone")}
LEFT JOIN usage_quarantinedevent AS held
  ON held.customer_id = gone.customer_id AND held.event_id = gone.event_id AND held.status = 'rated'""",
    "sign": "-",
    "condition": "event.occurred_at < %(end_at)s",
}
_SUMS = """
SELECT customer_id, month, model_id, price_id, day, free, {at}, min(prompt), sum(requests)::bigint, sum(cost_usd), {sums}
FROM ({parts}) AS part GROUP BY customer_id, month, model_id, price_id, day, tier, slot, free HAVING sum(requests) > 0
"""
_EVENTS = """
SELECT event.occurred_at, (event.occurred_at AT TIME ZONE 'Asia/Seoul')::date, coalesce(event.model_id, held.model_id),
       coalesce(event.cost_usd, held.cost_usd), event.upstream_cost_usd, event.flags, {columns}
FROM usage_event AS event
LEFT JOIN usage_quarantinedevent AS held
  ON event.price_id IS NULL AND held.customer_id = event.customer_id AND held.event_id = event.event_id
 AND held.status = 'rated'
WHERE event.customer_id = %(customer)s AND event.billing_month = %(month)s AND event.occurred_at < %(end_at)s
  AND coalesce(event.price_id, held.price_id) = %(price)s
  AND NOT EXISTS (SELECT FROM usage_withdrawnevent AS gone
                  WHERE gone.customer_id = event.customer_id AND gone.event_id = event.event_id)
"""
#: The planner takes a month for many more groups than it has. So there is room for the sums of some hundred thousand,
#: otherwise all events would be sorted on disk; and passing groups on costs nothing, otherwise one core would do it all.
_PLANS = "SET LOCAL work_mem = '256MB'; SET LOCAL parallel_tuple_cost = 0"


@dataclass(frozen=True)
class RepricedSum:
    """One customer's events of one model, KST month of occurrence and price: what is stored, and what they cost now.

    `day` is the KST day where sums were asked for by day.
    """

    customer_id: int
    month: BillingMonth
    model_pk: int
    price_pk: int
    requests: int
    stored_usd: Decimal
    repriced_usd: Decimal
    day: date | None = None


def repriced_sums(
    billing_month: BillingMonth,
    *,
    corrections: Mapping[int, PriceSheet] | None = None,
    customer_id: int | None = None,
    price_id: int | None = None,
    by_day: bool = False,
) -> list[RepricedSum]:
    """Everything that a month bills (of one customer, at one price), priced anew: by the prices that the events carry, or
    by `corrections` where one names the price. Ordered by customer, month, model, price and day.
    """
    sheets = {**_sheets(), **(corrections or {})}
    tiers = {pk: sheet for pk, sheet in sheets.items() if sheet.overrides}
    thresholds = {pk: sheet.thresholds for pk, sheet in tiers.items()}
    edges = {pk: sheet.window_edges for pk, sheet in tiers.items()}
    statement = _SUMS.format(
        parts=" UNION ALL ".join(
            _part(kind, thresholds, edges, by_day=by_day) for kind in (_OWN, _LATE, _RATED, _WITHDRAWN)
        ),
        sums=", ".join(f"sum({name})::bigint" for name in _SUMMED),
        # An instant is dear to read, and only hours of the day ask for it.
        at=f"min(at) FILTER (WHERE price_id IN ({', '.join(map(str, tiers))}))" if tiers else "NULL::timestamptz",
    )
    sums: dict[tuple[int, date, int, int, date], list[Decimal | int]] = {}
    any_at = billing_month.start_at
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_PLANS)
        parameters = {
            "month": billing_month.first_on,
            "start_at": billing_month.start_at,
            "end_at": billing_month.end_at,
            "customer": customer_id,
            "price": price_id,
        }
        cursor.execute(statement, parameters)
        for (
            customer,
            month,
            model_pk,
            price_pk,
            day,
            is_free,
            at,
            prompt,
            requests,
            stored,
            *counts,
        ) in cursor.fetchall():
            cost = _cost(sheets[price_pk], counts, requests=requests, prompt_tokens=prompt, at=at or any_at)
            repriced = ZERO if is_free else cost
            row = sums.setdefault((customer, month, model_pk, price_pk, day or month), [0, ZERO, ZERO])
            row[0] += requests
            row[1], row[2] = EXACT.add(row[1], stored), EXACT.add(row[2], repriced)
    return [
        RepricedSum(
            customer_id=customer,
            month=BillingMonth(month.year, month.month),
            model_pk=model_pk,
            price_pk=price_pk,
            requests=int(requests),
            stored_usd=Decimal(stored),
            repriced_usd=Decimal(repriced),
            day=day if by_day else None,
        )
        for (customer, month, model_pk, price_pk, day), (requests, stored, repriced) in sorted(sums.items())
    ]


@dataclass(frozen=True)
class RepricedEvent:
    """One event: what is stored, what it costs now, and what the upstream said that it charged."""

    month: BillingMonth
    day: date
    model_pk: int
    stored_usd: Decimal
    repriced_usd: Decimal
    upstream_cost_usd: Decimal | None


def repriced_events(
    billing_month: BillingMonth, sheet: PriceSheet, *, customer_id: int, price_id: int
) -> Iterator[RepricedEvent]:
    """The events at one price that a month bills to a customer, priced anew by `sheet`, one by one."""
    statement = _EVENTS.format(columns=", ".join(f"event.{name}" for name in _SUMMED))
    parameters: dict[str, Any] = {
        "month": billing_month.first_on,
        "end_at": billing_month.end_at,
        "customer": customer_id,
        "price": price_id,
    }
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        for at, day, model_pk, stored, upstream, flags, *counts in cursor:
            cost = _cost(sheet, counts, requests=1, prompt_tokens=counts[0], at=at)
            repriced = ZERO if Flag.ZERO_COMPLETION in flags else cost
            yield RepricedEvent(BillingMonth(day.year, day.month), day, model_pk, stored, repriced, upstream)


def _cost(sheet: PriceSheet, counts: list[int], *, requests: int, prompt_tokens: int, at: datetime) -> Decimal:
    """`counts` as `_SUMMED`, which is the order in which quantities stand."""
    quantities = Quantities(*[*counts, requests])
    # Without conditions nothing depends on the one event; the short way is a third of the time.
    total = None if sheet.overrides else sheet.total_usd(quantities, at=at)
    if total is not None:
        return total
    return sheet.cost_of_alike(quantities, prompt_tokens=prompt_tokens, at=at).total_usd


def _sheets() -> dict[int, PriceSheet]:
    rows = Price.objects.filter(kind=Price.Kind.LISTED).values_list("pk", "components", "overrides")
    return {pk: PriceSheet.parse(components, overrides) for pk, components, overrides in rows.iterator()}


def _part(
    kind: Mapping[str, str],
    thresholds: dict[int, tuple[int, ...]],
    edges: dict[int, tuple[int, ...]],
    *,
    by_day: bool,
) -> str:
    """One part of the sums. What is constant is no key: the planner would take its every value for another group."""
    tier = _bucket(thresholds, "event.prompt_tokens - 1", price=kind["price"])
    slot = _bucket(edges, _MINUTE, price=kind["price"])
    day = _DAY if by_day else "NULL::date"
    varying = [text for text in (kind["month"], day, tier, slot) if "event." in text]
    return _PART.format(
        **kind,
        day=day,
        tier=tier,
        slot=slot,
        free=_FREE,
        sums=", ".join(f"{kind['sign']} sum(event.{name}) AS {name}" for name in _SUMMED),
        keys=", ".join([kind["model"], kind["price"], _FREE, *varying]),
    )


def _bucket(edges: dict[int, tuple[int, ...]], value: str, *, price: str) -> str:
    """SQL that numbers the stretch between two edges in which `value` lies, by price; whole numbers only go into it."""
    cases = [
        f"WHEN {pk:d} THEN width_bucket(({value})::bigint, ARRAY[{', '.join(f'{edge:d}' for edge in found)}]::bigint[])"
        for pk, found in sorted(edges.items())
        if found
    ]
    return f"CASE {price} {' '.join(cases)} ELSE 0 END" if cases else "0::int"
