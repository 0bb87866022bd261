"""Applying an upstream's model listing to the catalog."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Min

from accounts.errors import InvalidInput
from accounts.services import record_audit
from catalog.changes import overall_percent
from catalog.errors import FutureListing, HistoryConflict, InvalidListing, ShrunkenListing
from catalog.listing import ListedModel, ListingError, PriceKind, parse_listing
from catalog.models import CatalogSync, Model, ModelAlias, Price, Provider
from catalog.money import decimal_text
from catalog.services.locking import hold_catalog
from catalog.services.planning import METADATA_FIELDS, OpenedPrice, Plan, metadata, plan_sync
from catalog.services.recording import as_json, known_prices, percent_texts, record_changes

#: Provider of models whose id names none (no slash).
UNKNOWN_PROVIDER = "unknown"
#: Names that callers use by habit, where the model exists.
WELL_KNOWN_ALIASES = {"auto": "openrouter/auto"}
#: Clocks of two machines differ; prices that begin later than this after now are announcements, not facts.
CLOCK_TOLERANCE = timedelta(minutes=1)

_SHOWN_CONFLICTS = 10
_SOURCE_CHARS = 300


@dataclass(frozen=True)
class AwaitingChange:
    """A listed price that is not in force until an operator approves it, since this sync or an earlier one."""

    model_id: str
    percent: Decimal | None
    percents: Mapping[str, str | None]


@dataclass(frozen=True)
class SyncReport:
    """What one sync found and did; counts are models.

    Every listed model is created, unchanged, awaiting approval, or touched in one or more of the ways `updated`
    (metadata), `price_changes` and `returned`. `variable`, `quarantined` (model id, code, reason) and `awaiting` say what
    the listing holds, changed or not.
    """

    source: str
    effective_at: datetime
    listed: int
    created: int
    updated: int
    price_changes: int
    unchanged: int
    variable: int
    retired: int
    returned: int
    quarantined: tuple[tuple[str, str, str], ...]
    awaiting: tuple[AwaitingChange, ...]
    changed: bool

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON."""
        return {
            "source": self.source,
            "effective_at": self.effective_at.isoformat(),
            "changed": self.changed,
            "listed": self.listed,
            "created": self.created,
            "updated": self.updated,
            "price_changes": self.price_changes,
            "unchanged": self.unchanged,
            "variable": self.variable,
            "retired": self.retired,
            "returned": self.returned,
            "quarantined": [
                {"model": model_id, "code": code, "reason": reason} for model_id, code, reason in self.quarantined
            ],
            "awaiting_approval": [
                {
                    "model": change.model_id,
                    "percent": None if change.percent is None else decimal_text(change.percent),
                    "percents": dict(change.percents),
                }
                for change in self.awaiting
            ],
        }


