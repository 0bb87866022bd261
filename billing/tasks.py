"""Celery's side of billing: each task is one service call, safe to run twice."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from billing.services import closing, delivering

#: Rows a task drains before it makes room for others on its queue; the next beat goes on.
DELIVERIES_PER_TASK = 200


@shared_task(name="billing.close_customer", queue="money")
def close_customer(item_id: int, actor: str) -> None:
    """Close one customer of a billing run; nothing happens when somebody else does or did it."""
    closing.close_customer(item_id=item_id, actor=actor, now=timezone.now())


@shared_task(name="billing.deliver_due", queue="documents")
def deliver_due() -> None:
    """Drain the outbox. Safe to run at any time and in any number."""
    delivering.deliver_due(now=timezone.now(), limit=DELIVERIES_PER_TASK)
