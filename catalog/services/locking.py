"""Who may change the catalog: one at a time."""

from __future__ import annotations

from django.db import connection

#: The two-part advisory lock that means "the catalog". First keys are shared by the whole product; 1 is a customer's months.
CATALOG = (2, 0)


def hold_catalog() -> None:
    """Wait until nobody else changes the catalog, and keep others out until this transaction ends.

    Reading and pricing go on meanwhile. Take it first: what was read before may be old by the time it is held.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", CATALOG)
