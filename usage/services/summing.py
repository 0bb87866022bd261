"""Adding priced events to the sums that are kept of them: by KST day and by UTC hour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from catalog.money import ZERO, exact_sum
from catalog.pricing import Quantities
from usage.models.rollups import BASES, UsageHour, UsageRollup
from usage.periods import KST
from usage.services.rating import Rating
from usage.services.resolving import Payer

#: Customer, billing month, hour (UTC), key, model, price, app: the finest of what the two tables are made of.
_Key = tuple[int, date, datetime, int | None, int, int, int]
_Sums = tuple[Any, ...]  # as `UsageRollup.SUMS`; hours have no bases

_TYPES = {
    "billing_month": "date",
    "day": "date",
    "hour_at": "timestamptz",
    "cost_usd": "numeric",
    "upstream_cost_usd": "numeric",
    "upstream_basis_usd": "numeric",
    "higher_basis_usd": "numeric",
}
_ADD = """
INSERT INTO {table} AS kept ({columns}) SELECT * FROM unnest({arrays})
ON CONFLICT ({key}) DO UPDATE SET {added}
"""


def _adding(model: type[UsageRollup | UsageHour]) -> str:
    columns = (*model.KEY, *model.SUMS)
    return _ADD.format(
        table=model._meta.db_table,
        columns=", ".join(columns),
        arrays=", ".join(f"%s::{_TYPES.get(name, 'bigint')}[]" for name in columns),
        key=", ".join(model.KEY),
        added=", ".join(f"{name} = kept.{name} + EXCLUDED.{name}" for name in model.SUMS),
    )


_ADD_TO_BOTH = ";".join((_adding(UsageRollup), _adding(UsageHour)))


@dataclass(slots=True)
class RollupDeltas:
    """What priced events add to `UsageRollup` and `UsageHour`."""

    _events: dict[_Key, list[_Sums]] = field(default_factory=dict)

    def add(
        self,
        payer: Payer,
        billing_month: date,
        occurred_at: datetime,
        rating: Rating,
        quantities: Quantities,
        upstream_cost_usd: Decimal | None,
        app_id: int,
    ) -> None:
        """Add one priced event; `app_id` is 0 where it names no app."""
        assert rating.model_pk is not None
        assert rating.price_pk is not None
        assert rating.cost_usd is not None
        hour_at = occurred_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        key = (payer.customer_id, billing_month, hour_at, payer.api_key_id, rating.model_pk, rating.price_pk, app_id)
        counts = quantities
        of_event = (
            1,
            counts.prompt,
            counts.completion,
            counts.cache_read,
            counts.cache_write,
            counts.cache_write_1h,
            counts.reasoning,
            counts.audio_input,
            counts.audio_output,
            counts.image_output,
            counts.images,
            counts.web_searches,
            rating.cost_usd,
            ZERO if upstream_cost_usd is None else upstream_cost_usd,
            rating.cost_usd if upstream_cost_usd is None else upstream_cost_usd,
            rating.cost_usd if upstream_cost_usd is None else max(rating.cost_usd, upstream_cost_usd),
        )
        events = self._events.get(key)
        if events is None:
            self._events[key] = [of_event]
        else:
            events.append(of_event)

    def negated(self) -> RollupDeltas:
        """The same to be taken out of the rollups again."""
        return RollupDeltas(
            {
                key: [(*(-count for count in one[:12]), *(usd.copy_negate() for usd in one[12:])) for one in events]
                for key, events in self._events.items()
            }
        )

    def write(self) -> None:
        """Add the sums to the stored rows, inside the transaction that stores the events.

        Rows are touched in one fixed order, days before hours, so that two writers never wait for each other in a circle.
        """
        if not self._events:
            return
        days: dict[tuple[Any, ...], list[_Sums]] = {}
        hours: dict[tuple[Any, ...], list[_Sums]] = {}
        for (
            customer_id,
            billing_month,
            hour_at,
            api_key_id,
            model_pk,
            price_pk,
            app_id,
        ), events in self._events.items():
            sums = _added_up(events)
            # Korea is whole hours from UTC, so an hour lies in one day.
            day = hour_at.astimezone(KST).date()
            days.setdefault((customer_id, billing_month, day, api_key_id, model_pk, price_pk, app_id), []).append(sums)
            hour = (customer_id, hour_at, billing_month, api_key_id, model_pk, app_id)
            hours.setdefault(hour, []).append(sums[: -len(BASES)])
        with connection.cursor() as cursor:
            # One message to the server, two statements.
            cursor.execute(_ADD_TO_BOTH, [*_columns(days), *_columns(hours)])


def _added_up(parts: Sequence[_Sums]) -> _Sums:
    if len(parts) == 1:
        return parts[0]
    columns = list(zip(*parts, strict=True))
    return *map(sum, columns[:12]), *map(exact_sum, columns[12:])


def _columns(rows: Mapping[tuple[Any, ...], Sequence[_Sums]]) -> list[str]:
    """The rows as one array a column, in the order of their keys; no key at all (None) comes first.

    Arrays go as their texts, which have no need of quotes here: a tenth of what lists cost.
    """
    try:
        ordered = sorted(rows)
    except TypeError:  # keys with and without an API key
        ordered = sorted(rows, key=lambda key: tuple(0 if part is None else part for part in key))
    columns = zip(*((*key, *_added_up(rows[key])) for key in ordered), strict=True)
    return ["{" + ",".join(["NULL" if value is None else str(value) for value in column]) + "}" for column in columns]
