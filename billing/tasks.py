"""Celery's side of billing: each task is one service call, safe to run twice."""

from __future__ import annotations

import time

from celery import shared_task
from django.utils import timezone

from billing.services import closing, delivering

#: A draining ends soon after this and leaves the rest to the next beat: it stays shorter than the broker's patience
#: (config.celery) even when each of its last rows waits for a mail server's timeout.
DRAINING_SECONDS = 300
ROWS_AT_A_TIME = 10


@shared_task(name="billing.close_customer", queue="money")
def close_customer(item_id: int, actor: str) -> None:
    """Close one customer of a billing run; nothing happens when somebody else does or did it."""
    closing.close_customer(item_id=item_id, actor=actor, now=timezone.now())


@shared_task(name="billing.deliver_due", queue="documents")
def deliver_due() -> None:
    """Drain the outbox. Safe to run at any time and in any number."""
    stop_at = time.monotonic() + DRAINING_SECONDS
    while time.monotonic() < stop_at:
        report = delivering.deliver_due(now=timezone.now(), limit=ROWS_AT_A_TIME)
        if report.done + report.retried + report.dead < ROWS_AT_A_TIME:
            break
