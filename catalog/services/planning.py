"""What one reading of an upstream listing changes, decided before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from catalog.listing import ListedModel, PriceKind
from catalog.models import Model, Price
from catalog.services.comparing import says_the_same

#: Fields of a `Model` that follow the listing.
METADATA_FIELDS = ("canonical_slug", "name", "description", "listed_at", "context_length", "listing")


@dataclass(frozen=True)
class OpenedPrice:
    """A price interval to add. `until` is None, or the beginning of a later price that is already known."""

    entry: ListedModel
    until: datetime | None


@dataclass
class Plan:
    """The changes of one sync, and what stood in their way."""

    created: list[ListedModel] = field(default_factory=list)
    described: list[Model] = field(default_factory=list)  # with their new metadata already set, not saved
    returned: list[Model] = field(default_factory=list)
    vanished: list[Model] = field(default_factory=list)
    ended: list[Price] = field(default_factory=list)
    opened: list[OpenedPrice] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)  # model ids
    quarantined: list[ListedModel] = field(default_factory=list)  # without a usable price afterwards
    price_changes: int = 0
    unchanged: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.created or self.described or self.returned or self.vanished or self.opened)


def plan_sync(
    entries: Sequence[ListedModel],
    models: Mapping[str, Model],
    prices: Mapping[int, Sequence[Price]],
    *,
    at: datetime,
    backfilled: bool,
) -> Plan:
    """Compare a listing that was in force `at` with what is stored.

    `models` by model id, all of them; `prices` by model pk, those that end after `at` in order. With `backfilled` a later
    listing was applied already: this one only tells prices of its own time, not what is on sale now.
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
        touched = _plan_price(plan, entry, prices.get(model.pk, ()), at=at, backfilled=backfilled)
        if not backfilled:
            touched |= _plan_model(plan, entry, model)
        plan.unchanged += not touched
    if not backfilled:
        listed = {entry.model_id for entry in entries}
        plan.vanished = [
            model for model in models.values() if model.status == Model.Status.ACTIVE and model.model_id not in listed
        ]
    return plan


def _plan_price(plan: Plan, entry: ListedModel, intervals: Sequence[Price], *, at: datetime, backfilled: bool) -> bool:
    """Plan what becomes of one known model's price; True when there is something to write."""
    current = intervals[0] if intervals and intervals[0].effective_from <= at else None
    if current is not None and says_the_same(current, entry, at=at):
        if current.kind == Price.Kind.QUARANTINED:
            plan.quarantined.append(entry)
        return False
    if entry.kind is PriceKind.QUARANTINED:
        plan.quarantined.append(entry)
    if current is None:
        plan.opened.append(OpenedPrice(entry, intervals[0].effective_from if intervals else None))
    elif current.effective_to is not None or current.effective_from == at or backfilled:
        # An open price that a later listing left as it was has been confirmed by it.
        plan.conflicts.append(entry.model_id)
        return False
    else:
        plan.ended.append(current)
        plan.opened.append(OpenedPrice(entry, None))
    plan.price_changes += 1
    return True


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
