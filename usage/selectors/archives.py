"""Which of a customer's events stand in files, so that nobody takes their absence for an answer."""

from __future__ import annotations

from datetime import datetime

from django.db import connection
from django.db.models import QuerySet

from accounts.models import Customer
from usage.errors import EventsArchived
from usage.models import UsageArchive
from usage.periods import BillingMonth

_BILLED_IN = "SELECT DISTINCT archive_id FROM usage_archived_sum WHERE customer_id = %s AND billing_month = %s"


def require_events(
    customer: Customer,
    *,
    start_at: datetime | None = None,
    end_at: datetime | None = None,
    billing_month: BillingMonth | None = None,
) -> None:
    """Raise EventsArchived if the customer has archived events in `[start_at, end_at)`, or billed in that month."""
    archives = _archives_with(customer)
    if start_at is not None:
        archives = archives.filter(end_at__gt=start_at)
    if end_at is not None:
        archives = archives.filter(start_at__lt=end_at)
    if billing_month is not None:
        with connection.cursor() as cursor:
            cursor.execute(_BILLED_IN, [customer.pk, billing_month.first_on])
            archives = archives.filter(pk__in=[row[0] for row in cursor])
    _refuse(archives)


def require_all_events(*, start_at: datetime, end_at: datetime) -> None:
    """Raise EventsArchived if anybody's events in `[start_at, end_at)` are archived."""
    archived = UsageArchive.objects.filter(status=UsageArchive.Status.ARCHIVED)
    _refuse(archived.filter(start_at__lt=end_at, end_at__gt=start_at))


def _refuse(archives: QuerySet[UsageArchive]) -> None:
    months = [f"{first_on:%Y-%m}" for first_on in archives.order_by("month").values_list("month", flat=True)]
    if months:
        raise EventsArchived(
            f"the single events of {', '.join(months)} are archived; their sums are still here, and the events can be "
            "brought back on request",
            months=months,
        )


def _archives_with(customer: Customer) -> QuerySet[UsageArchive]:
    return UsageArchive.objects.filter(
        status=UsageArchive.Status.ARCHIVED, manifest__customers__has_key=str(customer.pk)
    )
