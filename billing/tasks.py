"""Celery's side of billing: each task is one service call."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from billing.services import delivering

#: Rows a task drains before it makes room for others on its queue; the next beat goes on.
DELIVERIES_PER_TASK = 200


@shared_task(name="billing.deliver_due", queue="documents")
def deliver_due() -> None:
    """Drain the outbox. Safe to run at any time and in any number."""
    delivering.deliver_due(now=timezone.now(), limit=DELIVERIES_PER_TASK)
