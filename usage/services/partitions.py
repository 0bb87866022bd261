"""Month partitions of the event table, made ahead of time by a beat task; the statement that stores events makes what is
missing by itself (migration 0011).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import connection

from usage.periods import BillingMonth

MONTHS_AHEAD = 3


def ensure_partitions(months: Iterable[BillingMonth]) -> None:
    """Make the partitions of these KST months where they are missing.

    Call it before a transaction that is long: nobody then waits for all of it.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT usage_ensure_partition(first_on) FROM unnest(%s::date[]) AS first_on",
            [sorted(month.first_on for month in set(months))],
        )


def make_partitions_ahead(*, now: datetime) -> list[BillingMonth]:
    """Make this month's partition and those of the next months; returns the months. Repeating it changes nothing."""
    months = [BillingMonth.of(now)]
    while len(months) <= MONTHS_AHEAD:
        months.append(months[-1].next())
    ensure_partitions(months)
    return months
