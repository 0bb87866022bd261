"""Our costs beside the upstream's charges, generation by generation.

The charge of an event is what a statement says of its id (its own, the one under which the upstream knows it, or that of
the event it replaced), otherwise what the response itself said. Drift is charge minus cost: above zero it eats the margin.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection

from accounts.models import Customer
from catalog.models import Model
from catalog.money import EXACT, ZERO, decimal_text
from catalog.selectors import load_catalog

#: Costs this close (USD) are equal: upstreams state their amounts as binary doubles, whose noise lies far below it.
TOLERANCE_USD = Decimal("0.000000001")
#: A statement's row is looked for among events so long before and after: clocks differ, and long answers take their time.
MARGIN = timedelta(days=1)

_COMPARED = """
WITH named AS (
    SELECT charge.cost_usd, alias.customer_id, coalesce(alias.event_id, charge.upstream_id) AS event_id
    FROM usage_upstreamcharge AS charge LEFT JOIN usage_event_alias AS alias ON alias.upstream_id = charge.upstream_id
    WHERE charge.charged_at >= %(start_at)s - %(margin)s AND charge.charged_at < %(end_at)s + %(margin)s
), compared AS (
    SELECT event.customer_id, event.event_id, event.occurred_at, event.served_model,
           (event.occurred_at AT TIME ZONE 'Asia/Seoul')::date AS day,
           coalesce(held.model_id, event.model_id) AS model_id,
           coalesce(held.cost_usd, event.cost_usd) AS cost,
           coalesce(named.cost_usd, event.upstream_cost_usd) AS charged,
           named.cost_usd - event.upstream_cost_usd AS restated,
           'estimated' = ANY (event.flags) AS is_estimated,
           event.dialect = 'openrouter' AND named.cost_usd IS NULL AND 'estimated' <> ALL (event.flags)
               AND EXISTS (SELECT FROM usage_upstreamstatement AS statement WHERE statement.kind = 'generations'
                              AND event.occurred_at BETWEEN statement.first_at AND statement.last_at) AS is_missing_there
    FROM usage_event AS event
    LEFT JOIN usage_quarantinedevent AS held ON event.price_id IS NULL AND held.customer_id = event.customer_id
         AND held.event_id = event.event_id
    LEFT JOIN named ON named.event_id = regexp_replace(event.event_id, '~[0-9]{1,6}$', '')
         AND coalesce(named.customer_id, event.customer_id) = event.customer_id
    WHERE event.occurred_at >= %(start_at)s AND event.occurred_at < %(end_at)s
      AND (%(customer)s::bigint IS NULL OR event.customer_id = %(customer)s)
      AND held.status IS DISTINCT FROM 'excluded'
      AND NOT EXISTS (SELECT FROM usage_withdrawnevent AS withdrawn
                      WHERE withdrawn.customer_id = event.customer_id AND withdrawn.event_id = event.event_id)
)
"""
_BY_MODEL = f"""{_COMPARED}
SELECT day, model_id, CASE WHEN model_id IS NULL THEN served_model ELSE '' END AS name, count(*) AS events,
       count(*) FILTER (WHERE is_pair AND abs(charged - cost) <= %(tolerance)s) AS matched,
       count(*) FILTER (WHERE is_pair AND abs(charged - cost) > %(tolerance)s) AS drifted,
       coalesce(sum(charged - cost) FILTER (WHERE is_pair AND abs(charged - cost) > %(tolerance)s), 0) AS drift_usd,
       coalesce(sum(cost) FILTER (WHERE is_pair), 0) AS cost_usd,
       coalesce(sum(charged) FILTER (WHERE is_pair), 0) AS charged_usd,
       count(*) FILTER (WHERE NOT is_estimated AND cost IS NOT NULL AND charged IS NULL) AS uncharged,
       count(*) FILTER (WHERE NOT is_estimated AND cost IS NULL) AS unpriced,
       count(*) FILTER (WHERE is_estimated) AS estimated,
       count(*) FILTER (WHERE is_missing_there) AS missing_there,
       count(*) FILTER (WHERE abs(restated) > %(tolerance)s) AS restated
