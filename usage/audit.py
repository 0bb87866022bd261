"""Recounting what was stored: events against their ids, against the rollups, and against the prices they carry.

Reads only. `check_usage` belongs to DESIGN section 6, items 1 to 3; it finds what constraints and triggers can't hold
because it lies across tables and partitions, or what was damaged behind the database's back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from itertools import chain, islice
from typing import Any

from django.db import connection

from catalog.models import Price
from catalog.money import ZERO
from catalog.pricing import PriceError, PriceSheet
from usage.dialects import Flag
from usage.models import QuarantinedEvent, UsageEvent, UsageHour, UsageRollup
from usage.models.counted import COUNTED_EVENTS
from usage.models.rollups import SUMMED

#: A number for one event's id, time and content, that adds up over events; `row` is the alias of an event or of its key.
EVENT_DIGEST = (
    "('x' || left(md5({row}.customer_id || ' ' || {row}.event_id || ' ' || encode({row}.body_hash, 'hex') || ' '"
    " || extract(epoch FROM {row}.occurred_at)), 16))::bit(64)::bigint::numeric"
)

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
        _archives_stand_for_their_events(),
        _estimates_have_their_events(),
        _sums_equal_a_recount("rollups_equal_a_recount", UsageRollup),
        _sums_equal_a_recount("hours_equal_a_recount", UsageHour),
        _costs_follow_from_prices(),
        _prices_do_not_overlap(),
    ]


# Whether a row's event stands in files; {column} is the instant at which it happened.
_ARCHIVED = """EXISTS (SELECT FROM usage_usagearchive AS archive WHERE archive.status = 'archived'
    AND archive.start_at <= {column} AND {column} < archive.end_at)"""
# The smallest of hashes is taken of their hexadecimal text: before PostgreSQL 18 there is no min(bytea).
_EVENTS_AND_IDS = f"""
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
WHERE (stored.event_id IS NULL AND NOT {_ARCHIVED.format(column="claimed.occurred_at")})
   OR claimed.event_id IS NULL OR stored.events > 1
   OR stored.body_hash <> claimed.body_hash OR stored.occurred_at <> claimed.occurred_at
ORDER BY 1, 2
"""  # noqa: S608 - made of constants of this file
_FATES = f"""
SELECT customer_id, event_id,
       CASE WHEN event.event_id IS NULL THEN 'is quarantined and there is no event'
            WHEN held.event_id IS NULL THEN 'has neither a cost nor a quarantine entry'
            WHEN event.price_id IS NOT NULL THEN 'has a cost and is quarantined as well'
            ELSE 'its quarantine entry names another time or month' END
FROM usage_event AS event FULL JOIN usage_quarantinedevent AS held USING (customer_id, event_id)
WHERE (event.event_id IS NULL AND NOT {_ARCHIVED.format(column="held.occurred_at")})
   OR (event.event_id IS NOT NULL AND (event.price_id IS NULL) <> (held.event_id IS NOT NULL))
   OR held.occurred_at <> event.occurred_at OR held.billing_month <> event.billing_month
ORDER BY 1, 2
"""  # noqa: S608 - made of constants of this file
_ONE_MONTH = " AND event.customer_id = %(customer_id)s AND event.billing_month = %(billing_month)s"
_BEFORE = " AND event.occurred_at < %(end_at)s"
_SINCE = " AND event.occurred_at >= %(start_at)s"
_DIFFERENCES = """
WITH recount AS ({recount}), kept AS (SELECT * FROM {table} {kept_where})
SELECT {key}, {pairs}
FROM recount FULL JOIN kept ON {same}
WHERE kept.id IS NULL OR recount.customer_id IS NULL OR {unequal}
ORDER BY {order}
"""
_WITHDRAWN = f"""
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
WHERE (event.event_id IS NULL AND NOT {_ARCHIVED.format(column="withdrawn.occurred_at")})
   OR event.billing_month <> withdrawn.billing_month OR held.status = 'open'
   OR (event.event_id IS NOT NULL
       AND withdrawn.cost_usd IS DISTINCT FROM coalesce(event.cost_usd, held.cost_usd))
   OR (withdrawn.replaced_by <> '' AND replacement.event_id IS NULL)
ORDER BY 1, 2
"""  # noqa: S608 - made of constants of this file
# What is left of a month's ids and decisions without the events that are here (they came late) is what was archived.
_ESTIMATES = """
SELECT estimate.customer_id, estimate.day, estimate.permaslug,
       CASE WHEN stored.events <> cardinality(estimate.event_ids) THEN stored.events || ' of its '
            || cardinality(estimate.event_ids) || ' events are stored' ELSE 'it was taken back and still counts' END
