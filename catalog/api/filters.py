"""The query parameters of `/models`: those of OpenRouter's API description, refused by name where they can't be meant.

A filter on something that this catalog does not know of any model (categories, benchmarks, data regions) matches no
model, rather than all; a sort by such a thing leaves the order as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from urllib.parse import urlencode

from catalog.api.answers import bad_parameter
from catalog.api.offers import Offer
from catalog.money import exact_product

ALL = "all"
OUTPUT_MODALITIES = (
    "text",
    "image",
    "audio",
    "embeddings",
    "video",
    "rerank",
    "decisions",
    "speech",
    "transcription",
    ALL,
)
INPUT_MODALITIES = ("text", "image", "file", "audio", "video")
PARAMETERS = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "top_a",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "max_tokens",
    "max_completion_tokens",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "prediction",
    "seed",
    "response_format",
    "structured_outputs",
    "stop",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "include_reasoning",
    "reasoning",
    "reasoning_effort",
    "web_search_options",
    "verbosity",
)
CATEGORIES = (
    "programming",
    "roleplay",
    "marketing",
    "marketing/seo",
    "technology",
    "science",
    "translation",
    "legal",
    "finance",
    "health",
    "trivia",
    "academia",
)
FORMATS = ("openrouter",)
#: Filters on facts that are known of no model, with their values where those are a fixed set.
_UNKNOWN_FACTS: Mapping[str, Sequence[str]] = {
    "category": CATEGORIES,
    "zdr": ("true",),
    "region": ("eu", "us"),
    **{
        f"{bound}_{name}": ()
        for bound in ("min", "max")
        for name in ("intelligence_index", "coding_index", "agentic_index", "tool_success_rate")
    },
}
DEFAULT_LIMIT = 500
MAX_LIMIT = 1000

_MILLION = 1_000_000
_DAY_SECONDS = 86_400
_WHOLE = re.compile(r"[0-9]{1,15}")
#: What clients write for a number, exponents included: JavaScript says 1e-7.
_NUMBER = re.compile(r"(?=[0-9.])[0-9]{0,12}(\.[0-9]{0,28})?([eE][+-]?[0-9]{1,2})?")

Key = Callable[[Offer], tuple[bool, Decimal | int, str]]


def _mean_usd(offer: Offer) -> Decimal | None:
    if offer.prompt_usd is None or offer.completion_usd is None:
        return None
    return offer.prompt_usd + offer.completion_usd


def _by(value: Callable[[Offer], Decimal | int | None], *, descending: bool) -> Key:
    """A sort key; what has no value comes last either way, equals by id."""

    def key(offer: Offer) -> tuple[bool, Decimal | int, str]:
        number = value(offer)
        if number is None:
            return (True, 0, offer.model.model_id)
        return (False, -number if descending else number, offer.model.model_id)

    return key


#: None: nobody counts that here, so the order stays as it is (newest first).
SORTS: Mapping[str, Key | None] = {
    "newest": None,
    "pricing-low-to-high": _by(_mean_usd, descending=False),
    "pricing-high-to-low": _by(_mean_usd, descending=True),
    "context-high-to-low": _by(lambda offer: offer.model.context_length, descending=True),
    "most-popular": None,
    "top-weekly": None,
    "throughput-high-to-low": None,
    "latency-low-to-high": None,
    "intelligence-high-to-low": None,
    "coding-high-to-low": None,
    "agentic-high-to-low": None,
    "design-arena-elo-high-to-low": None,
}


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for; `limit` None is all of it."""

    offset: int
    limit: int | None

    def of(self, offers: Sequence[Offer]) -> Sequence[Offer]:
        """That part."""
        return offers[self.offset : None if self.limit is None else self.offset + self.limit]

    def next_link(self, path: str, params: Mapping[str, str], total: int) -> str | None:
        """The address of the part after it, or None when this is the last."""
        if self.limit is None or self.offset + self.limit >= total:
            return None
        return f"{path}?{urlencode({**params, 'offset': self.offset + self.limit, 'limit': self.limit})}"


def page_asked_for(params: Mapping[str, str]) -> Page:
    """`offset` and `limit`; without either, the whole list. Raises ApiError 400."""
    offset, limit = _whole(params, "offset"), _whole(params, "limit", least=1, most=MAX_LIMIT)
    if offset is None and limit is None:
        return Page(0, None)
    return Page(offset or 0, DEFAULT_LIMIT if limit is None else limit)


def select(
    offers: Sequence[Offer], params: Mapping[str, str], *, now: datetime, default_outputs: str = "text"
) -> Sequence[Offer]:
    """The offers that the query parameters ask for, in the order they ask for. Empty values count as absent.

    A model matches `output_modalities` with any of them, `input_modalities` and `supported_parameters` with all, `q` with
    each of its words in id, permanent name or name. Prices are USD per million tokens; a router has none, so it is left
    out where one is asked for. Raises ApiError 400 that names the parameter and what it may be.
    """
    tests = [*_modality_tests(params, default_outputs), *_name_tests(offers, params), *_number_tests(params, now)]
    order = SORTS[_choice(params, "sort", tuple(SORTS)) or "newest"]
    for name, allowed in _UNKNOWN_FACTS.items():
        if _choice(params, name, allowed) if allowed else _number(params, name) is not None:
            tests.append(lambda offer: False)
    _choice(params, "distillable", ("true", "false"))
    if params.get("distillable") == "true":
        tests.append(lambda offer: False)
    selected = [offer for offer in offers if all(test(offer) for test in tests)]
    return selected if order is None else sorted(selected, key=order)