FROM (SELECT *, NOT is_estimated AND cost IS NOT NULL AND charged IS NOT NULL AS is_pair FROM compared) AS paired
GROUP BY 1, 2, 3
"""  # noqa: S608 - made of constants of this file
_FINDINGS = f"""{_COMPARED}
SELECT compared.event_id, customer.slug, compared.occurred_at, coalesce(model.model_id, compared.served_model),
       compared.cost, compared.charged, abs(charged - cost) > %(tolerance)s, compared.is_missing_there
FROM compared JOIN accounts_customer AS customer ON customer.id = compared.customer_id
LEFT JOIN catalog_model AS model ON model.id = compared.model_id
WHERE NOT is_estimated AND (abs(charged - cost) > %(tolerance)s OR is_missing_there)
ORDER BY abs(charged - cost) DESC NULLS LAST, compared.occurred_at, compared.event_id
LIMIT %(limit)s
"""  # noqa: S608 - made of constants of this file
# Whatever was decided about an event later: while it is there, the charge is not missing here.
_MISSING_HERE = """
FROM usage_upstreamcharge AS charge
LEFT JOIN usage_event_alias AS alias ON alias.upstream_id = charge.upstream_id
LEFT JOIN usage_event AS event ON event.event_id = coalesce(alias.event_id, charge.upstream_id)
     AND coalesce(alias.customer_id, event.customer_id) = event.customer_id
     AND event.occurred_at >= %(start_at)s - %(margin)s AND event.occurred_at < %(end_at)s + %(margin)s
WHERE charge.charged_at >= %(start_at)s AND charge.charged_at < %(end_at)s AND event.event_id IS NULL
"""
_MISSING_BY_MODEL = (
    "SELECT (charge.charged_at AT TIME ZONE 'Asia/Seoul')::date, charge.model_name, count(*), sum(charge.cost_usd)"
    + _MISSING_HERE
    + "GROUP BY 1, 2"
)
_MISSING_LIST = (
    "SELECT charge.upstream_id, charge.charged_at, charge.model_name, charge.cost_usd"
    + _MISSING_HERE
    + "ORDER BY charge.cost_usd DESC, charge.upstream_id LIMIT %(limit)s"
)


@dataclass(slots=True)
class ModelReconciliation:
    """One model on one Korean day. `cost_usd` and `charged_usd` are of the events that have both, matched or drifted.

    `uncharged` events have no known charge, `unpriced` ones no cost yet; `estimated` ones are compared with nothing.
    `missing_there` are in no statement that covers their time, `missing_here` in a statement and nowhere here (of
    `missing_here_usd`). `restated`: the statement says another charge than the response did.
    """

    day: date
    model_id: str
    events: int = 0
    matched: int = 0
    drifted: int = 0
    drift_usd: Decimal = ZERO
    cost_usd: Decimal = ZERO
    charged_usd: Decimal = ZERO
    uncharged: int = 0
    unpriced: int = 0
    estimated: int = 0
    missing_there: int = 0
    restated: int = 0
    missing_here: int = 0
    missing_here_usd: Decimal = ZERO

    def add(self, other: ModelReconciliation) -> None:
        """Take in the figures of another row, exactly."""
        for name in FIGURES:
            mine, theirs = getattr(self, name), getattr(other, name)
            setattr(self, name, EXACT.add(mine, theirs) if isinstance(mine, Decimal) else mine + theirs)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: counts as numbers, USD as plain decimal text."""
        shown = {name: getattr(self, name) for name in FIGURES}
        return {
            "day": self.day.isoformat(),
            "model": self.model_id,
            **{name: decimal_text(value) if isinstance(value, Decimal) else value for name, value in shown.items()},
        }


#: What adds up over models and days.
FIGURES = tuple(field.name for field in fields(ModelReconciliation) if field.name not in {"day", "model_id"})


