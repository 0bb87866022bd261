"""Recounting what was stored: events against their ids, against the rollups, and against the prices they carry.

Reads only. `check_usage` belongs to DESIGN section 6, items 1 to 3; it finds what constraints and triggers can't hold
because it lies across tables and partitions, or what was damaged behind the database's back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from django.db import connection

from catalog.models import Price
from catalog.money import ZERO
from catalog.pricing import PriceError, PriceSheet
from usage.dialects import Flag
from usage.models import QuarantinedEvent, UsageEvent, UsageHour, UsageRollup
from usage.models.counted import COUNTED_EVENTS
from usage.models.rollups import SUMMED

#: A table of sums.
Sums = type[UsageRollup] | type[UsageHour]

#: Violations beyond these are counted, not spelled out.
MAX_LISTED = 100


@dataclass(frozen=True)
class CheckResult:
    """One check: how many rows it looked at, and a sentence for each violation but the `unlisted` ones."""

    name: str
    checked: int
    violations: list[str]
    unlisted: int = 0

    @property
    def count(self) -> int:
        """All violations."""
        return len(self.violations) + self.unlisted


def check_usage() -> list[CheckResult]:
    """All checks of metering, in a fixed order."""
    return [
        _events_and_ids(),
        _every_event_has_one_fate(),
        _withdrawn_events_counted(),
        _sums_equal_a_recount("rollups_equal_a_recount", UsageRollup),
        _sums_equal_a_recount("hours_equal_a_recount", UsageHour),
        _costs_follow_from_prices(),
        _prices_do_not_overlap(),
    ]


# The smallest of hashes is taken of their hexadecimal text: before PostgreSQL 18 there is no min(bytea).
_EVENTS_AND_IDS = """
WITH counted AS (
    SELECT customer_id, event_id, count(*) AS events, min(occurred_at) AS occurred_at,
           decode(min(encode(body_hash, 'hex') COLLATE "C"), 'hex') AS body_hash
    FROM usage_event GROUP BY customer_id, event_id
)
SELECT customer_id, event_id,
       CASE WHEN stored.event_id IS NULL THEN 'its id is taken and there is no event'
            WHEN claimed.event_id IS NULL THEN 'its id is not in the key table'
            WHEN stored.events > 1 THEN 'is stored ' || stored.events || ' times'
            ELSE 'differs from what its id was taken for' END
FROM counted AS stored FULL JOIN usage_event_key AS claimed USING (customer_id, event_id)
WHERE stored.event_id IS NULL OR claimed.event_id IS NULL OR stored.events > 1
   OR stored.body_hash <> claimed.body_hash OR stored.occurred_at <> claimed.occurred_at
ORDER BY 1, 2
"""
_FATES = """
SELECT customer_id, event_id,
       CASE WHEN event.event_id IS NULL THEN 'is quarantined and there is no event'
            WHEN held.event_id IS NULL THEN 'has neither a cost nor a quarantine entry'
            WHEN event.price_id IS NOT NULL THEN 'has a cost and is quarantined as well'
            ELSE 'its quarantine entry names another time or month' END
FROM usage_event AS event FULL JOIN usage_quarantinedevent AS held USING (customer_id, event_id)
WHERE event.event_id IS NULL OR (event.price_id IS NULL) <> (held.event_id IS NOT NULL)
   OR held.occurred_at <> event.occurred_at OR held.billing_month <> event.billing_month
ORDER BY 1, 2
"""
_ONE_MONTH = """
  AND event.customer_id = %(customer_id)s AND event.billing_month = %(billing_month)s AND event.occurred_at < %(end_at)s
"""
_DIFFERENCES = """
WITH recount AS ({recount}), kept AS (SELECT * FROM {table} {kept_where})
SELECT {key}, {pairs}
FROM recount FULL JOIN kept ON {same}
WHERE kept.id IS NULL OR recount.customer_id IS NULL OR {unequal}
ORDER BY {order}
"""
_WITHDRAWN = """
SELECT withdrawn.customer_id, withdrawn.event_id,
       CASE WHEN event.event_id IS NULL THEN 'is withdrawn and there is no event'
            WHEN event.billing_month <> withdrawn.billing_month THEN 'is withdrawn from another month than bills it'
            WHEN withdrawn.cost_usd IS DISTINCT FROM coalesce(event.cost_usd, held.cost_usd)
            THEN 'is withdrawn at another cost than it has'
            WHEN held.status = 'open' THEN 'is withdrawn and waits for a price'
            ELSE 'its replacement is missing' END
