"""Metering's periodic work."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from usage.services import activity
from usage.services.partitions import make_partitions_ahead
from usage.services.rerating import run_rating, start_due_rating, unfinished_ratings

#: Chunks that a task prices before it makes room for others on its queue; the next beat goes on.
CHUNKS_PER_TASK = 100


@shared_task
def make_partitions() -> None:
    """Have the event partitions of the coming months ready; daily. Storing makes a missing one by itself."""
    make_partitions_ahead(now=timezone.now())


@shared_task
def rate_quarantine() -> None:
    """Price waiting events whose model has got a price, and go on with runs that were left. Safe in any number."""
    start_due_rating(actor="beat rate_quarantine", now=timezone.now())
    for job_id in unfinished_ratings():
        run_rating(job_id=job_id, clock=timezone.now, max_chunks=CHUNKS_PER_TASK)


@shared_task
def withdraw_estimates() -> None:
    """Take back estimates of days of which real events have arrived; hourly. Safe in any number."""
    activity.withdraw_estimates(actor="beat withdraw_estimates", now=timezone.now())
