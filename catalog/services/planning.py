"""What one reading of an upstream listing changes, decided before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from catalog.changes import ComponentChange, component_changes, exceeds
from catalog.listing import ListedModel, PriceKind
from catalog.models import Model, Price, PriceChange
from catalog.pricing import PriceSheet
from catalog.selectors import sheet_of
from catalog.services.comparing import says_the_same
from catalog.snapshots import HISTORY_SOURCE

#: Fields of a `Model` that follow the listing.
METADATA_FIELDS = ("canonical_slug", "name", "description", "listed_at", "context_length", "listing")


@dataclass(frozen=True)
class OpenedPrice:
    """A price interval to add. `until` is None, or the beginning of a later price that is already known."""

    entry: ListedModel
    until: datetime | None


@dataclass(frozen=True)
class PlannedChange:
    """A price that differs from `before`, the model's last price that was no quarantine."""

    entry: ListedModel
    before: Price
    components: tuple[ComponentChange, ...]
    waits: bool


@dataclass(frozen=True)
class Known:
    """What is stored of prices, by model pk.

    `intervals`: those that end after the listing's instant, in order. `before_quarantine`: the last price that was none,
    of models in quarantine. `before_announced`: what ended where the announced price in force began. `undecided`: the
    last change that waits for approval or was rejected.
    """

    intervals: Mapping[int, Sequence[Price]]
    before_quarantine: Mapping[int, Price] = field(default_factory=dict)
    before_announced: Mapping[int, Price] = field(default_factory=dict)
    undecided: Mapping[int, PriceChange] = field(default_factory=dict)


@dataclass
class Plan:
    """The changes of one sync, and what stood in their way."""

    created: list[ListedModel] = field(default_factory=list)
    described: list[Model] = field(default_factory=list)  # with their new metadata already set, not saved
    returned: list[Model] = field(default_factory=list)
    vanished: list[Model] = field(default_factory=list)
    ended: list[Price] = field(default_factory=list)
    opened: list[OpenedPrice] = field(default_factory=list)
    changes: list[PlannedChange] = field(default_factory=list)
    waiting: list[PriceChange] = field(default_factory=list)  # from earlier syncs, and still what the listing says
    superseded: list[PriceChange] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)  # model ids
    quarantined: list[ListedModel] = field(default_factory=list)  # without a usable price afterwards
    price_changes: int = 0
    unchanged: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (
            self.created
            or self.described
            or self.returned
            or self.vanished
            or self.opened
            or self.superseded
            or any(change.waits for change in self.changes)
        )


def plan_sync(
    entries: Sequence[ListedModel],
    models: Mapping[str, Model],
    known: Known,
    *,
    at: datetime,
    now: datetime,
    backfilled: bool,
    approval_percent: Decimal | None,
) -> Plan:
    """Compare a listing that was in force `at` with what is stored.

    `models` by model id, all of them. With `backfilled` a later listing was applied already: this one only tells prices
    of its own time, not what is on sale now. Changes over `approval_percent` wait; None lets none wait.
    """
    plan = Plan()
    for entry in entries:
        model = models.get(entry.model_id)
        if model is None:
            plan.created.append(entry)
            plan.opened.append(OpenedPrice(entry, None))
            if entry.kind is PriceKind.QUARANTINED:
                plan.quarantined.append(entry)
            continue
        pricing = _Pricing(plan, entry, model.pk, known, at=at, now=now)
        touched = pricing.plan(backfilled=backfilled, approval_percent=approval_percent)
        if not backfilled:
            touched |= _plan_model(plan, entry, model)
        plan.unchanged += not touched
    if not backfilled:
        listed = {entry.model_id for entry in entries}
        plan.vanished = [
            model for model in models.values() if model.status == Model.Status.ACTIVE and model.model_id not in listed
        ]
    return plan


