"""The gateway's periodic work: each task is one service call, safe to run twice."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from gateway.services.limiting import recount_meters
from gateway.services.sweeping import forget_calls
from gateway.services.sweeping import sweep_calls as sweep


@shared_task
def sweep_calls() -> None:
    """Settle the calls that nobody speaks for any more."""
    sweep(now=timezone.now())


@shared_task
def tidy_calls() -> None:
    """Forget calls that ended long ago, and recount what keys with a monthly limit have used."""
    now = timezone.now()
    forget_calls(now=now)
    recount_meters(now=now)