@transaction.atomic
def sync_catalog(
    *,
    body: bytes,
    source: str,
    at: datetime,
    now: datetime,
    actor: str,
    accept_shrink: bool = False,
    approval_percent: Decimal | None = None,
) -> SyncReport:
    """Apply a whole `/models` answer that was in force from `at` on; a sync that finds nothing new writes nothing.

    A changed price ends the interval in force at `at` and opens another; a new model's opens at `at`. A price that can't
    be read is quarantined from `at` on: going on with the old one would be guessing. A vanished model is retired and its
    price interval stays open, so that events which arrive late, or calls the upstream still answers, are priced.

    Every changed price leaves a `PriceChange`. One that differs by more than `approval_percent` in any component, begins
    or ceases to be free, or turns variable or back, waits there for an operator, and the old price stays in force; with
    None nothing waits. A price that an operator announced is not touched: what changes before its day holds until then,
    and from its day on it stands until the listing says something else than before (docs/adr/0007).

    A back-dated listing fills in what was not known: a model without a price at `at` gets one up to its next. It never
    rewrites: one that contradicts a price which is already closed, which begins at that very instant, or which a later
    listing left as it was, is refused. When a later listing was applied before, models are neither described, retired nor
    returned by this one, and a model that only it names is created retired.

    All or nothing. Raises InvalidListing, FutureListing, HistoryConflict, ShrunkenListing (unless `accept_shrink`).
    """
    if at.utcoffset() is None:
        raise InvalidInput("at: needs a time zone", field="at")
    if at > now + CLOCK_TOLERANCE:
        raise FutureListing(
            f"at: {at.isoformat()} is in the future; a listing tells prices of its own time", field="at"
        )
    try:
        entries = parse_listing(body, at=at).models
    except ListingError as error:
        raise InvalidListing(str(error), code=error.code) from None

    hold_catalog()
    models = {model.model_id: model for model in Model.objects.all()}
    later_at = CatalogSync.objects.filter(effective_at__gt=at).aggregate(first=Min("effective_at"))["first"]
    plan = plan_sync(
        entries,
        models,
        known_prices(at=at),
        at=at,
        now=now,
        backfilled=later_at is not None,
        approval_percent=approval_percent,
    )
    _refuse_conflicts(plan, at)
    if not accept_shrink:
        _refuse_shrink(plan, models.values())
    aliases = _missing_aliases({*models, *(entry.model_id for entry in plan.created)})
    ids = {model.pk: model.model_id for model in models.values()}
    report = _report(
        entries, plan, ids, source=source[:_SOURCE_CHARS], at=at, changed=bool(aliases) or not plan.is_empty
    )
    if report.changed:
        opened = _apply(plan, models, report, retired_at=later_at, actor=actor)
        _add_aliases(aliases, models, actor=actor)
        sync = CatalogSync.objects.create(
            source=report.source,
            effective_at=at,
            listing_sha256=hashlib.sha256(body).hexdigest(),
            counts=report.as_dict(),
            actor=actor,
        )
        record_changes(plan, opened, sync=sync)
        record_audit(actor=actor, action="sync_catalog", subject=sync, data=report.as_dict())
    return report


def _refuse_conflicts(plan: Plan, at: datetime) -> None:
    if not plan.conflicts:
        return
    shown = plan.conflicts[:_SHOWN_CONFLICTS]
    more = len(plan.conflicts) - len(shown)
    raise HistoryConflict(
        f"at {at.isoformat()} other prices were in force for {', '.join(shown)}"
        f"{f' and {more} more' if more else ''}; a price that was in force is never rewritten",
        field="at",
        models=shown,
        count=len(plan.conflicts),
    )


def _refuse_shrink(plan: Plan, models: Iterable[Model]) -> None:
    active = sum(model.status == Model.Status.ACTIVE for model in models)
    lost = len(plan.vanished)
    if lost * 2 > active:
        raise ShrunkenListing(
            f"the listing lacks {lost} of {active} models on sale; accept the shrinking explicitly if that is right",
            lost=lost,
            active=active,
        )


def _report(
    entries: Iterable[ListedModel], plan: Plan, ids: Mapping[int, str], *, source: str, at: datetime, changed: bool
) -> SyncReport:
    kinds = Counter(entry.kind for entry in entries)
    return SyncReport(
        source=source,
        effective_at=at,
        listed=kinds.total(),
        created=len(plan.created),
        updated=len(plan.described),
        price_changes=plan.price_changes,
        unchanged=plan.unchanged,
        variable=kinds[PriceKind.VARIABLE],
        retired=len(plan.vanished),
        returned=len(plan.returned),
        quarantined=tuple(
            (entry.model_id, entry.quarantine_code, entry.quarantine_reason) for entry in plan.quarantined
        ),
        awaiting=(
            *(AwaitingChange(ids[known.model_id], known.percent, known.percents) for known in plan.waiting),
            *(
                AwaitingChange(new.entry.model_id, overall_percent(new.components), percent_texts(new.components))
                for new in plan.changes
                if new.waits
            ),
        ),
        changed=changed,
    )


