"""Adding priced events to the sums that are kept of them: by KST day and by UTC hour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from catalog.money import EXACT, ZERO
from catalog.pricing import Quantities
from usage.models.rollups import SUMMED, UsageHour, UsageRollup
from usage.periods import KST
from usage.services.rating import Rating
from usage.services.resolving import Payer

#: Customer, billing month, hour (UTC), key, model, price, app: the finest of what the two tables are made of.
_Key = tuple[int, date, datetime, int | None, int, int, int]
_Sums = list[Any]  # as `SUMMED`

_TYPES = {
    "billing_month": "date",
    "day": "date",
    "hour_at": "timestamptz",
    "cost_usd": "numeric",
    "upstream_cost_usd": "numeric",
}
_ADD = """
INSERT INTO {table} AS kept ({columns}) SELECT * FROM unnest({arrays})
ON CONFLICT ({key}) DO UPDATE SET {added}
"""


def _adding(model: type[UsageRollup | UsageHour]) -> str:
    columns = (*model.KEY, *SUMMED)
    return _ADD.format(
        table=model._meta.db_table,
        columns=", ".join(columns),
        arrays=", ".join(f"%s::{_TYPES.get(name, 'bigint')}[]" for name in columns),
        key=", ".join(model.KEY),
        added=", ".join(f"{name} = kept.{name} + EXCLUDED.{name}" for name in SUMMED),
    )


_ADD_TO_DAYS, _ADD_TO_HOURS = _adding(UsageRollup), _adding(UsageHour)


@dataclass(slots=True)
class RollupDeltas:
    """What priced events add to `UsageRollup` and `UsageHour`."""

    _sums: dict[_Key, _Sums] = field(default_factory=dict)

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
        key = (
            payer.customer_id,
            billing_month,
            hour_at,
            payer.api_key_id,
            rating.model_pk,
            rating.price_pk,
            app_id,
        )
        of_event = (
            1,
            quantities.prompt,
            quantities.completion,
            quantities.cache_read,
            quantities.cache_write,
            quantities.cache_write_1h,
            quantities.reasoning,
            quantities.audio_input,
            quantities.audio_output,
            quantities.image_output,
            quantities.images,
            quantities.web_searches,
            rating.cost_usd,
            ZERO if upstream_cost_usd is None else upstream_cost_usd,
        )
        sums = self._sums.get(key)
        if sums is None:
            self._sums[key] = list(of_event)
        else:
            _add_up(sums, of_event)

    def negated(self) -> RollupDeltas:
        """The same to be taken out of the rollups again."""
        return RollupDeltas(
            {
                key: [*(-count for count in sums[:12]), *(usd.copy_negate() for usd in sums[12:])]
                for key, sums in self._sums.items()
            }
        )

    def write(self) -> None:
        """Add the sums to the stored rows, inside the transaction that stores the events.

        Rows are touched in one fixed order, days before hours, so that two writers never wait for each other in a circle.
        """
        if not self._sums:
            return
        days: dict[tuple[Any, ...], _Sums] = {}
        hours: dict[tuple[Any, ...], _Sums] = {}
        for (customer_id, billing_month, hour_at, api_key_id, model_pk, price_pk, app_id), sums in self._sums.items():
            # Korea is whole hours from UTC, so an hour lies in one day.
            day = hour_at.astimezone(KST).date()
            _collect(days, (customer_id, billing_month, day, api_key_id, model_pk, price_pk, app_id), sums)
            _collect(hours, (customer_id, hour_at, billing_month, api_key_id, model_pk, app_id), sums)
        with connection.cursor() as cursor:
            cursor.execute(_ADD_TO_DAYS, _columns(days))
            cursor.execute(_ADD_TO_HOURS, _columns(hours))


def _collect(rows: dict[tuple[Any, ...], _Sums], key: tuple[Any, ...], sums: _Sums) -> None:
    known = rows.get(key)
    if known is None:
        rows[key] = list(sums)
    else:
        _add_up(known, sums)


def _add_up(sums: _Sums, more: _Sums | tuple[Any, ...]) -> None:
    for position in range(12):
        sums[position] += more[position]
    sums[12] = EXACT.add(sums[12], more[12])
    sums[13] = EXACT.add(sums[13], more[13])


def _columns(rows: Mapping[tuple[Any, ...], _Sums]) -> list[list[Any]]:
    """The rows as one list a column, in the order of their keys; no key at all (None) comes first."""
    ordered = sorted(rows.items(), key=lambda row: tuple(0 if part is None else part for part in row[0]))
    return [list(column) for column in zip(*((*key, *sums) for key, sums in ordered), strict=True)]
