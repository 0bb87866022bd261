"""A customer's events one by one, each with the arithmetic of its cost.

Nothing here tells what an upstream charged: neither the upstream's cost nor the reported `usage` object, which holds it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from django.db import connection
from django.db.models import Exists, Min, OuterRef, Q, QuerySet

from accounts.models import ApiKey, Customer
from catalog.models import Model, Price
from catalog.pricing import CostComponent, PriceError, PriceSheet
from usage.dialects import Flag
from usage.models import QuarantinedEvent, UsageAlias, UsageApp, UsageEvent, UsageRollup, WithdrawnEvent
from usage.periods import KST, BillingMonth
from usage.selectors.apps import app_pks, events_of_app
from usage.selectors.archives import require_events
from usage.zones import day_start

logger = logging.getLogger(__name__)


class EventStatus(StrEnum):
    """What became of an event."""

    PRICED = "priced"
    QUARANTINED = "quarantined"  # waits for a price, or for somebody's decision
    EXCLUDED = "excluded"  # never billed


@dataclass(frozen=True)
class EventScope:
    """Which events are meant: `[start_at, end_at)`, and what else they have in common."""

    start_at: datetime | None = None
    end_at: datetime | None = None
    billing_month: BillingMonth | None = None
    model_pk: int | None = None
    api_key_pk: int | None = None
    #: 0 means the events that name no app.
    app_pk: int | None = None
    status: EventStatus | None = None


@dataclass(frozen=True)
class Exclusion:
    """Why an event is never billed, and the id of the one that counts in its place, or ""."""

    reason: str
    replaced_by: str = ""


@dataclass(frozen=True)
class ReadEvent:
    """An event with what was decided about it later.

    `cost_usd` is there exactly when it is priced. `components` add up to it; they are None where there is no cost.
    `app_pk` is 0 where it names no app. `quarantine` is the code and the detail of why it waits or waited, `exclusion` is
    there exactly when it is excluded.
    """

    event: UsageEvent
    status: EventStatus
    model_id: str | None
    api_key_prefix: str | None
    app_pk: int
    cost_usd: Decimal | None
    components: tuple[CostComponent, ...] | None
    quarantine: tuple[str, str] | None
    exclusion: Exclusion | None


def events_of(customer: Customer, scope: EventScope) -> QuerySet[UsageEvent]:
    """The events of a scope, newest first; equal times in the order of their ids, backwards.

    Raises EventsArchived where some of them stand in files: an answer without them would be a wrong one.
    """
    require_events(customer, start_at=scope.start_at, end_at=scope.end_at, billing_month=scope.billing_month)
    events = UsageEvent.objects.filter(customer=customer).defer("usage", "body_hash")
    if scope.start_at is not None:
        events = events.filter(occurred_at__gte=scope.start_at)
    if scope.end_at is not None:
        events = events.filter(occurred_at__lt=scope.end_at)
    if scope.billing_month is not None:
        events = events.filter(
            billing_month=scope.billing_month.first_on,
            occurred_at__gte=_first_billed_at(customer, scope.billing_month),
            occurred_at__lt=scope.billing_month.end_at,
        )
    if scope.api_key_pk is not None:
        events = events.filter(api_key_id=scope.api_key_pk)
    if scope.app_pk is not None:
        events = events_of_app(events, UsageApp.objects.get(pk=scope.app_pk) if scope.app_pk else None)
    held = QuarantinedEvent.objects.filter(customer_id=OuterRef("customer_id"), event_id=OuterRef("event_id"))
    rated = held.filter(status=QuarantinedEvent.Status.RATED)
    withdrawn = Exists(
        WithdrawnEvent.objects.filter(customer_id=OuterRef("customer_id"), event_id=OuterRef("event_id"))
    )
    if scope.model_pk is not None:
        own = Q(model_id=scope.model_pk)
        events = events.filter(own | Q(cost_usd=None) & Exists(rated.filter(model_id=scope.model_pk)))
    if scope.status is EventStatus.PRICED:
        events = events.filter(Q(cost_usd__isnull=False) | Exists(rated), ~withdrawn)
    elif scope.status is EventStatus.QUARANTINED:
        events = events.filter(Exists(held.filter(status=QuarantinedEvent.Status.OPEN)), cost_usd=None)
    elif scope.status is EventStatus.EXCLUDED:
        excluded = Exists(held.filter(status=QuarantinedEvent.Status.EXCLUDED))
        events = events.filter(Q(cost_usd=None) & excluded | withdrawn)
    return events.order_by("-occurred_at", "-event_id")


def _first_billed_at(customer: Customer, month: BillingMonth) -> datetime:
    """No event that the month bills happened before; without it every partition of the past would be looked into."""
    billed = {"customer": customer, "billing_month": month.first_on}
    day = UsageRollup.objects.filter(**billed).aggregate(first=Min("day"))["first"]
    decided = (
        model.objects.filter(**billed).aggregate(first=Min("occurred_at"))["first"]
        for model in (QuarantinedEvent, WithdrawnEvent)
    )
    known: list[datetime] = [month.start_at, *(at for at in decided if at is not None)]
    return min([*known, day_start(KST, day)] if day else known)


def events_before(events: QuerySet[UsageEvent], occurred_at: datetime, event_id: str) -> QuerySet[UsageEvent]:
    """Those that come after this one in the order of `events_of`."""
    older = Q(occurred_at__lt=occurred_at) | Q(occurred_at=occurred_at, event_id__lt=event_id)
    return events.filter(older, occurred_at__lte=occurred_at)


def event_by_any_id(customer: Customer, event_id: str) -> UsageEvent | None:
    """The customer's event of that id or, where there is none, the one that an upstream knows by it; or None."""
    event = event_by_id(customer, event_id)
    if event is not None:
        return event
    alias = UsageAlias.objects.filter(customer=customer, upstream_id=event_id).first()
    return None if alias is None else event_by_id(customer, alias.event_id)


