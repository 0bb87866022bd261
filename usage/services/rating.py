"""What an event costs: the list price of the model that answered, in force when it happened. Never a guess.

Whatever cannot be priced gets a code and stays open until somebody decides: an unknown or unpriced model, a router's own
name, a price that nobody could read, a quantity without a price.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal

import msgspec

from catalog.models import Price
from catalog.money import ZERO
from catalog.pricing import Quantities
from catalog.selectors import Catalog, catalog_version, load_catalog
from usage.dialects import Flag

#: A single response for more than this (USD) is a unit mistake somewhere; sums of sane costs never overflow.
MAX_COST_USD = Decimal(10**12)
MAX_DETAIL_CHARS = 500

UNKNOWN_MODEL = "unknown_model"
UNPRICED = "unpriced"
VARIABLE_PRICE = "variable_price"
QUARANTINED_PRICE = "quarantined_price"
UNPRICED_COMPONENT = "unpriced_component"
IMPLAUSIBLE_COST = "implausible_cost"
SEVERAL_MODELS = "several_models"

_catalog: Catalog | None = None


class Rating(msgspec.Struct, frozen=True, gc=False):
    """A cost in USD with the model and price it came from or, without one, the code and detail of why there is none."""

    model_pk: int | None
    price_pk: int | None = None
    cost_usd: Decimal | None = None
    code: str = ""
    detail: str = ""


def kept_catalog() -> Catalog:
    """The catalog as this process last read it, for one who asks afterwards whether it is still the current one."""
    return _catalog or current_catalog()


def current_catalog() -> Catalog:
    """The catalog as it is now; this process keeps it in memory and asks the database only whether it changed."""
    global _catalog
    catalog = _catalog
    if catalog is None or catalog.version != catalog_version():
        catalog = _catalog = load_catalog()
    return catalog


def rate(
    catalog: Catalog, served_model: str, quantities: Quantities, *, flags: Collection[str], at: datetime
) -> Rating:
    """Price one response. `at` (aware) is when it happened, `flags` are what was odd about its usage."""
    priced = catalog.lookup(served_model, at=at)
    if priced is None:
        return Rating(None, code=UNKNOWN_MODEL, detail=f"no model is called {served_model}")
    if priced.kind == Price.Kind.VARIABLE:
        detail = f"{served_model} is a router without a price of its own: the event must name the model that answered"
        return _unrated(priced.model_pk, VARIABLE_PRICE, detail)
    if priced.kind == Price.Kind.QUARANTINED:
        detail = f"the price of {priced.model_id} is quarantined: {priced.quarantine_reason}"
        return _unrated(priced.model_pk, QUARANTINED_PRICE, detail)
    if priced.sheet is None:
        detail = f"{priced.model_id} had no price at {at.isoformat()}"
        return _unrated(priced.model_pk, UNPRICED, detail)
    if Flag.ITERATIONS_OF_ANOTHER_MODEL in flags:
        return _unrated(
            priced.model_pk, SEVERAL_MODELS, f"a part of it was answered by another model than {served_model}"
        )
    if Flag.ZERO_COMPLETION in flags:
        return Rating(priced.model_pk, priced.price_pk, ZERO)
    total_usd = priced.sheet.total_usd(quantities, at=at)
    if total_usd is None:
        unpriced = ", ".join(priced.sheet.cost(quantities, at=at).unpriced)
        return _unrated(priced.model_pk, UNPRICED_COMPONENT, f"{priced.model_id} lists no price for {unpriced}")
    if total_usd >= MAX_COST_USD:
        return _unrated(priced.model_pk, IMPLAUSIBLE_COST, f"{priced.model_id}: the cost would be {total_usd:.3E} USD")
    return Rating(priced.model_pk, priced.price_pk, total_usd)


def _unrated(model_pk: int, code: str, detail: str) -> Rating:
    return Rating(model_pk, code=code, detail=detail[:MAX_DETAIL_CHARS])