class _Pricing:
    """What becomes of one known model's price."""

    def __init__(
        self, plan: Plan, entry: ListedModel, model_pk: int, known: Known, *, at: datetime, now: datetime
    ) -> None:
        self._plan, self._entry, self._at = plan, entry, at
        intervals = known.intervals.get(model_pk, ())
        self._current = intervals[0] if intervals and intervals[0].effective_from <= at else None
        self._next_from = intervals[0].effective_from if intervals and self._current is None else None
        self._before_quarantine = known.before_quarantine.get(model_pk)
        self._before_announced = known.before_announced.get(model_pk)
        self._undecided = known.undecided.get(model_pk)
        self._is_past = self._current is not None and (
            self._current.effective_from == at
            or (self._current.effective_to is not None and self._current.effective_to <= now)
        )

    def plan(self, *, backfilled: bool, approval_percent: Decimal | None) -> bool:
        """Add to the plan; True when the model is not as it was."""
        current = self._current
        if current is None:
            self._note_quarantine()
            self._plan.opened.append(OpenedPrice(self._entry, self._next_from))
            self._plan.price_changes += 1
            return True
        if self._says_the_same(current):
            if current.kind == Price.Kind.QUARANTINED:
                self._plan.quarantined.append(self._entry)
            return not backfilled and self._supersede()
        if self._is_past or backfilled:
            # An open price that a later listing left as it was has been confirmed by it.
            self._note_quarantine()
            self._plan.conflicts.append(self._entry.model_id)
            return False
        return self._change(current, approval_percent)

    def _says_the_same(self, current: Price) -> bool:
        if says_the_same(current, self._entry, at=self._at):
            return True
        # An announced price stands until the listing moves: one that says what it said before has not.
        return self._before_announced is not None and says_the_same(self._before_announced, self._entry, at=self._at)

    def _change(self, current: Price, approval_percent: Decimal | None) -> bool:
        before = current
        if current.kind == Price.Kind.QUARANTINED and self._before_quarantine is not None:
            before = self._before_quarantine
        undecided = self._undecided
        is_known = undecided is not None and undecided.before_id == before.pk and self._repeats(undecided)
        if undecided is not None and is_known and undecided.status == PriceChange.Status.REJECTED:
            return False
        change = judged(before, self._entry, approval_percent)
        if undecided is not None and is_known and (change.waits or self._entry.kind is PriceKind.QUARANTINED):
            self._plan.waiting.append(undecided)
            return True
        self._note_quarantine()
        self._supersede()
        self._plan.changes.append(change)
        if not change.waits:
            self._plan.ended.append(current)
            self._plan.opened.append(OpenedPrice(self._entry, current.effective_to))
            self._plan.price_changes += 1
        return True

    def _repeats(self, change: PriceChange) -> bool:
        """Whether the listing names the very price that waits or was rejected."""
        price = Price(
            kind=change.kind,
            components=change.components,
            overrides=change.overrides,
            listed_pricing=change.listed_pricing,
        )
        return says_the_same(price, self._entry, at=self._at)

    def _supersede(self) -> bool:
        change = self._undecided
        if change is None or change.status != PriceChange.Status.AWAITING_APPROVAL:
            return False
        self._plan.superseded.append(change)
        return True

    def _note_quarantine(self) -> None:
        if self._entry.kind is PriceKind.QUARANTINED:
            self._plan.quarantined.append(self._entry)


def judged(before: Price, entry: ListedModel, approval_percent: Decimal | None) -> PlannedChange:
    """How far a listed price is from the one before, and whether it has to wait for an operator.

    Over the percentage in any component, from or to 0, and between listed and variable: waits. A price that can't be
    read waits for nobody: it is quarantined, because going on with the old one would be guessing. Nor does the first
    listing after a price history, which knew nothing of caches and tiers.
    """
    old = sheet_of(before)
    new = PriceSheet.parse(entry.components, entry.overrides) if entry.kind is PriceKind.LISTED else None
    components = component_changes(old, new) if old is not None and new is not None else ()
    is_large = approval_percent is not None and (
        exceeds(components, approval_percent)
        or {before.kind, entry.kind.value} == {Price.Kind.LISTED, Price.Kind.VARIABLE}
    )
    waits = is_large and not before.source.startswith(HISTORY_SOURCE)
    return PlannedChange(entry, before, components, waits)


def _plan_model(plan: Plan, entry: ListedModel, model: Model) -> bool:
    """Plan what becomes of one known model itself; True when there is something to write."""
    touched = False
    news = {name: value for name, value in metadata(entry).items() if getattr(model, name) != value}
    if news:
        for name, value in news.items():
            setattr(model, name, value)
        plan.described.append(model)
        touched = True
    if model.status == Model.Status.RETIRED:
        plan.returned.append(model)
        touched = True
    return touched


def metadata(entry: ListedModel) -> dict[str, Any]:
    """What an entry says for METADATA_FIELDS."""
    return {
        "canonical_slug": entry.canonical_slug,
        "name": entry.name,
        "description": entry.description,
        "listed_at": None if entry.created is None else datetime.fromtimestamp(entry.created, UTC),
        "context_length": entry.context_length,
        "listing": dict(entry.rest),
    }
