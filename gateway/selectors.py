"""What the gateway has to know of the catalog before it lets a call go out; kept in memory, looked at once a second."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from catalog.models import Model, Price, RouterTarget
from catalog.money import ZERO, exact_product, exact_sum
from catalog.pricing import PriceSheet
from catalog.selectors import Catalog, CatalogVersion, catalog_version, load_catalog

#: How long a process believes that the catalog has not changed. A price that begins later than the look is in it already.
_BELIEVED_SECONDS = 1.0
#: What stands in where a model lists no context length, and where it lists no limit of its answers.
UNKNOWN_CONTEXT_TOKENS = 2_000_000
DEFAULT_COMPLETION_TOKENS = 16_384

_PROMPT_KEYS = ("prompt", "input_cache_read", "input_cache_write", "input_cache_write_1h", "audio", "input_audio_cache")
_COMPLETION_KEYS = ("completion", "internal_reasoning", "audio_output", "image_output")


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The most that one unit can cost, in USD: the dearest of every kind of token that a prompt or an answer can hold."""

    prompt_usd: Decimal
    completion_usd: Decimal
    request_usd: Decimal
    image_usd: Decimal
    web_search_usd: Decimal

    @classmethod
    def of(cls, sheet: PriceSheet, *, prompt_tokens: int) -> Ceiling:
        """The dearest prices of a sheet for prompts of at most so many tokens, at any time of day."""
        dearest: dict[str, Decimal] = dict(sheet.prices)
        for override in sheet.overrides:
            # A tier begins above its threshold; a prompt that stays below never gets there.
            if override.min_prompt_tokens is None or override.min_prompt_tokens < prompt_tokens:
                for key, usd in override.prices.items():
                    dearest[key] = max(usd, dearest.get(key, ZERO))
        return cls(
            prompt_usd=max(dearest.get(key, ZERO) for key in _PROMPT_KEYS),
            completion_usd=max(dearest.get(key, ZERO) for key in _COMPLETION_KEYS),
            request_usd=dearest.get("request", ZERO),
            image_usd=dearest.get("image", ZERO),
            web_search_usd=dearest.get("web_search", ZERO),
        )

    def dearer(self, other: Ceiling) -> Ceiling:
        """The dearer of each price."""
        return Ceiling(
            prompt_usd=max(self.prompt_usd, other.prompt_usd),
            completion_usd=max(self.completion_usd, other.completion_usd),
            request_usd=max(self.request_usd, other.request_usd),
            image_usd=max(self.image_usd, other.image_usd),
            web_search_usd=max(self.web_search_usd, other.web_search_usd),
        )

    def cost_usd(self, *, prompt: int, completion: int, images: int, web_searches: int) -> Decimal:
        """What so much costs at most, exact."""
        return exact_sum(
            (
                exact_product(self.prompt_usd, prompt),
                exact_product(self.completion_usd, completion),
                self.request_usd,
                exact_product(self.image_usd, images),
                exact_product(self.web_search_usd, web_searches),
            )
        )


@dataclass(frozen=True, slots=True)
class Offer:
    """A model as a caller can ask for it. `max_completion` is None where it lists no limit of its answers."""

    model_pk: int
    model_id: str
    provider: str
    context_length: int | None
    max_completion: int | None
    is_active: bool
    target_pks: tuple[int, ...]