FROM usage_withdrawnevent AS withdrawn
LEFT JOIN usage_event AS event
  ON event.customer_id = withdrawn.customer_id AND event.event_id = withdrawn.event_id
 AND event.occurred_at = withdrawn.occurred_at
LEFT JOIN usage_quarantinedevent AS held
  ON held.customer_id = withdrawn.customer_id AND held.event_id = withdrawn.event_id
LEFT JOIN usage_event_key AS replacement
  ON replacement.customer_id = withdrawn.customer_id AND replacement.event_id = withdrawn.replaced_by
WHERE event.event_id IS NULL OR event.billing_month <> withdrawn.billing_month
   OR withdrawn.cost_usd IS DISTINCT FROM coalesce(event.cost_usd, held.cost_usd) OR held.status = 'open'
   OR (withdrawn.replaced_by <> '' AND replacement.event_id IS NULL)
ORDER BY 1, 2
"""
_OVERLAPS = """
SELECT one.model_id, one.id, other.id FROM catalog_price AS one JOIN catalog_price AS other
  ON other.model_id = one.model_id AND other.id > one.id
 AND tstzrange(one.effective_from, one.effective_to) && tstzrange(other.effective_from, other.effective_to)
ORDER BY 1, 2, 3
"""


def _events_and_ids() -> CheckResult:
    """Every id belongs to exactly one event over all months, with the content that was hashed for it, and vice versa."""
    violations = (f"event {event!r} of customer {customer}: {what}" for customer, event, what in _rows(_EVENTS_AND_IDS))
    return _result("one_event_per_id", _count("usage_event_key"), violations)


def _every_event_has_one_fate() -> CheckResult:
    """Every event has a cost of its own or else one quarantine entry: open, priced or excluded."""
    violations = (f"event {event!r} of customer {customer}: {what}" for customer, event, what in _rows(_FATES))
    return _result("events_are_priced_or_quarantined", _count("usage_event"), violations)


def _withdrawn_events_counted() -> CheckResult:
    """What was taken back is an event that had counted for just that, and what stands in its place is stored."""
    violations = (f"event {event!r} of customer {customer}: {what}" for customer, event, what in _rows(_WITHDRAWN))
    return _result("withdrawn_events_had_counted", _count("usage_withdrawnevent"), violations)


def _sums_equal_a_recount(name: str, model: Sums) -> CheckResult:
    """Each row is exactly the sum of its events, late-priced ones included, and no event is missing in one."""
    return _result(name, _count(model._meta.db_table), sum_differences(model))


def recount_query(model: Sums, *, one_month: bool = False) -> str:
    """SELECT of what the rows of a table of sums should be, columns `KEY` and then `SUMMED`.

    With `one_month` it takes the parameters `customer_id`, `billing_month` and `end_at` (the end of that month).
    """
    key = ", ".join(model.KEY)
    sums = ", ".join(f"sum({name}) AS {name}" for name in SUMMED)
    where = _ONE_MONTH if one_month else ""
    return f"SELECT {key}, {sums} FROM ({COUNTED_EVENTS}{where}) AS effective GROUP BY {key}"  # noqa: S608 - no input in it


def sum_differences(model: Sums, params: Mapping[str, Any] | None = None) -> Iterator[str]:
    """A sentence for each row that is not what its events add up to; `params` as in `recount_query`, all rows if None."""
    query = _DIFFERENCES.format(
        recount=recount_query(model, one_month=params is not None),
        table=model._meta.db_table,
        kept_where=""
        if params is None
        else "WHERE customer_id = %(customer_id)s AND billing_month = %(billing_month)s",
        key=", ".join(f"coalesce(kept.{name}, recount.{name})" for name in model.KEY),
        pairs=", ".join(f"coalesce(kept.{name}, 0), coalesce(recount.{name}, 0)" for name in SUMMED),
        same=" AND ".join(_same(name) for name in model.KEY),
        unequal=" OR ".join(f"kept.{name} <> recount.{name}" for name in SUMMED),
        order=", ".join(str(place) for place, _ in enumerate(model.KEY, 1)),
    )
    for row in _rows(query, params):
        yield _sum_sentence(model, row)


def _same(name: str) -> str:
    # A full join wants comparisons that can be hashed, and null is a key as good as any other here.
    if name == "api_key_id":
        return "coalesce(kept.api_key_id, 0) = coalesce(recount.api_key_id, 0)"
    return f"kept.{name} = recount.{name}"


def _sum_sentence(model: Sums, row: tuple[Any, ...]) -> str:
    key = dict(zip(model.KEY, row, strict=False))
    sums = row[len(model.KEY) :]
    pairs = zip(SUMMED, sums[::2], sums[1::2], strict=True)
    wrong = [f"{name} {kept} instead of {counted}" for name, kept, counted in pairs if kept != counted]
    when = f"on {key['day']}" if "day" in key else f"at {key['hour_at'].astimezone(UTC):%Y-%m-%dT%H:%MZ}"
    app = f", app {key['app_id']}" if key["app_id"] else ""
    return f"rollup of customer {key['customer_id']} {when}, model {key['model_id']}{app}: {', '.join(wrong)}"


def _costs_follow_from_prices() -> CheckResult:
    """Each stored cost is what the stored quantities cost at the price row that the event names."""
    checked, violations = 0, []
    prices = _Prices()
    for event in _priced_events():
        checked += 1
        wrong = prices.what_is_wrong(event)
        if wrong:
            violations.append(f"event {event.event_id!r} of customer {event.customer_id}: {wrong}")
    return _result("costs_follow_from_prices", checked, iter(violations))


def _prices_do_not_overlap() -> CheckResult:
    """No model has two prices at one instant."""
    violations = (f"model {model}: prices {one} and {other} overlap" for model, one, other in _rows(_OVERLAPS))
    return _result("prices_do_not_overlap", _count("catalog_price"), violations)


def _priced_events() -> Iterator[UsageEvent]:
    """Every event with its effective price, streamed: its own, or the one that was decided in quarantine."""
    yield from UsageEvent.objects.filter(price_id__isnull=False).defer("usage").iterator(chunk_size=5000)
    rated = QuarantinedEvent.objects.filter(status=QuarantinedEvent.Status.RATED)
    for held in rated.iterator(chunk_size=5000):
        # The key of the event table: one partition, one index look-up.
        event = UsageEvent.objects.filter(
            customer_id=held.customer_id, occurred_at=held.occurred_at, event_id=held.event_id
        ).first()
        if event is not None:  # a missing one is another check's finding
            event.model_id, event.price_id, event.cost_usd = held.model_id, held.price_id, held.cost_usd
            yield event


class _Prices:
    """Price rows as they are now, parsed once each."""

    def __init__(self) -> None:
        self._rows = {price.pk: price for price in Price.objects.all()}
        self._sheets: dict[int, PriceSheet] = {}

    def what_is_wrong(self, event: UsageEvent) -> str:
        """One clause, or "" where the event's cost is right."""
        price = self._rows.get(event.price_id) if event.price_id is not None else None
        if price is None:
            return f"price {event.price_id} does not exist"
        if price.model_id != event.model_id:
            return f"price {price.pk} belongs to model {price.model_id}, not {event.model_id}"
        # The end is not compared: a price that is ended afterwards changes no past cost.
        if price.effective_from > event.occurred_at:
            return f"price {price.pk} begins after it"
        try:
            cost = self._sheet(price).cost(event.quantities, at=event.occurred_at)
        except PriceError as error:
            return f"price {price.pk} can't be read: {error}"
        cost_usd = ZERO if Flag.ZERO_COMPLETION in event.flags else cost.total_usd
        if cost_usd != event.cost_usd:
            return f"costs {cost_usd} at price {price.pk}, {event.cost_usd} is stored"
        return ""

    def _sheet(self, price: Price) -> PriceSheet:
        sheet = self._sheets.get(price.pk)
        if sheet is None:
            sheet = self._sheets[price.pk] = PriceSheet.parse(price.components, price.overrides)
        return sheet


def _result(name: str, checked: int, violations: Iterator[str]) -> CheckResult:
    listed: list[str] = []
    unlisted = 0
    for violation in violations:
        if len(listed) < MAX_LISTED:
            listed.append(violation)
        else:
            unlisted += 1
    return CheckResult(name, checked, listed, unlisted)


def _rows(query: str, params: Mapping[str, Any] | None = None) -> Iterator[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, params)
        yield from cursor.fetchall()


def _count(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")  # noqa: S608 - a constant of this file
        return int(cursor.fetchone()[0])
