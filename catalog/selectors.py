"""Questions about models and prices: which model is meant by a name, and which price was in force at an instant.

Names are looked up in the order of DESIGN section 4: id, canonical slug, alias, and then the same without the routing
variant (`:nitro`). A name without a variant is never answered by a variant: `x/y:free` costs 0, so it must not price a
call of `x/y`, whatever slug the two share.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any

from django.db import connection
from django.db.models import Q, QuerySet

from accounts.models import Customer
from catalog.changes import ComponentChange, component_changes, overall_percent
from catalog.models import Model, ModelAlias, Price
from catalog.pricing import PriceError, PriceSheet
from catalog.variants import split_variant

#: What `PricedModel.kind` says when the model is known and had no price at that instant.
UNPRICED = "unpriced"

#: A name may have any suffix, so there is no end of names.
_MAX_LAST_NAMES = 4096
_FOR_EVER = datetime.max.replace(tzinfo=UTC)

CatalogVersion = int


@dataclass(frozen=True, slots=True)
class PricedModel:
    """A model and what it cost at one instant.

    `kind` is a `Price.Kind` or "unpriced" (no interval holds the instant). `sheet` (USD per unit) is there exactly when
    the kind is "listed"; the code and reason exactly when it is "quarantined".
    """

    model_pk: int
    model_id: str
    price_pk: int | None
    kind: str
    sheet: PriceSheet | None = None
    quarantine_code: str = ""
    quarantine_reason: str = ""


def response_name(model: Model) -> str:
    """The canonical slug as an answer of this very model names it: `x/y:free` with slug `x/y-2026` -> `x/y-2026:free`."""
    _, suffix = split_variant(model.model_id)
    variant, slug = f":{suffix}" if suffix else "", model.canonical_slug
    return slug if slug.endswith(variant) else slug + variant


def find_model(name: str) -> Model | None:
    """The model that a name means, active or retired; None when nothing has that name."""
    if "\0" in name:  # PostgreSQL has no such text
        return None
    names = {name, split_variant(name)[0]}
    aliases = dict(ModelAlias.objects.filter(alias__in=names).values_list("alias", "model_id"))
    models = list(
        Model.objects.filter(Q(model_id__in=names) | Q(canonical_slug__in=names) | Q(pk__in=aliases.values()))
    )
    pk = Names(models, aliases).resolve(name)
    return next((model for model in models if model.pk == pk), None)


def price_in_force(model: Model, *, at: datetime) -> Price | None:
    """The price whose interval holds the instant, of whatever kind; None where there is no interval."""
    return model.prices.filter(Q(effective_to__isnull=True) | Q(effective_to__gt=at), effective_from__lte=at).first()


def sheet_of(price: Price) -> PriceSheet | None:
    """The parsed price; None where there is none or where it can't be read (any more)."""
    if price.kind != Price.Kind.LISTED:
        return None
    try:
        return PriceSheet.parse(price.components, price.overrides)
    except PriceError:
        return None


def find_price(name: str, *, at: datetime) -> PricedModel | None:
    """What `Catalog.lookup` answers, for a caller who asks once: the model a name means and its price at that instant."""
    model = find_model(name)
    if model is None:
        return None
    price = price_in_force(model, at=at)
    return PricedModel(model.pk, model.model_id, None, UNPRICED) if price is None else _priced(price, model.model_id)


@dataclass(frozen=True, slots=True)
class PriceInterval:
    """One price of a model's history.

    `changes` are the components that cost something else than at the last listed price before, `percent` the largest of
    their percentages (None where there is none). Who and what: `price.source`, `price.created_by`, `price.created_at`.
    """

    price: Price
    changes: tuple[ComponentChange, ...]
    percent: Decimal | None


def price_history(model: Model) -> list[PriceInterval]:
    """Every price a model ever had and the announced ones, oldest first; intervals that follow one another touch."""
    history: list[PriceInterval] = []
    listed: PriceSheet | None = None
    for price in model.prices.order_by("effective_from"):
        sheet = sheet_of(price)
        changes = component_changes(listed, sheet) if listed is not None and sheet is not None else ()
        history.append(PriceInterval(price, changes, overall_percent(changes)))
        listed = sheet or listed
    return history


def models_for(customer: Customer | None) -> QuerySet[Model]:
    """The models on sale that a customer may call: of its providers, and on its list, where its contract has limits.

    With None, all that are on sale. The same rule as `Customer.may_call`, for the database.
    """
    models = Model.objects.filter(status=Model.Status.ACTIVE)
    if customer is not None and customer.enabled_providers is not None:
        models = models.filter(provider__slug__in=customer.enabled_providers)
    if customer is not None and customer.allowed_models is not None:
        models = models.filter(model_id__in=customer.allowed_models)
    return models


@dataclass(frozen=True, slots=True)
class PriceRange:
    """Between which prices a router's answers cost, in USD per token, by the listed base prices of `model_ids`."""

    prompt_low_usd: Decimal
    prompt_high_usd: Decimal
    completion_low_usd: Decimal
    completion_high_usd: Decimal
    model_ids: tuple[str, ...]


