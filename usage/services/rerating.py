"""Pricing quarantined events whose model has a price by now: whole chunks, set by set, that somebody else can go on with.

Each event gets the price in force when it happened, and counts in the rollups from then on, in the month that was to bill
it. That month is open: open quarantine blocks the close.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import repeat

from django.db import OperationalError, connection, transaction
from django.db.models import Max, Min, Q, QuerySet

from accounts.models import Customer
from accounts.services import record_audit
from catalog.money import EXACT, ZERO, decimal_text
from usage.models import QuarantinedEvent, RatingJob, UsageEvent
from usage.selectors import closed_months
from usage.services.attribution import AppName, app_ids
from usage.services.locking import share_customers
from usage.services.rating import (
    QUARANTINED_PRICE,
    UNKNOWN_MODEL,
    UNPRICED,
    VARIABLE_PRICE,
    Rating,
    current_catalog,
    rate,
)
from usage.services.resolving import Payer
from usage.services.summing import RollupDeltas

CHUNK_EVENTS = 5_000
#: Codes of events that a new price can help. What has another code waits for somebody's decision.
_WAITING_FOR_A_PRICE = (UNKNOWN_MODEL, UNPRICED, VARIABLE_PRICE, QUARANTINED_PRICE)
_RATED = """
UPDATE usage_quarantinedevent AS held
SET status = 'rated', model_id = rated.model_id, price_id = rated.price_id, cost_usd = rated.cost_usd,
    resolved_at = %s, resolved_by = %s, resolution = 'the model has a price'
FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::numeric[]) AS rated (id, model_id, price_id, cost_usd)
WHERE held.id = rated.id
"""


@dataclass(frozen=True)
class RatedQuarantine:
    """What one run priced: how many of the open events, and their cost (USD, exact). The rest is still open."""

    examined: int
    rated: int
    cost_usd: Decimal


def rate_quarantined(*, actor: str, now: datetime, customer: Customer | None = None) -> RatedQuarantine:
    """Price every open quarantined event (of one customer, or of all) that the catalog can price by now.

    Goes on with a run that was killed; several processes at once share the work, and the figures are the run's.
    """
    job = start_rating(customer=customer, actor=actor, now=now)
    job = run_rating(job_id=job.pk, clock=lambda: now)
    return RatedQuarantine(job.examined, job.rated, job.cost_usd)


@transaction.atomic
def start_rating(*, customer: Customer | None, actor: str, now: datetime) -> RatingJob:
    """The run over the open events of a customer (None: of all), made or taken up again.

    One that began with an older catalog begins anew: what it passed may have a price by now.
    """
    version = current_catalog().version
    begun = {"total": _open_events(customer).count(), "catalog_version": version, "actor": actor, "started_at": now}
    job = None
    while job is None:  # another one that ran until now may end between these two
        RatingJob.objects.bulk_create([RatingJob(customer=customer, updated_at=now, **begun)], ignore_conflicts=True)
        job = RatingJob.objects.select_for_update().filter(customer=customer, status=RatingJob.Status.RUNNING).first()
    if job.catalog_version != version:
        for name, value in {**begun, "total": job.examined + begun["total"]}.items():  # type: ignore[operator]
            setattr(job, name, value)
        job.after_customer_id = job.after_held_id = 0
        job.save()
    return job


def start_due_rating(*, actor: str, now: datetime) -> RatingJob | None:
    """The run over all customers' events, if one is under way or due: some model that events wait for has a price.

    A run over the same catalog that began after the last such event arrived has done what can be done.
    """
    runs = RatingJob.objects.filter(customer=None)
    running = runs.filter(status=RatingJob.Status.RUNNING).first()
    if running is not None:
        return running
    newest = _newest_that_can_be_priced()
    if newest is None:
        return None
    done = runs.filter(status=RatingJob.Status.DONE).first()
    is_done = done is not None and done.started_at > newest
    if is_done and done is not None and done.catalog_version == current_catalog().version:
        return None
    return start_rating(customer=None, actor=actor, now=now)


def unfinished_ratings() -> list[int]:
    """Primary keys of the runs that are under way or were left, oldest first."""
    return list(RatingJob.objects.filter(status=RatingJob.Status.RUNNING).order_by("pk").values_list("pk", flat=True))


def run_rating(*, job_id: int, clock: Callable[[], datetime], max_chunks: int | None = None) -> RatingJob:
    """Go on with a run, to its end or for so many chunks, each its own transaction; the run as it stands then.

    A fault ends the run as failed and is raised; a database that is away or asks to try again leaves it as it was.
    """
    for _ in repeat(None) if max_chunks is None else repeat(None, max_chunks):
        try:
            job = _run_chunk(job_id, clock())
        except OperationalError:
            raise
        except Exception as error:
            now = clock()
            RatingJob.objects.filter(pk=job_id, status=RatingJob.Status.RUNNING).update(
                status=RatingJob.Status.FAILED,
                finished_at=now,
                updated_at=now,
                error=f"{type(error).__name__}: {error}"[:500],
            )
            raise
        if job.status != RatingJob.Status.RUNNING:
            return job
    return RatingJob.objects.get(pk=job_id)


@transaction.atomic
def _run_chunk(job_id: int, now: datetime) -> RatingJob:
    job = RatingJob.objects.select_for_update().get(pk=job_id)
    if job.status != RatingJob.Status.RUNNING:
        return job
    position = Q(customer_id__gt=job.after_customer_id) | Q(customer_id=job.after_customer_id, pk__gt=job.after_held_id)
    chunk = list(
        _open_events(job.customer)
        .filter(position, customer_id__gte=job.after_customer_id)
        .order_by("customer_id", "pk")
        .values_list("customer_id", "pk")[:CHUNK_EVENTS]
    )
    job.updated_at = now
    if chunk:
        examined, rated = _rate(chunk, job.actor, now)
        job.examined += examined
        job.rated += len(rated)
        job.cost_usd = EXACT.add(job.cost_usd, _sum(rated))
        job.after_customer_id, job.after_held_id = chunk[-1]
    if len(chunk) < CHUNK_EVENTS:
        job.status, job.finished_at = RatingJob.Status.DONE, now
    job.save()
    return job


def _rate(
    chunk: Sequence[tuple[int, int]], actor: str, now: datetime
) -> tuple[int, list[tuple[QuarantinedEvent, Rating]]]:
    """Price these events, as (customer, row); how many of them were still open, and those that have a price now."""
    customer_ids = {customer_id for customer_id, _ in chunk}
    share_customers(customer_ids)
    closed = closed_months(customer_ids)
    held = list(
        QuarantinedEvent.objects.select_for_update()
        .filter(pk__in=[pk for _, pk in chunk], status=QuarantinedEvent.Status.OPEN)
        .order_by("customer_id", "pk")
    )
    events = UsageEvent.by_key((row.customer_id, row.occurred_at, row.event_id) for row in held)
    apps = app_ids(_app_name(event) for event in events.values())
    catalog = current_catalog()
    deltas = RollupDeltas()
    rated: list[tuple[QuarantinedEvent, Rating]] = []
    for row in held:
        event = events[row.customer_id, row.event_id]
        rating = rate(catalog, event.served_model, event.quantities, flags=event.flags, at=event.occurred_at)
        if rating.cost_usd is None:
            continue
        assert (row.customer_id, row.billing_month) not in closed, "open quarantine blocks the close"
        deltas.add(
            Payer(row.customer_id, event.api_key_id),
            row.billing_month,
            event.occurred_at,
            rating,
            event.quantities,
            event.upstream_cost_usd,
            apps[_app_name(event)],
        )
        rated.append((row, rating))
    if rated:
        columns = zip(*((row.pk, each.model_pk, each.price_pk, each.cost_usd) for row, each in rated), strict=True)
        with connection.cursor() as cursor:
            cursor.execute(_RATED, [now, actor, *map(list, columns)])
        deltas.write()
        _audit(rated, actor)
    return len(held), rated


def _audit(rated: Iterable[tuple[QuarantinedEvent, Rating]], actor: str) -> None:
    by_customer: dict[int, list[tuple[QuarantinedEvent, Rating]]] = {}
    for row, rating in rated:
        by_customer.setdefault(row.customer_id, []).append((row, rating))
    for customer_id, of_customer in by_customer.items():
        record_audit(
            actor=actor,
            action="rate_quarantined_events",
            subject=Customer(pk=customer_id),
            data={"events": len(of_customer), "cost_usd": decimal_text(_sum(of_customer))},
        )


def _sum(rated: Iterable[tuple[QuarantinedEvent, Rating]]) -> Decimal:
    total = ZERO
    for _, rating in rated:
        assert rating.cost_usd is not None
        total = EXACT.add(total, rating.cost_usd)
    return total


def _open_events(customer: Customer | None) -> QuerySet[QuarantinedEvent]:
    held = QuarantinedEvent.objects.filter(status=QuarantinedEvent.Status.OPEN)
    return held if customer is None else held.filter(customer=customer)


def _app_name(event: UsageEvent) -> AppName:
    return event.customer_id, event.app_referer, event.app_title


def _newest_that_can_be_priced() -> datetime | None:
    """When the last of the open events arrived whose model has a price at the time of its first or last such event."""
    catalog = current_catalog()
    waiting = (
        QuarantinedEvent.objects.filter(status=QuarantinedEvent.Status.OPEN, code__in=_WAITING_FOR_A_PRICE)
        .values_list("served_model")
        .annotate(Min("occurred_at"), Max("occurred_at"), Max("created_at"))
        .order_by()
    )
    arrived = []
    for served_model, first_at, last_at, created_at in waiting:
        answers = (catalog.lookup(served_model, at=first_at), catalog.lookup(served_model, at=last_at))
        if any(answer is not None and answer.sheet is not None for answer in answers):
            arrived.append(created_at)
    return max(arrived, default=None)
