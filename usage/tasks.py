"""Metering's periodic work."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from usage.services.partitions import make_partitions_ahead


@shared_task
def make_partitions() -> None:
    """Have the event partitions of the coming months ready; daily. Storing makes a missing one by itself."""
    make_partitions_ahead(now=timezone.now())