def event_by_id(customer: Customer, event_id: str) -> UsageEvent | None:
    """The customer's event of that id, or None. The key table knows its time, so one partition is looked into.

    Raises EventsArchived if it stands in a file.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT occurred_at FROM usage_event_key WHERE customer_id = %s AND event_id = %s", [customer.pk, event_id]
        )
        found = cursor.fetchone()
    if found is None:
        return None
    event = UsageEvent.objects.filter(customer=customer, occurred_at=found[0], event_id=event_id).first()
    if event is None:
        require_events(customer, start_at=found[0], end_at=found[0] + timedelta(microseconds=1))
    return event


class EventReader:
    """Reads what belongs to events, a batch at a time; prices and names are asked for once."""

    def __init__(self, customer: Customer) -> None:
        self._customer = customer
        self._sheets: dict[int, PriceSheet | None] = {}
        self._models: dict[int, str] = {}
        self._apps: dict[tuple[str, str], int] = {}
        self._keys: dict[int, str] = dict(ApiKey.objects.filter(customer=customer).values_list("pk", "prefix"))

    def read(self, events: Sequence[UsageEvent]) -> list[ReadEvent]:
        """The events in their order."""
        unpriced = [event.event_id for event in events if event.cost_usd is None]
        held = {
            row.event_id: row
            for row in (
                QuarantinedEvent.objects.filter(customer=self._customer, event_id__in=unpriced) if unpriced else ()
            )
        }
        withdrawn = {
            row.event_id: row
            for row in WithdrawnEvent.objects.filter(
                customer=self._customer, event_id__in=[event.event_id for event in events]
            )
        }
        rows: list[UsageEvent | QuarantinedEvent] = [*events, *held.values()]
        prices = {row.price_id for row in rows if row.price_id is not None}
        self._know_prices(prices - self._sheets.keys())
        models = {row.model_id for row in rows if row.model_id is not None}
        self._know_models(models - self._models.keys())
        apps = {(event.app_referer, event.app_title) for event in events}
        if new := apps - self._apps.keys():
            self._apps.update(app_pks(self._customer, new))
        return [self._read(event, held.get(event.event_id), withdrawn.get(event.event_id)) for event in events]

    def _read(self, event: UsageEvent, held: QuarantinedEvent | None, withdrawn: WithdrawnEvent | None) -> ReadEvent:
        status, decided = EventStatus.PRICED, event if held is None else held
        exclusion = None
        if withdrawn is not None:
            status, exclusion = EventStatus.EXCLUDED, Exclusion(withdrawn.reason, withdrawn.replaced_by)
        elif held is not None and held.status == QuarantinedEvent.Status.EXCLUDED:
            status, exclusion = EventStatus.EXCLUDED, Exclusion(held.resolution)
        elif held is not None and held.status == QuarantinedEvent.Status.OPEN:
            status = EventStatus.QUARANTINED
        model_pk = decided.model_id or event.model_id
        is_priced = status is EventStatus.PRICED
        return ReadEvent(
            event=event,
            status=status,
            model_id=None if model_pk is None else self._models.get(model_pk),
            api_key_prefix=None if event.api_key_id is None else self._keys.get(event.api_key_id),
            app_pk=self._apps[event.app_referer, event.app_title],
            cost_usd=decided.cost_usd if is_priced else None,
            components=self._components(event, decided.price_id, decided.cost_usd) if is_priced else None,
            quarantine=None if held is None else (held.code, held.detail),
            exclusion=exclusion,
        )

    def _components(
        self, event: UsageEvent, price_pk: int | None, cost_usd: Decimal | None
    ) -> tuple[CostComponent, ...] | None:
        sheet = None if price_pk is None else self._sheets.get(price_pk)
        if sheet is None or cost_usd is None:
            return None
        if Flag.ZERO_COMPLETION in event.flags:
            return ()
        cost = sheet.cost(event.quantities, at=event.occurred_at)
        if cost.total_usd != cost_usd:
            # The stored cost is what is billed; arithmetic that does not lead to it must not be shown as if it did.
            logger.error("event %s: its price now gives %s, stored is %s", event.seq, cost.total_usd, cost_usd)
            return None
        return cost.components

    def _know_prices(self, pks: Collection[int]) -> None:
        for price in Price.objects.filter(pk__in=pks).only("pk", "components", "overrides") if pks else ():
            try:
                self._sheets[price.pk] = PriceSheet.parse(price.components, price.overrides)
            except PriceError:
                logger.exception("price %s can't be read any more", price.pk)
                self._sheets[price.pk] = None

    def _know_models(self, pks: Collection[int]) -> None:
        if pks:
            self._models.update(Model.objects.filter(pk__in=pks).values_list("pk", "model_id"))


def batches(events: Iterable[UsageEvent], *, size: int) -> Iterable[list[UsageEvent]]:
    """The same events in lists of `size`."""
    batch: list[UsageEvent] = []
    for event in events:
        batch.append(event)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