def _apply(
    plan: Plan, models: dict[str, Model], report: SyncReport, *, retired_at: datetime | None, actor: str
) -> list[Price]:
    """Write a plan in a handful of statements and return the opened prices. Adds the new models to `models`."""
    at = report.effective_at
    models.update(create_models(plan.created, retired_at=retired_at))
    if plan.described:
        Model.objects.bulk_update(plan.described, METADATA_FIELDS)
    if plan.returned:
        Model.objects.filter(pk__in=[model.pk for model in plan.returned]).update(
            status=Model.Status.ACTIVE, retired_at=None
        )
    if plan.vanished:
        Model.objects.filter(pk__in=[model.pk for model in plan.vanished]).update(
            status=Model.Status.RETIRED, retired_at=at
        )
    # Ended before the next is opened: the intervals of one model may not overlap for a moment.
    if plan.ended:
        Price.objects.filter(pk__in=[price.pk for price in plan.ended]).update(effective_to=at)
    return Price.objects.bulk_create(
        _price(opened, models[opened.entry.model_id], report, actor=actor) for opened in plan.opened
    )


def create_models(entries: Iterable[ListedModel], *, retired_at: datetime | None) -> dict[str, Model]:
    """Store new models, retired when `retired_at` is given, and the providers that are missing for them."""
    new = list(entries)
    providers = _create_providers(new)
    created = Model.objects.bulk_create(
        Model(
            provider=providers[_provider_slug(entry)],
            model_id=entry.model_id,
            status=Model.Status.ACTIVE if retired_at is None else Model.Status.RETIRED,
            retired_at=retired_at,
            **metadata(entry),
        )
        for entry in new
    )
    return {model.model_id: model for model in created}


def _create_providers(entries: Iterable[ListedModel]) -> dict[str, Provider]:
    """All providers by slug. A new one is named as its models are: "OpenAI" of "OpenAI: GPT-5"; else by its slug."""
    names: dict[str, Counter[str]] = {}
    for entry in entries:
        prefix, colon, _ = entry.name.partition(": ")
        names.setdefault(_provider_slug(entry), Counter()).update([prefix] if colon else [])
    providers = {provider.slug: provider for provider in Provider.objects.filter(slug__in=names)}
    missing = Provider.objects.bulk_create(
        Provider(slug=slug, name=max(counts, key=lambda name: (counts[name], name), default=slug)[:200])
        for slug, counts in names.items()
        if slug not in providers
    )
    return providers | {provider.slug: provider for provider in missing}


def _provider_slug(entry: ListedModel) -> str:
    """The id's part before the slash, without the "~" of moving names; an id without a slash names nobody."""
    author, slash, _ = entry.model_id.removeprefix("~").partition("/")
    return author[:100] if slash and author else UNKNOWN_PROVIDER


def _price(opened: OpenedPrice, model: Model, report: SyncReport, *, actor: str) -> Price:
    entry = opened.entry
    return Price(
        model=model,
        kind=Price.Kind(entry.kind),
        effective_from=report.effective_at,
        effective_to=opened.until,
        components=dict(entry.components),
        overrides=list(entry.overrides),
        listed_pricing=as_json(entry.listed_pricing),
        quarantine_code=entry.quarantine_code,
        quarantine_reason=entry.quarantine_reason,
        source=report.source,
        created_by=actor,
    )


def _missing_aliases(model_ids: set[str]) -> dict[str, str]:
    """Well-known aliases that nobody has given yet and whose model exists."""
    wanted = {alias: model_id for alias, model_id in WELL_KNOWN_ALIASES.items() if model_id in model_ids}
    given = set(ModelAlias.objects.filter(alias__in=wanted).values_list("alias", flat=True))
    return {alias: model_id for alias, model_id in wanted.items() if alias not in given}


def _add_aliases(aliases: dict[str, str], models: dict[str, Model], *, actor: str) -> None:
    ModelAlias.objects.bulk_create(
        ModelAlias(alias=alias, model=models[model_id], created_by=actor) for alias, model_id in aliases.items()
    )
