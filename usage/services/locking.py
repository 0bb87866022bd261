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


#: What `share_customers` says, for a writer that has more to say at once; `customer_ids` come in ascending order, so that
#: two writers and a close never wait in a circle. The first key is CUSTOMER_MONTHS.
SHARE_CUSTOMERS = "SELECT pg_advisory_xact_lock_shared(1, id::int) FROM unnest(%(customer_ids)s::bigint[]) AS id"


def share_customers(customer_ids: Iterable[int]) -> None:
    """Hold these customers' months against a close until the transaction ends; writers do not wait for each other."""
    with connection.cursor() as cursor:
        cursor.execute(SHARE_CUSTOMERS, {"customer_ids": sorted(set(customer_ids))})


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
