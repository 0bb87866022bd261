"""Where estimates and real events meet."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date

from django.db import connection
from django.db.models import QuerySet

from accounts.models import Customer
from usage.models import ActivityEstimate

_DAY = """event.occurred_at >= {row}.day::timestamp AT TIME ZONE 'UTC'
      AND event.occurred_at < ({row}.day + 1)::timestamp AT TIME ZONE 'UTC'"""
_IS_ESTIMATE = """EXISTS (SELECT FROM usage_activityestimate AS own WHERE own.customer_id = event.customer_id
      AND own.day = (event.occurred_at AT TIME ZONE 'UTC')::date AND event.event_id = ANY (own.event_ids))"""
_DAYS_WITH_EVENTS = f"""
SELECT DISTINCT (event.occurred_at AT TIME ZONE 'UTC')::date, event.model_id, event.served_model
FROM usage_event AS event
WHERE event.customer_id = %s AND event.occurred_at >= %s::date::timestamp AT TIME ZONE 'UTC'
  AND event.occurred_at < (%s::date + 1)::timestamp AT TIME ZONE 'UTC' AND NOT {_IS_ESTIMATE}
"""  # noqa: S608 - made of constants of this file
_OVERLAPPING = f"""
SELECT estimate.id,
       EXISTS (SELECT FROM usage_event AS event WHERE event.customer_id = estimate.customer_id
                  AND event.event_id = ANY (estimate.event_ids) AND {_DAY.format(row="estimate")}
                  AND NOT EXISTS (SELECT FROM usage_billingperiod AS period WHERE period.customer_id = event.customer_id
                                  AND period.month = event.billing_month AND period.status = 'closed')
                  AND NOT EXISTS (SELECT FROM usage_withdrawnevent AS withdrawn
                                  WHERE withdrawn.customer_id = event.customer_id
                                    AND withdrawn.event_id = event.event_id))
FROM usage_activityestimate AS estimate
WHERE estimate.withdrawn_at IS NULL AND (%(customers)s::bigint[] IS NULL OR estimate.customer_id = ANY (%(customers)s))
  AND EXISTS (SELECT FROM usage_event AS event WHERE event.customer_id = estimate.customer_id
                 AND {_DAY.format(row="estimate")}
                 AND (event.model_id = estimate.model_id
                      OR event.served_model IN (estimate.permaslug, estimate.model_name))
                 AND NOT {_IS_ESTIMATE})
ORDER BY estimate.customer_id, estimate.id
"""  # noqa: S608 - made of constants of this file


@dataclass(frozen=True)
class CoveredDays:
    """Which models a customer has real events of, by UTC day."""

    models: frozenset[tuple[date, int]]
    names: frozenset[tuple[date, str]]

    def has(self, day: date, model_pk: int | None, names: Iterable[str]) -> bool:
        """Whether there is an event of that day and model, known by its row or by one of its names."""
        return (model_pk is not None and (day, model_pk) in self.models) or any(
            (day, name) in self.names for name in names
        )


def days_with_events(customer: Customer, first: date, last: date) -> CoveredDays:
    """The UTC days and models of which the customer has events that are no estimates."""
    with connection.cursor() as cursor:
        cursor.execute(_DAYS_WITH_EVENTS, [customer.pk, first, last])
        rows = cursor.fetchall()
    return CoveredDays(
        frozenset((day, model_pk) for day, model_pk, _ in rows if model_pk is not None),
        frozenset((day, name) for day, _, name in rows),
    )


def withdrawable_estimates(customer_ids: Collection[int] | None) -> list[int]:
    """Estimates (of these customers, or of all) beside which real events have arrived and that an open month bills."""
    return [pk for pk, is_open in _overlapping(customer_ids) if is_open]


def overlapping_estimates(customer: Customer | None = None) -> QuerySet[ActivityEstimate]:
    """Estimates beside which real events have arrived after they were invoiced: a credit note has to correct them."""
    ids = None if customer is None else [customer.pk]
    billed = [pk for pk, is_open in _overlapping(ids) if not is_open]
    return ActivityEstimate.objects.filter(pk__in=billed).select_related("customer")


def _overlapping(customer_ids: Collection[int] | None) -> list[tuple[int, bool]]:
    with connection.cursor() as cursor:
        cursor.execute(_OVERLAPPING, {"customers": None if customer_ids is None else list(customer_ids)})
        return list(cursor.fetchall())
