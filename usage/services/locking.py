"""Who may write into a customer's months at the same time.

Storing events takes a customer's lock shared and then reads which months are closed; the close takes it exclusively and
then sums. So an event is either in the sum or sees the closed month and goes to the next one; none slips between.
The locks are advisory, end with the transaction and cost no row.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db import connection

#: First key of the two-part advisory locks that mean "the months of customer <second key>".
CUSTOMER_MONTHS = 1


def share_customers(customer_ids: Iterable[int]) -> None:
    """Hold these customers' months against a close until the transaction ends; writers do not wait for each other.

    In ascending order, so that two writers and a close never wait in a circle. The statement that stores events does the
    same by itself (migration 0011).
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock_shared(%s, id::int) FROM unnest(%s::bigint[]) AS id",
            [CUSTOMER_MONTHS, sorted(set(customer_ids))],
        )


def hold_customers(customer_ids: Iterable[int]) -> None:
    """Hold these customers' months alone until the transaction ends: waits for writers under way, keeps new ones out."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(%s, id::int) FROM unnest(%s::bigint[]) AS id",
            [CUSTOMER_MONTHS, sorted(set(customer_ids))],
        )


def hold_customer(customer_id: int) -> None:
    """Hold one customer's months alone."""
    hold_customers([customer_id])
