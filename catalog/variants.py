"""Routing suffixes of model names (`openai/gpt-5:nitro`): what each does, and which of them a model takes.

Two kinds, as on OpenRouter. A listed variant (`x/y:free`) is a model of its own, with its own price. A routing variant
is the same model asked in another way, at the model's price. A suffix that would cost something nobody listed a price
for is not taken: `:free` is free only where it is listed so, `:online` only where a web search has a price.
"""

from collections.abc import Collection, Container
from dataclasses import dataclass
from enum import StrEnum

_REASONING = frozenset({"reasoning", "include_reasoning", "reasoning_effort"})


class VariantPrice(StrEnum):
    """What a suffix does to the price."""

    BASE = "base"  # none: the model's own price
    WEB_SEARCH = "web_search"  # the model's own price, and its listed price of a web search for each search
    LISTED = "listed"  # the price that the variant itself is listed at


_PRICE_SENTENCES = {
    VariantPrice.BASE: "Costs what the model costs.",
    VariantPrice.WEB_SEARCH: "Costs what the model costs, and its web search price for each search.",
    VariantPrice.LISTED: "A model of its own: costs what it is listed at.",
}


@dataclass(frozen=True, slots=True)
class Variant:
    """A suffix (without its colon) with what it does to routing, in a sentence, and to the price."""

    suffix: str
    routing: str
    price: VariantPrice

    @property
    def description(self) -> str:
        """Both effects, for people."""
        return f"{self.routing} {_PRICE_SENTENCES[self.price]}"


#: Every suffix that is known, in the order in which they are shown.
VARIANTS = (
    Variant("nitro", "Asks the provider with the highest throughput first.", VariantPrice.BASE),
    Variant("floor", "Asks the provider with the lowest price first.", VariantPrice.BASE),
    Variant("free", "Uses the free tier, which has lower rate limits.", VariantPrice.LISTED),
    Variant("thinking", "Turns extended reasoning on; reasoning tokens are output tokens.", VariantPrice.BASE),
    Variant("online", "Lets the model search the web before it answers.", VariantPrice.WEB_SEARCH),
    Variant("exacto", "Asks the providers first that handle tool calls most reliably.", VariantPrice.BASE),
)


def split_variant(name: str) -> tuple[str, str]:
    """A name without its suffix, and the suffix without its colon: "x/y:free" -> ("x/y", "free"); "" for none."""
    base, _, suffix = name.rpartition(":")
    return (base, suffix) if base and suffix and "/" not in suffix else (name, "")


def variants_taken(
    model_id: str, *, parameters: Collection[str], price_keys: Collection[str], listed_ids: Container[str]
) -> tuple[Variant, ...]:
    """The suffixes that a model takes, with what each costs here.

    `parameters` are the request parameters it supports, `price_keys` those it is listed with, `listed_ids` the ids of all
    models on sale. A variant takes no second suffix.
    """
    if split_variant(model_id)[1]:
        return ()
    taken = []
    for variant in VARIANTS:
        if f"{model_id}:{variant.suffix}" in listed_ids:
            taken.append(Variant(variant.suffix, variant.routing, VariantPrice.LISTED))
        elif variant.price is not VariantPrice.LISTED and _fits(variant.suffix, parameters, price_keys):
            taken.append(variant)
    return tuple(taken)


def _fits(suffix: str, parameters: Collection[str], price_keys: Collection[str]) -> bool:
    match suffix:
        case "thinking":
            return not _REASONING.isdisjoint(parameters)
        case "online":
            return "web_search" in price_keys
        case "exacto":
            return "tools" in parameters
        case _:
            return True
