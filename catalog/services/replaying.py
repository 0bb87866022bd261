"""Playing in what models cost in the past, from snapshots that tell prices only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Max

from accounts.services import record_audit
from catalog.errors import FutureListing, InvalidListing
from catalog.listing import ListedModel, ListingError, PriceKind
from catalog.models import CatalogSync, Model, ModelAlias, Price
from catalog.selectors import response_name
from catalog.services.locking import hold_catalog
from catalog.services.syncing import create_models
from catalog.snapshots import HISTORY_SOURCE, Snapshot, parse_snapshots

_SOURCE_CHARS = 300


@dataclass(frozen=True)
class ReplayReport:
    """What one history held and added. `prices` are intervals; `known` are prices of times whose price was known."""

    source: str
    snapshots: int
    first_at: datetime
    last_at: datetime
    models: int
    created: int
    prices: int
    known: int
    skipped: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON."""
        return {
            "source": self.source,
            "snapshots": self.snapshots,
            "first_at": self.first_at.isoformat(),
            "last_at": self.last_at.isoformat(),
            "models": self.models,
            "created": self.created,
            "prices": self.prices,
            "known": self.known,
            "skipped": list(self.skipped),
        }


@dataclass(frozen=True)
class _Run:
    """From `at` on a model cost this, through every later snapshot until the next run."""

    at: datetime
    components: Mapping[str, str]


@dataclass
class _Addition:
    """What is added to one model: intervals, and perhaps the end of an open one that they continue."""

    opened: list[tuple[_Run, datetime | None]] = field(default_factory=list)
    ended: tuple[Price, datetime] | None = None
    known: int = 0


@transaction.atomic
def replay_prices(*, body: bytes, source: str, actor: str, now: datetime) -> ReplayReport:
    """Play in a price history (`catalog.snapshots`): each snapshot's prices from its day on. Twice adds nothing.

    It fills in what was not known: the time before a model's first price, and, where that price came from a shorter
    history, the time after it that no later reading has confirmed. Everything else stays as it was. A history tells what
    was charged and not what is on sale: it describes, retires and returns nothing, and models that only it names are
    created retired. An id that is another model's slug or alias is skipped, so that no name changes its meaning.

    All or nothing. Raises InvalidListing, and FutureListing when a snapshot is later than `now`.
    """
    try:
        snapshots = parse_snapshots(body)
    except ListingError as error:
        raise InvalidListing(str(error), code=error.code) from None
    last_at = snapshots[-1].at
    if last_at > now:
        raise FutureListing(f"the snapshot of {last_at:%Y-%m-%d} is in the future", field="snapshots")
    hold_catalog()
    models = {model.model_id: model for model in Model.objects.all()}
    runs = _runs(snapshots)
    skipped = sorted(runs.keys() & _other_names(models.values()))
    new = [model_id for model_id in runs if model_id not in models and model_id not in skipped]
    confirmed_at = CatalogSync.objects.aggregate(last=Max("effective_at"))["last"]
    intervals = _intervals(models[model_id] for model_id in runs if model_id in models)
    additions = {
        model_id: _addition(intervals.get(model_id, []), runs[model_id], confirmed_at)
        for model_id in runs
        if model_id not in skipped
    }
    report = ReplayReport(
        source=f"{HISTORY_SOURCE}{source}"[:_SOURCE_CHARS],
        snapshots=len(snapshots),
        first_at=snapshots[0].at,
        last_at=last_at,
        models=len(runs),
        created=len(new),
        prices=sum(len(addition.opened) for addition in additions.values()),
        known=sum(addition.known for addition in additions.values()),
        skipped=tuple(skipped),
    )
    if report.prices:
        models |= create_models((_entry(model_id) for model_id in new), retired_at=last_at)
        _write(additions, models, source=report.source, actor=actor)
        sync = CatalogSync.objects.create(
            source=report.source,
            effective_at=last_at,
            listing_sha256=hashlib.sha256(body).hexdigest(),
            counts=report.as_dict(),
            actor=actor,
        )
        record_audit(actor=actor, action="replay_prices", subject=sync, data=report.as_dict())
    return report


def _runs(snapshots: Sequence[Snapshot]) -> dict[str, list[_Run]]:
    """By model, when it began to cost something else. One that is missing for a while goes on at its old price."""
    runs: dict[str, list[_Run]] = {}
    for snapshot in snapshots:
        for model_id, components in snapshot.prices.items():
            known = runs.setdefault(model_id, [])
            if not known or known[-1].components != components:
                known.append(_Run(snapshot.at, components))
    return runs


def _addition(intervals: Sequence[Price], runs: Sequence[_Run], confirmed_at: datetime | None) -> _Addition:
    """What a model's runs add to its intervals, both in order."""
    first_from = intervals[0].effective_from if intervals else None
    head = [run for run in runs if first_from is None or run.at < first_from]
    addition = _Addition(opened=list(_chain(head, until=first_from)))
    last = intervals[-1] if intervals else None
    tail: list[_Run] = []
    if last is not None and last.effective_to is None and last.source.startswith(HISTORY_SOURCE):
        since = max(last.effective_from, confirmed_at or last.effective_from)
        tail = [run for run in runs if run.at > since]
        if tail and tail[0].components == last.components:
            tail = tail[1:]
        if tail:
            addition.ended = (last, tail[0].at)
            addition.opened.extend(_chain(tail, until=None))
    addition.known = len(runs) - len(head) - len(tail)
    return addition


def _chain(runs: Sequence[_Run], *, until: datetime | None) -> Iterator[tuple[_Run, datetime | None]]:
    """Each run with its end: the beginning of the next, and `until` for the last."""
    ends = [*(run.at for run in runs[1:]), until]
    return zip(runs, ends, strict=False)


def _write(additions: Mapping[str, _Addition], models: Mapping[str, Model], *, source: str, actor: str) -> None:
    for addition in additions.values():
        if addition.ended is not None:
            price, at = addition.ended
            Price.objects.filter(pk=price.pk).update(effective_to=at)
    Price.objects.bulk_create(
        Price(
            model=models[model_id],
            kind=Price.Kind.LISTED,
            effective_from=run.at,
            effective_to=until,
            components=dict(run.components),
            listed_pricing=dict(run.components),
            source=source,
            created_by=actor,
        )
        for model_id, addition in additions.items()
        for run, until in addition.opened
    )


def _intervals(models: Iterable[Model]) -> dict[str, list[Price]]:
    intervals: dict[str, list[Price]] = {}
    prices = Price.objects.filter(model__in=list(models)).select_related("model").order_by("model_id", "effective_from")
    for price in prices:
        intervals.setdefault(price.model.model_id, []).append(price)
    return intervals


def _other_names(models: Iterable[Model]) -> set[str]:
    """Names that are no model's id and mean one."""
    known = list(models)
    names = {response_name(model) for model in known} | set(ModelAlias.objects.values_list("alias", flat=True))
    return names - {model.model_id for model in known}


def _entry(model_id: str) -> ListedModel:
    """A model of which only the id is known."""
    return ListedModel(
        model_id=model_id,
        canonical_slug=model_id,
        name=model_id,
        description="",
        created=None,
        context_length=None,
        kind=PriceKind.LISTED,
        components={},
        overrides=(),
        listed_pricing={},
        quarantine_code="",
        quarantine_reason="",
        rest={},
    )
