"""What is stored of prices and their changes: read for a sync, written by it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db.models import F, JSONField, Q, Value

from catalog.changes import ComponentChange, overall_percent
from catalog.models import CatalogSync, Price, PriceChange
from catalog.money import decimal_text
from catalog.services.planning import Known, Plan, PlannedChange

_AWAITING, _REJECTED = PriceChange.Status.AWAITING_APPROVAL, PriceChange.Status.REJECTED


def known_prices(*, at: datetime) -> Known:
    """What a sync of that instant has to know, in four queries at most."""
    intervals = _prices_after(at)
    current = [prices[0] for prices in intervals.values() if prices[0].effective_from <= at]
    quarantined = [price.model_id for price in current if price.kind == Price.Kind.QUARANTINED]
    return Known(
        intervals=intervals,
        before_quarantine=_before_quarantine(quarantined, at) if quarantined else {},
        before_announced=_before_announced(at),
        undecided={
            change.model_id: change
            for change in PriceChange.objects.filter(status__in=[_AWAITING, _REJECTED])
            .order_by("model_id", "-pk")
            .distinct("model_id")
        },
    )


def last_price(model_pk: int, *, at: datetime) -> Price | None:
    """The price a model had last at that instant that was no quarantine; what a change is compared with."""
    return _before_quarantine([model_pk], at).get(model_pk)


def record_changes(plan: Plan, opened: Iterable[Price], *, sync: CatalogSync) -> None:
    """Store every change that a sync found, and take back those that its listing no longer names."""
    PriceChange.objects.filter(pk__in=[change.pk for change in plan.superseded]).update(
        status=PriceChange.Status.SUPERSEDED
    )
    after = {price.model_id: price for price in opened}
    PriceChange.objects.bulk_create(_row(change, after.get(change.before.model_id), sync) for change in plan.changes)


def percent_texts(components: Iterable[ComponentChange]) -> dict[str, str | None]:
    """Percent by component, as `PriceChange.percents` keeps it."""
    return {change.key: None if change.percent is None else decimal_text(change.percent) for change in components}


def as_json(value: Any) -> Any:
    """A value for a JSON column, in which "no prices" is JSON's null and no missing value."""
    return Value(None, JSONField()) if value is None else value


def _row(change: PlannedChange, after: Price | None, sync: CatalogSync) -> PriceChange:
    entry = change.entry
    return PriceChange(
        model_id=change.before.model_id,
        status=_AWAITING if change.waits else PriceChange.Status.APPLIED,
        sync=sync,
        before=change.before,
        after=None if change.waits else after,
        kind=Price.Kind(entry.kind),
        components=dict(entry.components),
        overrides=list(entry.overrides),
        listed_pricing=as_json(entry.listed_pricing),
        percents=percent_texts(change.components),
        percent=overall_percent(change.components),
        effective_at=sync.effective_at,
        source=sync.source,
        created_by=sync.actor,
    )


def _prices_after(at: datetime) -> Mapping[int, Sequence[Price]]:
    """Every interval that ends after `at`, in order, by model."""
    intervals: dict[int, list[Price]] = {}
    prices = Price.objects.filter(Q(effective_to__isnull=True) | Q(effective_to__gt=at))
    for price in prices.order_by("model_id", "effective_from"):
        intervals.setdefault(price.model_id, []).append(price)
    return intervals


def _before_quarantine(model_pks: Sequence[int], at: datetime) -> dict[int, Price]:
    prices = Price.objects.filter(model_id__in=model_pks, effective_from__lte=at)
    decided = prices.exclude(kind=Price.Kind.QUARANTINED).order_by("model_id", "-effective_from").distinct("model_id")
    return {price.model_id: price for price in decided}


def _before_announced(at: datetime) -> dict[int, Price]:
    """By model whose price in force was announced: what ended where it began."""
    before = Price.objects.filter(
        Q(model__prices__effective_to__isnull=True) | Q(model__prices__effective_to__gt=at),
        model__prices__change__status=PriceChange.Status.ANNOUNCED,
        model__prices__effective_from__lte=at,
        model__prices__effective_from=F("effective_to"),
    )
    return {price.model_id: price for price in before}
