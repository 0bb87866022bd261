"""What is on sale now, in memory: one `Offers` a process, read anew when the catalog changed or a price begins or ends.

A request costs one query, for the catalog's version. On sale is a model that is active and whose price in force is listed
or variable; a quarantined price is no price.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from difflib import get_close_matches

from django.db.models import Q

from accounts.models import Customer
from catalog.api import shapes
from catalog.api.answers import ApiError, Json, encode, shown
from catalog.listing import MAX_ID_LENGTH
from catalog.models import Model, ModelAlias, Price, Provider, RouterTarget
from catalog.selectors import CatalogVersion, Names, catalog_version, sheet_of
from catalog.variants import Variant, split_variant, variants_taken

_SUGGESTIONS = 3


@dataclass(frozen=True, slots=True)
class Offer:
    """A model on sale with its price in force, its entry in the list as JSON, and what the list is filtered by."""

    model: Model
    provider: Provider
    price: Price
    entry: Json
    body: bytes
    inputs: frozenset[str]
    outputs: frozenset[str]
    parameters: frozenset[str]
    created: int  # Unix seconds
    tokenizer: str
    text: str  # what is searched, folded
    prompt_usd: Decimal | None  # per token; None for a router
    completion_usd: Decimal | None

    @classmethod
    def of(cls, model: Model, price: Price) -> Offer:
        """The offer of an active model at a listed or variable price."""
        entry = shapes.model_shape(model, price, provider=model.provider)
        sheet = sheet_of(price)
        prices: Mapping[str, Decimal] = {} if sheet is None else sheet.prices
        return cls(
            model=model,
            provider=model.provider,
            price=price,
            entry=entry,
            body=encode(entry),
            inputs=frozenset(entry["architecture"]["input_modalities"]),
            outputs=frozenset(entry["architecture"]["output_modalities"]),
            parameters=frozenset(entry["supported_parameters"]),
            created=entry["created"],
            tokenizer=entry["architecture"]["tokenizer"],
            text="\n".join((model.model_id, model.canonical_slug, model.name)).casefold(),
            prompt_usd=prices.get("prompt"),
            completion_usd=prices.get("completion"),
        )


class Offers:
    """Everything on sale as of one reading of the catalog, newest models first."""

    def __init__(
        self,
        offers: Iterable[Offer],
        names: Names,
        routes: Mapping[int, tuple[int, ...]],
        *,
        version: CatalogVersion,
        loaded_at: datetime,
        until: datetime | None,
    ) -> None:
        """`routes`: primary keys of models by those of their routers; `until`: when the next price begins or ends."""
        self.version = version
        self.all = tuple(sorted(offers, key=lambda offer: (-offer.created, offer.model.model_id)))
        self._names = names
        self._routes = routes
        self._by_pk = {offer.model.pk: offer for offer in self.all}
        self._loaded_at = loaded_at
        self._until = until

    def holds_at(self, now: datetime) -> bool:
        """Whether these are the prices in force at that instant."""
        return self._loaded_at <= now and (self._until is None or now < self._until)

    def visible_to(self, customer: Customer | None) -> tuple[Offer, ...]:
        """What a customer may call, or with None everything."""
        if customer is None:
            return self.all
        return tuple(offer for offer in self.all if _may_see(customer, offer))

    def named(self, name: str, customer: Customer | None) -> tuple[Offer, Variant | None]:
        """The offer that a name means (id, permanent name, alias), and the routing suffix it is called with.

        Raises ApiError 404, with the nearest names, for a name that nobody has, a model that is retired or not for this
        customer, and a suffix that the model does not take.
        """
        pk = self._names.exact(name)
        if pk is not None:
            offer = self._by_pk.get(pk)
            if offer is not None and _may_see(customer, offer):
                return offer, None
            raise self._unknown(name, customer)
        base, suffix = split_variant(name)
        offer = self._by_pk.get(self._names.exact(base) or 0) if suffix else None
        if offer is None or not _may_see(customer, offer):
            raise self._unknown(name, customer)
        taken = self.variants(offer, customer)
        for variant in taken:
            if variant.suffix == suffix:
                return offer, variant
        raise _unknown_suffix(offer, suffix, taken)

    def variants(self, offer: Offer, customer: Customer | None) -> tuple[Variant, ...]:
        """The suffixes that a model takes, for this customer."""
        return variants_taken(
            offer.model.model_id,
            parameters=offer.parameters,
            price_keys=offer.price.components,
            listed_ids={other.model.model_id for other in self.visible_to(customer)},
        )

    def routes(self, offer: Offer, customer: Customer | None) -> list[str]:
        """Ids of the models that a router leads this customer to; none for a model that is no router."""
        targets = (self._by_pk.get(pk) for pk in self._routes.get(offer.model.pk, ()))
        return [target.model.model_id for target in targets if target is not None and _may_see(customer, target)]

    def _unknown(self, name: str, customer: Customer | None) -> ApiError:
        suggestions: list[str] = []
        if len(name) <= MAX_ID_LENGTH:
            ids = {offer.model.model_id.casefold(): offer.model.model_id for offer in self.visible_to(customer)}
            suggestions = [ids[near] for near in get_close_matches(name.casefold(), ids, n=_SUGGESTIONS)]
        return _not_found(f"There is no model {shown(name)} on sale.", suggestions)


def current_offers(*, now: datetime) -> Offers:
    """What is on sale at `now`; one query when nothing changed since it was last asked."""
    held = _Held.offers
    if held is None or held.version != catalog_version() or not held.holds_at(now):
        with _Held.lock:
            if _Held.offers is held:  # else another thread has just read it anew
                _Held.offers = load_offers(now=now)
            held = _Held.offers
    assert held is not None
    return held


def load_offers(*, now: datetime) -> Offers:
    """Read the whole catalog: five queries."""
    # The version comes first and what points before what it points to, as in `catalog.selectors.load_catalog`.
    version = catalog_version()
    aliases = dict(ModelAlias.objects.values_list("alias", "model_id"))
    routes: dict[int, tuple[int, ...]] = {}
    for router, target in RouterTarget.objects.order_by("router", "position").values_list("router", "target"):
        routes[router] = (*routes.get(router, ()), target)
    models = list(Model.objects.select_related("provider"))
    in_force: dict[int, Price] = {}
    changes: list[datetime] = []
    for price in Price.objects.filter(Q(effective_to__isnull=True) | Q(effective_to__gt=now)).defer("listed_pricing"):
        if price.effective_from > now:
            changes.append(price.effective_from)
            continue
        in_force[price.model_id] = price
        if price.effective_to is not None:
            changes.append(price.effective_to)
    offers = _on_sale(models, in_force)
    names = Names(models, aliases)
    return Offers(offers, names, routes, version=version, loaded_at=now, until=min(changes, default=None))


def _on_sale(models: Iterable[Model], prices: Mapping[int, Price]) -> Iterable[Offer]:
    for model in models:
        price = prices.get(model.pk)
        if model.status != Model.Status.ACTIVE or price is None:
            continue
        if price.kind == Price.Kind.VARIABLE or sheet_of(price) is not None:
            yield Offer.of(model, price)


class _Held:
    """The process's own copy."""

    offers: Offers | None = None
    lock = threading.Lock()


def _may_see(customer: Customer | None, offer: Offer) -> bool:
    return customer is None or customer.may_call(provider=offer.provider.slug, model_id=offer.model.model_id)


def _unknown_suffix(offer: Offer, suffix: str, taken: Iterable[Variant]) -> ApiError:
    base = offer.model.model_id
    names = [f":{variant.suffix}" for variant in taken]
    takes = f"it takes {', '.join(names)}" if names else "it takes none"
    message = f"{base} does not take the suffix {shown(':' + suffix)}; {takes}."
    return _not_found(message, [base, *(base + name for name in names)])


def _not_found(message: str, suggestions: list[str]) -> ApiError:
    if suggestions:
        message += f" Did you mean {' or '.join(suggestions[:_SUGGESTIONS])}?"
    return ApiError(404, "not_found", message, param="model", suggestions=suggestions)