def router_price_range(model: Model, *, at: datetime) -> PriceRange | None:
    """The range over the models on sale that a router leads to and that have a listed price at that instant.

    None when there is no such model, and so for every model that is no router. Long prompts and hours of the day can
    cost more than the base prices.
    """
    prices = Price.objects.filter(
        Q(effective_to__isnull=True) | Q(effective_to__gt=at),
        effective_from__lte=at,
        kind=Price.Kind.LISTED,
        model__routers__router=model,
        model__status=Model.Status.ACTIVE,
    )
    sheets: dict[str, PriceSheet] = {}
    for price in prices.select_related("model").order_by("model__routers__position"):
        sheet = sheet_of(price)
        if sheet is not None:
            sheets[price.model.model_id] = sheet
    if not sheets:
        return None
    prompts = [sheet.prices["prompt"] for sheet in sheets.values()]
    completions = [sheet.prices["completion"] for sheet in sheets.values()]
    return PriceRange(min(prompts), max(prompts), min(completions), max(completions), tuple(sheets))


def catalog_version() -> CatalogVersion:
    """A number that every change of providers, models, aliases, prices and routers replaces by a new one.

    A process that keeps a `Catalog` loads a new one when this differs from `catalog.version`.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT version FROM catalog_version")
        version: int = cursor.fetchone()[0]
    return version


def load_catalog() -> Catalog:
    """All models, aliases and prices as they are now, in memory: one query each, and one for the version."""
    # The version is read first: a change that commits while we load makes the snapshot look old, never new.
    version = catalog_version()
    # What points comes before what it points to, so that every alias has its model; prices last, so that a model that
    # was added a moment ago never looks unpriced.
    aliases = dict(ModelAlias.objects.values_list("alias", "model_id"))
    models = list(Model.objects.only("pk", "model_id", "canonical_slug", "status"))
    prices = Price.objects.defer("listed_pricing", "source", "created_at", "created_by")
    return Catalog(models, aliases, prices.order_by("model_id", "effective_from"), version=version)


class Catalog:
    """The whole catalog in memory, for pricing many events without a query each.

    It stays as it was loaded; compare `version` with `catalog_version()` to see whether something changed since. Price
    sheets are parsed when they are first asked for.
    """

    def __init__(
        self,
        models: Sequence[Model],
        aliases: Mapping[str, int],
        prices: Iterable[Price],
        *,
        version: CatalogVersion,
    ) -> None:
        """`prices` come in the order of their beginnings (per model)."""
        self.version = version
        self._model_ids = {model.pk: model.model_id for model in models}
        self._names = Names(models, aliases)
        self._prices: dict[int, list[Price]] = {}
        for price in prices:
            self._prices.setdefault(price.model_id, []).append(price)
        self._answers: dict[int, PricedModel] = {}
        self._last: dict[str, tuple[datetime, datetime, PricedModel]] = {}

    def lookup(self, name: str, *, at: datetime) -> PricedModel | None:
        """The model that a name means with its price at that instant (aware); None when nothing has that name.

        One price's answer is always the same object.
        """
        last = self._last.get(name)  # most names are asked for again at once, at about the same time
        if last is not None and last[0] <= at < last[1]:
            return last[2]
        pk = self._names.resolve(name)
        if pk is None:
            return None
        prices = self._prices.get(pk, [])
        position = bisect_right(prices, at, key=attrgetter("effective_from"))
        price = prices[position - 1] if position else None
        if price is None or (price.effective_to is not None and price.effective_to <= at):
            return PricedModel(pk, self._model_ids[pk], None, UNPRICED)
        answer = self._answers.get(price.pk)
        if answer is None:
            answer = self._answers[price.pk] = _priced(price, self._model_ids[pk])
        if len(self._last) >= _MAX_LAST_NAMES:
            self._last.clear()
        self._last[name] = (price.effective_from, price.effective_to or _FOR_EVER, answer)
        return answer


def _priced(price: Price, model_id: str) -> PricedModel:
    identity: dict[str, Any] = {"model_pk": price.model_id, "model_id": model_id, "price_pk": price.pk}
    if price.kind != Price.Kind.LISTED:
        return PricedModel(
            **identity,
            kind=price.kind,
            quarantine_code=price.quarantine_code,
            quarantine_reason=price.quarantine_reason,
        )
    try:
        return PricedModel(**identity, kind=price.kind, sheet=PriceSheet.parse(price.components, price.overrides))
    except PriceError as error:
        # Stored by an earlier version that read this price differently: asking somebody is better than guessing.
        return PricedModel(
            **identity, kind=Price.Kind.QUARANTINED, quarantine_code=error.code, quarantine_reason=str(error)
        )


class Names:
    """Name -> primary key of a model, in the lookup order of DESIGN section 4."""

    def __init__(self, models: Iterable[Model], aliases: Mapping[str, int]) -> None:
        self._aliases = aliases
        self._ids: dict[str, int] = {}
        self._slugs: dict[str, int] = {}
        # Of models that share slug and variant an active one comes first; then by id, which leaves `~…-latest` for last.
        for model in sorted(models, key=lambda model: (model.status == Model.Status.RETIRED, model.model_id)):
            self._ids[model.model_id] = model.pk
            self._slugs.setdefault(response_name(model), model.pk)

    def resolve(self, name: str) -> int | None:
        """The model that a name means, whatever its suffix says where no model is listed with it."""
        pk = self.exact(name)
        base, suffix = split_variant(name)
        return self.exact(base) if pk is None and suffix else pk

    def exact(self, name: str) -> int | None:
        """The model of that very name, suffix included."""
        for names in (self._ids, self._slugs, self._aliases):
            pk = names.get(name)
            if pk is not None:
                return pk
        return None
