"""What the public pages ask of the catalog: what is on the shelf, what a name means, what a model costs now."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Count, DecimalField, F, FilteredRelation, OrderBy, Q, QuerySet
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

from catalog.api.shapes import architecture, supported_parameters
from catalog.listing import MAX_ID_LENGTH
from catalog.models import Model, ModelAlias, Price, Provider
from catalog.pricing import PriceSheet
from catalog.selectors import find_model, price_history, price_in_force, sheet_of
from catalog.variants import split_variant, variants_taken

#: Wide enough for every price that can be stored (20 digits before the point, 28 after), so that nothing is rounded.
_PRICE_FIELD = DecimalField(max_digits=50, decimal_places=28)


@dataclass(frozen=True, slots=True)
class PriceTag:
    """What is said of a model's price at one instant.

    `kind` is "listed", "free" (listed, and nothing in it costs anything), "variable" or "unknown" (quarantined, or no
    price at that instant). `sheet` (USD per unit) is there for the first two.
    """

    kind: str
    sheet: PriceSheet | None = None

    @classmethod
    def of(cls, price: Price | None) -> PriceTag:
        """The tag of a price in force; None is a model without one."""
        if price is not None and price.kind == Price.Kind.VARIABLE:
            return cls("variable")
        sheet = sheet_of(price) if price is not None else None
        if sheet is None:
            return cls("unknown")
        prices = [*sheet.prices.values(), *(usd for override in sheet.overrides for usd in override.prices.values())]
        return cls("listed" if any(prices) else "free", sheet)

    @property
    def prompt_usd(self) -> Decimal | None:
        """USD per input token."""
        return self.sheet.prices["prompt"] if self.sheet else None

    @property
    def completion_usd(self) -> Decimal | None:
        """USD per output token."""
        return self.sheet.prices["completion"] if self.sheet else None


@dataclass(frozen=True, slots=True)
class ShelfItem:
    """A model as a list shows it."""

    model: Model
    price: PriceTag
    inputs: Sequence[str]
    outputs: Sequence[str]
    parameters: Collection[str]

    @classmethod
    def of(cls, model: Model, price: Price | None) -> ShelfItem:
        """A model with the price that is in force for it."""
        shape = architecture(model)
        return cls(
            model,
            PriceTag.of(price),
            shape["input_modalities"],
            shape["output_modalities"],
            frozenset(supported_parameters(model)),
        )


@dataclass(frozen=True, slots=True)
class ShelfQuery:
    """What a visitor looks for. Words, modalities and parameters must all hold; `sort` is a key of SORTS."""

    words: Sequence[str] = ()
    inputs: Sequence[str] = ()
    outputs: Sequence[str] = ()
    parameters: Sequence[str] = ()
    provider: str = ""
    sort: str = "newest"


_TOTAL_USD = Cast(KeyTextTransform("prompt", "current__components"), _PRICE_FIELD) + Cast(
    KeyTextTransform("completion", "current__components"), _PRICE_FIELD
)
#: Orders of the list. By price is by that of an input and an output token together, which is also the order of the
#: calculator's first amounts; what has no price of its own comes last either way.
SORTS: dict[str, OrderBy] = {
    "newest": F("listed_at").desc(nulls_last=True),
    "pricing-low-to-high": OrderBy(F("total_usd"), nulls_last=True),
    "pricing-high-to-low": OrderBy(F("total_usd"), descending=True, nulls_last=True),
    "context-high-to-low": F("context_length").desc(nulls_last=True),
    "name": OrderBy(F("name")),
}


def models_on_shelf(query: ShelfQuery, *, at: datetime) -> QuerySet[Model]:
    """The active models that match; each has `current`, its price in force at `at`, or None.

    Models whose price is unknown are among them: they exist, and their page says that the price is being checked.
    """
    in_force = Q(prices__effective_from__lte=at) & (
        Q(prices__effective_to__isnull=True) | Q(prices__effective_to__gt=at)
    )
    models = Model.objects.filter(*map(_mentions, query.words), status=Model.Status.ACTIVE)
    for name in query.inputs:
        models = models.filter(_has_modality("input_modalities", name))
    for name in query.outputs:
        models = models.filter(_has_modality("output_modalities", name))
    if query.parameters:
        models = models.filter(listing__supported_parameters__contains=list(query.parameters))
    if query.provider:
        models = models.filter(provider__slug=query.provider)
    priced = models.annotate(current=FilteredRelation("prices", condition=in_force)).annotate(total_usd=_TOTAL_USD)
    # The type checker knows no annotated relations; that is all these two comments say.
    whole = priced.select_related("provider", "current")  # type: ignore[misc]
    return whole.defer("description", "current__listed_pricing").order_by(SORTS[query.sort], "model_id")  # type: ignore[misc]


def shelf_items(models: Iterable[Model]) -> list[ShelfItem]:
    """A page of `models_on_shelf` as it is shown."""
    return [ShelfItem.of(model, getattr(model, "current", None)) for model in models]


def providers_on_shelf() -> QuerySet[Provider]:
    """Who makes the models that are on sale, by name."""
    return Provider.objects.filter(models__status=Model.Status.ACTIVE).distinct().order_by("name", "slug")


def on_shelf() -> dict[str, int]:
    """How many models are on sale, and from how many providers."""
    return Model.objects.filter(status=Model.Status.ACTIVE).aggregate(
        model_count=Count("pk"), provider_count=Count("provider", distinct=True)
    )


def _mentions(word: str) -> Q:
    called = ModelAlias.objects.filter(alias__iexact=word).values("model")
    return Q(model_id__icontains=word) | Q(name__icontains=word) | Q(pk__in=called)


def _has_modality(field: str, name: str) -> Q:
    path = f"listing__architecture__{field}"
    listed = Q(**{f"{path}__contains": [name]})
    # A listing that says nothing means text to text, as in the API.
    return listed | Q(**{f"{path}__isnull": True}) if name == "text" else listed


def model_called(name: str, *, at: datetime) -> Model | None:
    """The model that an address means, active or retired: by id, permanent name, alias or a routing suffix that it takes.

    Also by the id in other letters (`OpenAI/GPT-5`). None for a suffix that the model does not take: `x/y:free` is not
    the model that costs something.
    """
    if not 0 < len(name) <= MAX_ID_LENGTH or "\0" in name:
        return None
    model = find_model(name)
    if model is None:
        same = list(Model.objects.filter(model_id__iexact=name)[:2])
        return same[0] if len(same) == 1 else None
    base, suffix = split_variant(name)
    if not suffix or _is_own_name(model, name):
        return model
    return model if suffix in _suffixes_taken(model, at=at) and _is_own_name(model, base) else None


def _is_own_name(model: Model, name: str) -> bool:
    return name in {model.model_id, model.canonical_slug} or model.aliases.filter(alias=name).exists()


def _suffixes_taken(model: Model, *, at: datetime) -> set[str]:
    price = price_in_force(model, at=at)
    listed = Model.objects.filter(model_id__startswith=f"{model.model_id}:", status=Model.Status.ACTIVE)
    taken = variants_taken(
        model.model_id,
        parameters=supported_parameters(model),
        price_keys=price.components if price else (),
        listed_ids=set(listed.values_list("model_id", flat=True)),
    )
    return {variant.suffix for variant in taken}


def known_model_ids(names: Collection[str]) -> set[str]:
    """Which of these are ids of models, active or retired; no query for none."""
    return set(Model.objects.filter(model_id__in=names).values_list("model_id", flat=True)) if names else set()


@dataclass(frozen=True, slots=True)
class PriceStep:
    """One interval of a model's price: from when (to None where it is open), and what held in it.

    `percent` is the largest change of a component against the listed price before; None where there is none.
    """

    since: datetime
    until: datetime | None
    price: PriceTag
    percent: Decimal | None = None


def price_steps(model: Model) -> list[PriceStep]:
    """All intervals of a model's price, oldest first, announced ones included."""
    return [
        PriceStep(one.price.effective_from, one.price.effective_to, PriceTag.of(one.price), one.percent)
        for one in price_history(model)
    ]


def routed_items(router: Model, *, at: datetime) -> list[ShelfItem]:
    """The models on sale with a listed price that a router may pass a request to, in its order."""
    models = models_on_shelf(ShelfQuery(), at=at).filter(routers__router=router).order_by("routers__position")
    return [item for item in shelf_items(models) if item.price.sheet is not None]