FROM usage_activityestimate AS estimate CROSS JOIN LATERAL (
    SELECT count(*) AS events, count(*) FILTER (
        WHERE NOT EXISTS (SELECT FROM usage_withdrawnevent AS withdrawn
                          WHERE withdrawn.customer_id = claimed.customer_id AND withdrawn.event_id = claimed.event_id)
          AND NOT EXISTS (SELECT FROM usage_quarantinedevent AS held
                          WHERE held.customer_id = claimed.customer_id AND held.event_id = claimed.event_id
                            AND held.status = 'excluded')) AS counting
    FROM usage_event_key AS claimed
    WHERE claimed.customer_id = estimate.customer_id AND claimed.event_id = ANY (estimate.event_ids)) AS stored
WHERE stored.events <> cardinality(estimate.event_ids) OR (estimate.withdrawn_at IS NOT NULL AND stored.counting > 0)
ORDER BY 1, 2, 3
"""
_ARCHIVES = f"""
WITH ids AS (
    SELECT archive.id, count(*) AS events, sum({EVENT_DIGEST.format(row="claimed")}) AS digest
    FROM usage_usagearchive AS archive JOIN usage_event_key AS claimed
      ON claimed.occurred_at >= archive.start_at AND claimed.occurred_at < archive.end_at
    WHERE archive.status = 'archived' GROUP BY archive.id
), late AS (
    SELECT archive.id, count(*) AS events, sum({EVENT_DIGEST.format(row="event")}) AS digest,
           count(*) FILTER (WHERE event.price_id IS NULL) AS unpriced
    FROM usage_usagearchive AS archive JOIN usage_event AS event
      ON event.occurred_at >= archive.start_at AND event.occurred_at < archive.end_at
    WHERE archive.status = 'archived' GROUP BY archive.id
), held AS (
    SELECT archive.id, count(*) AS unpriced
    FROM usage_usagearchive AS archive JOIN usage_quarantinedevent AS held
      ON held.occurred_at >= archive.start_at AND held.occurred_at < archive.end_at
    WHERE archive.status = 'archived' GROUP BY archive.id
), stated AS (
    SELECT archive.id, count(*) FILTER (WHERE (customer.value #>> '{{sums,cost_usd}}')::numeric
               IS DISTINCT FROM found.cost_usd OR (customer.value #>> '{{sums,requests}}')::bigint
               IS DISTINCT FROM found.requests) AS wrong
    FROM usage_usagearchive AS archive CROSS JOIN LATERAL jsonb_each(archive.manifest -> 'customers') AS customer
    LEFT JOIN (SELECT archive_id, customer_id, sum(requests) AS requests, sum(cost_usd) AS cost_usd
               FROM usage_archived_sum GROUP BY 1, 2) AS found
      ON found.archive_id = archive.id AND found.customer_id = customer.key::bigint
    WHERE archive.status = 'archived' GROUP BY archive.id
)
SELECT to_char(archive.month, 'YYYY-MM'), archive.events, coalesce(ids.events, 0) - coalesce(late.events, 0),
       coalesce(ids.digest, 0) - coalesce(late.digest, 0) = archive.digest,
       coalesce(held.unpriced, 0) - coalesce(late.unpriced, 0) = archive.unpriced_events, coalesce(stated.wrong, 0)
FROM usage_usagearchive AS archive LEFT JOIN ids USING (id) LEFT JOIN late USING (id) LEFT JOIN held USING (id)
LEFT JOIN stated USING (id)
WHERE archive.status = 'archived' ORDER BY 1
"""  # noqa: S608 - made of constants of this file
_ARCHIVED_SUMS = """
UNION ALL SELECT {key}, {sums} FROM usage_archived_sum AS event JOIN usage_usagearchive AS archive
  ON archive.id = event.archive_id AND archive.status = 'archived'
WHERE true"""
# Hours are not kept twice: those of an archived month are held against its days.
_HOURS_OF_ARCHIVES = f"""
WITH hours AS (
    SELECT customer_id, billing_month, (hour_at AT TIME ZONE 'Asia/Seoul')::date AS day, api_key_id, model_id, app_id,
           {{sums}} FROM usage_usagehour WHERE {_ARCHIVED.format(column="hour_at")} GROUP BY 1, 2, 3, 4, 5, 6
), days AS (
    SELECT customer_id, billing_month, day, api_key_id, model_id, app_id, {{sums}} FROM usage_usagerollup
    WHERE {_ARCHIVED.format(column="(day::timestamp AT TIME ZONE 'Asia/Seoul')")} GROUP BY 1, 2, 3, 4, 5, 6
)
SELECT coalesce(days.customer_id, hours.customer_id), coalesce(days.day, hours.day),
       coalesce(days.model_id, hours.model_id)
FROM days FULL JOIN hours
  ON hours.customer_id = days.customer_id AND hours.billing_month = days.billing_month AND hours.day = days.day
 AND coalesce(hours.api_key_id, 0) = coalesce(days.api_key_id, 0) AND hours.model_id = days.model_id
 AND hours.app_id = days.app_id
WHERE days.customer_id IS NULL OR hours.customer_id IS NULL OR {{unequal}}
ORDER BY 1, 2, 3
"""  # noqa: S608 - made of constants of this file
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


def _estimates_have_their_events() -> CheckResult:
    """Each metered row of an activity list has its events, and those of a row that was taken back count no longer."""
    violations = (
        f"estimate of customer {customer} on {day}, {model}: {what}" for customer, day, model, what in _rows(_ESTIMATES)
    )
    return _result("estimates_have_their_events", _count("usage_activityestimate"), violations)


def _archives_stand_for_their_events() -> CheckResult:
    """Of each archived month the ids, the decisions and the sums are still those of the events in its files."""
    violations = []
    for month, events, left, same_ids, same_decisions, wrong_sums in _rows(_ARCHIVES):
        if events != left:
            violations.append(f"archive of {month}: {left} ids for {events} events")
        elif not same_ids:
            violations.append(f"archive of {month}: its ids are not those of its events")
        if not same_decisions:
            violations.append(f"archive of {month}: a decision about one of its events is missing or too many")
        if wrong_sums:
            violations.append(f"archive of {month}: sums of {wrong_sums} customers differ from the manifest")
    return _result("archives_stand_for_their_events", _count("usage_usagearchive"), iter(violations))


def _sums_equal_a_recount(name: str, model: Sums) -> CheckResult:
    """Each row is exactly the sum of its events, late-priced ones included, and no event is missing in one."""
    violations = sum_differences(model)
    if model is UsageHour:
        violations = chain(violations, _hours_beside_their_days())
    return _result(name, _count(model._meta.db_table), violations)


def _hours_beside_their_days() -> Iterator[str]:
    query = _HOURS_OF_ARCHIVES.format(
        sums=", ".join(f"sum({name}) AS {name}" for name in SUMMED),
        unequal=" OR ".join(f"hours.{name} <> days.{name}" for name in SUMMED),
    )
    for customer_id, day, model_id in _rows(query):
        yield f"hours of customer {customer_id} on {day}, model {model_id}: add up to something else than the day"


def recount_query(model: Sums, *, one_month: bool = False, between: bool = False) -> str:
    """SELECT of what the rows of a table of sums should be, columns `KEY` and then `SUMS`.

    With `one_month` it takes the parameters `customer_id`, `billing_month` and `end_at` (the end of that month), with
    `between` it is about events from `start_at` to `end_at` alone. Otherwise it counts what is archived, by days only.
    """
    key = ", ".join(model.KEY)
    sums = ", ".join(f"sum({name}) AS {name}" for name in model.SUMS)
    where = (_ONE_MONTH if one_month else "") + (_BEFORE if one_month or between else "") + (_SINCE if between else "")
    found = f"SELECT {key}, {', '.join(model.SUMS)} FROM ({COUNTED_EVENTS}{where}) AS counted"  # noqa: S608 - no input in it
    if model is UsageRollup and not between:
        found += _ARCHIVED_SUMS.format(
            key=", ".join(f"event.{name}" for name in model.KEY), sums=", ".join(f"event.{name}" for name in model.SUMS)
        ) + (_ONE_MONTH if one_month else "")
    elif model is UsageHour:
        found += " WHERE NOT " + _ARCHIVED.format(column="hour_at")
    return f"SELECT {key}, {sums} FROM ({found}) AS effective GROUP BY {key}"  # noqa: S608 - no input in it


def sum_differences(model: Sums, params: Mapping[str, Any] | None = None) -> Iterator[str]:
    """A sentence for each row that is not what its events add up to; `params` as in `recount_query`, all rows if None."""
    kept_where = ["NOT " + _ARCHIVED.format(column="hour_at")] if model is UsageHour else []
    if params is not None:
        kept_where.append("customer_id = %(customer_id)s AND billing_month = %(billing_month)s")
    query = _DIFFERENCES.format(
        recount=recount_query(model, one_month=params is not None),
        table=model._meta.db_table,
        kept_where="WHERE " + " AND ".join(kept_where) if kept_where else "",
        key=", ".join(f"coalesce(kept.{name}, recount.{name})" for name in model.KEY),
        pairs=", ".join(f"coalesce(kept.{name}, 0), coalesce(recount.{name}, 0)" for name in model.SUMS),
        same=" AND ".join(_same(name) for name in model.KEY),
        unequal=" OR ".join(f"kept.{name} <> recount.{name}" for name in model.SUMS),
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
    pairs = zip(model.SUMS, sums[::2], sums[1::2], strict=True)
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
    rated = QuarantinedEvent.objects.filter(status=QuarantinedEvent.Status.RATED).iterator(chunk_size=5000)
    while chunk := list(islice(rated, 5000)):
        events = UsageEvent.by_key((held.customer_id, held.occurred_at, held.event_id) for held in chunk)
        for held in chunk:
            event = events.get((held.customer_id, held.event_id))
            if event is not None:  # a missing one is another check's finding, or archived
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