Test = Callable[[Offer], bool]


def _modality_tests(params: Mapping[str, str], default_outputs: str) -> Iterable[Test]:
    outputs = _choices(params, "output_modalities", OUTPUT_MODALITIES) or {default_outputs}
    if ALL not in outputs:
        yield lambda offer: not outputs.isdisjoint(offer.outputs)
    inputs = _choices(params, "input_modalities", INPUT_MODALITIES)
    if inputs:
        yield lambda offer: inputs <= offer.inputs


def _name_tests(offers: Sequence[Offer], params: Mapping[str, str]) -> Iterable[Test]:
    known = dict.fromkeys(PARAMETERS) | dict.fromkeys(sorted({name for offer in offers for name in offer.parameters}))
    parameters = _choices(params, "supported_parameters", tuple(known))
    if parameters:
        yield lambda offer: parameters <= offer.parameters
    words = params.get("q", "").casefold().split()
    if words:
        yield lambda offer: all(word in offer.text for word in words)
    # Whoever makes a model is all we tell of where it runs, so both mean the same here. Names count as well as slugs.
    for name in ("providers", "model_authors"):
        slugs = {offer.provider.slug: offer.provider.slug for offer in offers}
        names = {offer.provider.name.casefold(): offer.provider.slug for offer in offers}
        chosen = {(names | slugs)[value] for value in _choices(params, name, sorted(slugs), also=names.keys())}
        if chosen:
            yield _made_by(chosen)
    groups = {offer.tokenizer.casefold(): offer.tokenizer for offer in offers}
    tokenizer = _choice(params, "arch", sorted(groups.values()), also=groups.keys())
    if tokenizer:
        yield lambda offer: offer.tokenizer.casefold() == tokenizer.casefold()


def _made_by(slugs: set[str]) -> Test:
    return lambda offer: offer.provider.slug in slugs


def _number_tests(params: Mapping[str, str], now: datetime) -> Iterable[Test]:
    context = _whole(params, "context", least=1)
    if context is not None:
        yield lambda offer: (offer.model.context_length or 0) >= context
    seconds = int(now.timestamp())
    youngest, oldest = _whole(params, "min_age_days"), _whole(params, "max_age_days")
    if youngest is not None:
        yield lambda offer: seconds - offer.created >= youngest * _DAY_SECONDS
    if oldest is not None:
        yield lambda offer: seconds - offer.created <= oldest * _DAY_SECONDS
    for suffix, price in (("price", _prompt_usd), ("output_price", _completion_usd)):
        least, most = _number(params, f"min_{suffix}"), _number(params, f"max_{suffix}")
        if least is not None or most is not None:
            yield _price_between(price, least, most)


def _prompt_usd(offer: Offer) -> Decimal | None:
    return offer.prompt_usd


def _completion_usd(offer: Offer) -> Decimal | None:
    return offer.completion_usd


def _price_between(price: Callable[[Offer], Decimal | None], least: Decimal | None, most: Decimal | None) -> Test:
    def test(offer: Offer) -> bool:
        per_token = price(offer)
        if per_token is None:
            return False
        usd = exact_product(per_token, _MILLION)
        return (least is None or usd >= least) and (most is None or usd <= most)

    return test


def _choice(params: Mapping[str, str], name: str, allowed: Sequence[str], *, also: Iterable[str] = ()) -> str:
    """One of the allowed values, or "" when the parameter is absent."""
    value = params.get(name, "").strip()
    if value and value not in allowed and value.casefold() not in also:
        raise bad_parameter(name, value, allowed=allowed)
    return value


def _choices(
    params: Mapping[str, str], name: str, allowed: Sequence[str], *, also: Iterable[str] = ()
) -> frozenset[str]:
    """A comma list of allowed values (or folded, of those in `also`); empty when the parameter is absent."""
    chosen = set()
    for value in (part.strip() for part in params.get(name, "").split(",")):
        if value in allowed:
            chosen.add(value)
        elif value.casefold() in also or value.casefold() in allowed:
            chosen.add(value.casefold())
        elif value:
            raise bad_parameter(name, value, allowed=allowed)
    return frozenset(chosen)


def _whole(params: Mapping[str, str], name: str, *, least: int = 0, most: int | None = None) -> int | None:
    text = params.get(name, "").strip()
    if not text:
        return None
    expected = f"a whole number from {least} to {most}" if most is not None else f"a whole number of at least {least}"
    number = int(text) if _WHOLE.fullmatch(text) else None
    if number is None or number < least or (most is not None and number > most):
        raise bad_parameter(name, text, expected=expected)
    return number


def _number(params: Mapping[str, str], name: str) -> Decimal | None:
    text = params.get(name, "").strip()
    if not text:
        return None
    if not _NUMBER.fullmatch(text) or not any(character.isdigit() for character in text):
        raise bad_parameter(name, text, expected="a number of at least 0")
    return Decimal(text)
