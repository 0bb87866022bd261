"""Whether a listing says of a model's price what we already have.

What counts is what a request would cost, not how it is written: "0.0000030" is "0.000003", and a base price that time
windows hide at every minute of the day costs nobody anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from catalog.listing import ListedModel, PriceKind
from catalog.models import Price
from catalog.pricing import MINUTES_PER_DAY, PriceSheet
from catalog.selectors import sheet_of

Prices = Mapping[str, Decimal]


def says_the_same(known: Price, listed: ListedModel, *, at: datetime) -> bool:
    """Whether a listing read `at` (aware) leaves the known price as it is."""
    if listed.kind is PriceKind.VARIABLE:
        return known.kind == Price.Kind.VARIABLE
    if listed.kind is PriceKind.QUARANTINED:
        # Equal raw prices: still in quarantine, or an operator has decided what this very price means.
        return bool(known.listed_pricing == listed.listed_pricing) or _hides_only_what_is_known(known, listed, at=at)
    sheet = sheet_of(known)
    return sheet is not None and same_prices(sheet, PriceSheet.parse(listed.components, listed.overrides))


def same_prices(known: PriceSheet, listed: PriceSheet) -> bool:
    """Whether every price key has the same value (or none) for every prompt size at every minute of the day."""
    if known == listed:
        return True
    windows = [override.window for sheet in (known, listed) for override in sheet.overrides if override.window]
    thresholds = [
        override.min_prompt_tokens
        for sheet in (known, listed)
        for override in sheet.overrides
        if override.min_prompt_tokens is not None
    ]
    # Prices change only where a window begins or ends and just above a threshold.
    minutes = {0} | {bound % MINUTES_PER_DAY for window in windows for bound in window}
    sizes = {0} | {threshold + 1 for threshold in thresholds}
    return all(
        _in_force(known, prompt_tokens, minute) == _in_force(listed, prompt_tokens, minute)
        for minute in minutes
        for prompt_tokens in sizes
    )


def _in_force(sheet: PriceSheet, prompt_tokens: int, minute: int) -> Prices:
    prices = dict(sheet.prices)
    for override in sheet.overrides:
        if override.applies(prompt_tokens, minute):
            prices.update(override.prices)
    return prices


def _hides_only_what_is_known(known: Price, listed: ListedModel, *, at: datetime) -> bool:
    """Whether the listing merely shows this hour's window where we know the price outside it from an earlier reading."""
    if listed.quarantine_code != "hidden_base_price":
        return False
    sheet = sheet_of(known)
    if sheet is None:
        return False
    pricing = {key: value for key, value in listed.listed_pricing.items() if value is not None}
    overrides = [
        {key: value for key, value in override.items() if value is not None} for override in pricing.pop("overrides")
    ]
    hidden = PriceSheet.parse(pricing, overrides).hidden_base_keys(at)
    if any(key not in sheet.prices for key in hidden):
        return False
    base = {key: known.components[key] for key in hidden}
    return same_prices(sheet, PriceSheet.parse({**pricing, **base}, overrides))