class Offers:
    """All models with their limits and prices, as they were at `version`."""

    def __init__(self, catalog: Catalog, offers: Mapping[int, Offer]) -> None:
        self.version: CatalogVersion = catalog.version
        self._catalog = catalog
        self._offers = offers
        self._ceilings: dict[tuple[int, int], Ceiling] = {}

    def find(self, name: str, *, at: datetime) -> Offer | None:
        """The model that a name means, retired ones as well; None when nothing has that name."""
        priced = self._catalog.lookup(name, at=at)
        return None if priced is None else self._offers.get(priced.model_pk)

    def ceiling(self, offer: Offer, *, prompt_tokens: int, at: datetime) -> Ceiling | None:
        """The dearest prices that an answer to this model can be charged at; None where it has no price.

        A router costs what the dearest of its targets costs and, where those are unknown, of all models on sale.
        """
        priced = self._catalog.lookup(offer.model_id, at=at)
        if priced is None:
            return None
        if priced.sheet is not None and priced.price_pk is not None:
            return self._of_sheet(priced.price_pk, priced.sheet, prompt_tokens)
        if priced.kind != Price.Kind.VARIABLE:
            return None
        dearest: Ceiling | None = None
        for pk in self._targets(offer):
            target = self._catalog.lookup(self._offers[pk].model_id, at=at)
            if target is not None and target.sheet is not None and target.price_pk is not None:
                ceiling = self._of_sheet(target.price_pk, target.sheet, prompt_tokens)
                dearest = ceiling if dearest is None else dearest.dearer(ceiling)
        return dearest

    def answering(self, offer: Offer, *, at: datetime) -> tuple[int, ...]:
        """The keys of the models that may answer: of a router its targets, or all on sale where those are unknown."""
        priced = self._catalog.lookup(offer.model_id, at=at)
        is_router = priced is not None and priced.kind == Price.Kind.VARIABLE
        return self._targets(offer) if is_router else (offer.model_pk,)

    def limits(self, offer: Offer) -> tuple[int, int | None]:
        """Context length and longest answer, of a router the largest of its targets'."""
        offers = [self._offers[pk] for pk in offer.target_pks] or [offer]
        contexts = [each.context_length or UNKNOWN_CONTEXT_TOKENS for each in (offer, *offers)]
        longest = [each.max_completion for each in offers]
        return max(contexts), None if None in longest else max(length for length in longest if length is not None)

    def _targets(self, router: Offer) -> tuple[int, ...]:
        return router.target_pks or tuple(pk for pk, other in self._offers.items() if other.is_active)

    def _of_sheet(self, price_pk: int, sheet: PriceSheet, prompt_tokens: int) -> Ceiling:
        thresholds = sum(
            1
            for override in sheet.overrides
            if override.min_prompt_tokens and override.min_prompt_tokens < prompt_tokens
        )
        ceiling = self._ceilings.get((price_pk, thresholds))
        if ceiling is None:
            ceiling = self._ceilings[price_pk, thresholds] = Ceiling.of(sheet, prompt_tokens=prompt_tokens)
        return ceiling


_offers: Offers | None = None
_looked_at = 0.0


def current_offers() -> Offers:
    """The models on offer; asks the database at most once a second whether they changed."""
    global _offers, _looked_at
    offers, clock = _offers, time.monotonic()
    if offers is None or clock - _looked_at >= _BELIEVED_SECONDS:
        if offers is None or offers.version != catalog_version():
            offers = _offers = _load()
        _looked_at = clock
    return offers


def forget_offers() -> None:
    """Look again at the next call."""
    global _offers
    _offers = None


def _load() -> Offers:
    catalog = load_catalog()
    targets: dict[int, list[int]] = {}
    for router, target in RouterTarget.objects.order_by("position").values_list("router_id", "target_id"):
        targets.setdefault(router, []).append(target)
    offers = {}
    for model in Model.objects.select_related("provider").only(
        "pk", "model_id", "context_length", "listing", "status", "provider__slug"
    ):
        offers[model.pk] = Offer(
            model_pk=model.pk,
            model_id=model.model_id,
            provider=model.provider.slug,
            context_length=model.context_length,
            max_completion=_max_completion(model),
            is_active=model.status == Model.Status.ACTIVE,
            target_pks=tuple(pk for pk in targets.get(model.pk, ())),
        )
    return Offers(catalog, offers)


def _max_completion(model: Model) -> int | None:
    """The longest answer that the listing allows; never more than the context. None where neither is known."""
    top = model.listing.get("top_provider")
    listed = top.get("max_completion_tokens") if isinstance(top, dict) else None
    if isinstance(listed, int) and not isinstance(listed, bool) and listed > 0:
        return listed
    return model.context_length