@dataclass(frozen=True)
class Finding:
    """What does not agree about one generation: `kind` is drift, missing_there or missing_here."""

    kind: str
    generation_id: str
    customer: str
    at: datetime
    model_id: str
    cost_usd: Decimal | None
    charged_usd: Decimal | None

    @property
    def drift_usd(self) -> Decimal | None:
        """Charge minus cost, where there are both."""
        if self.cost_usd is None or self.charged_usd is None:
            return None
        return EXACT.subtract(self.charged_usd, self.cost_usd)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        amounts = {"cost_usd": self.cost_usd, "charged_usd": self.charged_usd, "drift_usd": self.drift_usd}
        return {
            "kind": self.kind,
            "id": self.generation_id,
            "customer": self.customer,
            "at": self.at.isoformat(),
            "model": self.model_id,
            **{name: None if value is None else decimal_text(value) for name, value in amounts.items()},
        }


def reconciliation(
    start_at: datetime, end_at: datetime, *, customer: Customer | None = None
) -> list[ModelReconciliation]:
    """What happened in `[start_at, end_at)` by Korean day and model, days ascending, each model once a day.

    One pass over the events of that time. Of one customer nothing can be missing here: a statement names no customers.
    """
    rows: dict[tuple[date, str], ModelReconciliation] = {}
    asked = _parameters(start_at, end_at, customer)
    with connection.cursor() as cursor:
        cursor.execute(_BY_MODEL, asked)
        columns = [column.name for column in cursor.description]
        found = [dict(zip(columns, values, strict=True)) for values in cursor.fetchall()]
        missing = []
        if customer is None:
            cursor.execute(_MISSING_BY_MODEL, asked)
            missing = cursor.fetchall()
    names = dict(Model.objects.filter(pk__in={row["model_id"] for row in found}).values_list("pk", "model_id"))
    for row in found:
        pk, name = row.pop("model_id"), row.pop("name")
        _take(rows, ModelReconciliation(model_id=names.get(pk) or name, **row))
    known_as = _model_ids({name for _, name, _, _ in missing}, at=start_at)
    for day, name, count, usd in missing:
        _take(
            rows,
            ModelReconciliation(day=day, model_id=known_as.get(name) or name, missing_here=count, missing_here_usd=usd),
        )
    return [rows[key] for key in sorted(rows)]


def findings(
    start_at: datetime, end_at: datetime, *, customer: Customer | None = None, limit: int = 100
) -> list[Finding]:
    """The generations that do not agree, the largest amounts first: at most `limit` that are here, and as many that are
    not.
    """
    asked = _parameters(start_at, end_at, customer) | {"limit": limit}
    with connection.cursor() as cursor:
        cursor.execute(_FINDINGS, asked)
        here = [
            Finding(kind, event_id, slug, at, model, cost, charged)
            for event_id, slug, at, model, cost, charged, has_drifted, is_missing in cursor.fetchall()
            for kind, applies in (("drift", has_drifted), ("missing_there", is_missing))
            if applies
        ]
        if customer is not None:
            return here
        cursor.execute(_MISSING_LIST, asked)
        return here + [
            Finding("missing_here", upstream_id, "", at, model, None, charged)
            for upstream_id, at, model, charged in cursor.fetchall()
        ]


def totals(rows: Iterable[ModelReconciliation], *, day: date) -> ModelReconciliation:
    """The sum of these rows, exactly, under a day of the caller's choice and no model."""
    total = ModelReconciliation(day=day, model_id="")
    for row in rows:
        total.add(row)
    return total


def _take(rows: dict[tuple[date, str], ModelReconciliation], row: ModelReconciliation) -> None:
    kept = rows.setdefault((row.day, row.model_id), ModelReconciliation(day=row.day, model_id=row.model_id))
    kept.add(row)


def _model_ids(names: set[str], *, at: datetime) -> dict[str, str]:
    """The catalog's ids of models that a statement calls by any of their names."""
    if not names:
        return {}
    catalog = load_catalog()
    priced = {name: catalog.lookup(name, at=at) for name in names}
    return {name: model.model_id for name, model in priced.items() if model is not None}


def _parameters(start_at: datetime, end_at: datetime, customer: Customer | None) -> dict[str, Any]:
    return {
        "start_at": start_at,
        "end_at": end_at,
        "margin": MARGIN,
        "tolerance": TOLERANCE_USD,
        "customer": None if customer is None else customer.pk,
    }
