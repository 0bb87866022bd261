"""What a usage would cost a customer: the billing engine's own arithmetic on one model and one usage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from accounts.errors import InvalidInput
from billing.errors import NoExchangeRate, NoMarginRule, NoPrice, UnknownModel
from billing.selectors.exchange import rate_in_force
from billing.selectors.margins import margin_in_force
from billing.totals import Totals, invoice_totals
from catalog.models import Price
from catalog.money import Rounding, decimal_text, exact_product
from catalog.pricing import Cost, Quantities
from catalog.selectors import load_catalog
from usage.dialects import UsageRefused, read_usage
from usage.periods import KST


@dataclass(frozen=True)
class Quote:
    """One priced usage: USD cost by component, and the won it would be billed at."""

    model_id: str
    quantities: Quantities
    flags: tuple[str, ...]
    cost: Cost
    rate: Decimal
    rate_source: str
    margin: Decimal
    totals: Totals

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: won as integers, USD as plain decimal strings."""
        return {
            "model": self.model_id,
            "cost_usd": decimal_text(self.cost.total_usd),
            "supply_krw": self.totals.supply_krw,
            "vat_krw": self.totals.vat_krw,
            "total_krw": self.totals.total_krw,
            "rate": decimal_text(self.rate),
            "rate_source": self.rate_source,
            "margin": decimal_text(self.margin),
            "flags": list(self.flags),
            "components": [
                {
                    "key": component.key,
                    "quantity": component.quantity,
                    "unit_price_usd": decimal_text(component.unit_price_usd),
                    "amount_usd": decimal_text(component.amount_usd),
                }
                for component in self.cost.components
            ],
        }


def quote(
    *,
    model: str,
    usage: Mapping[str, Any],
    dialect: str,
    at: datetime,
    rate: Decimal | None = None,
    margin: Decimal | None = None,
) -> Quote:
    """Price a raw usage object of a model at an instant. Without `rate` and `margin`, the ones in force for everybody.

    Raises UnknownModel, NoPrice (variable, quarantined or no price at that time), NoExchangeRate, NoMarginRule, and
    InvalidInput naming the usage field. There is no quote for a variable price: it would be a made-up number.
    """
    try:
        reading = read_usage(dialect, usage)
    except UsageRefused as refused:
        raise InvalidInput(refused.reason, field=refused.field) from None
    priced = load_catalog().lookup(model, at=at)
    if priced is None:
        raise UnknownModel(f"there is no model {model[:200]!r}", field="model")
    if priced.sheet is None:
        raise _no_price(priced.model_id, priced.kind, priced.quarantine_reason, at)
    cost = priced.sheet.cost(reading.quantities, at=at)
    if cost.unpriced:
        refusal = NoPrice(f"{priced.model_id} lists no price for {', '.join(cost.unpriced)}", field="usage")
        refusal.code = "unpriced_component"
        raise refusal
    used_rate, source = (rate, "given") if rate is not None else _rate_in_force(at)
    used_margin = margin if margin is not None else _margin_in_force(at)
    totals = invoice_totals([exact_product(cost.total_usd, used_rate)], margin=used_margin, rounding=Rounding.HALF_UP)
    return Quote(
        model_id=priced.model_id,
        quantities=reading.quantities,
        flags=reading.flags,
        cost=cost,
        rate=used_rate,
        rate_source=source,
        margin=used_margin,
        totals=totals,
    )


def _no_price(model_id: str, kind: str, reason: str, at: datetime) -> NoPrice:
    if kind == Price.Kind.VARIABLE:
        refusal = NoPrice(f"{model_id} has no price of its own: it is billed as the model that answers", field="model")
        refusal.code = "variable_price"
    elif kind == Price.Kind.QUARANTINED:
        refusal = NoPrice(f"the price of {model_id} is quarantined: {reason}", field="model")
        refusal.code = "quarantined_price"
    else:
        refusal = NoPrice(f"{model_id} has no price at {at.astimezone(KST):%Y-%m-%d %H:%M} KST", field="model")
    return refusal


def _rate_in_force(at: datetime) -> tuple[Decimal, str]:
    day = at.astimezone(KST).date()
    published = rate_in_force(on=day)
    if published is None:
        raise NoExchangeRate(f"no exchange rate was published on or up to 14 days before {day}", field="rate")
    return published.rate, f"{published.source} {published.rate_on}"


def _margin_in_force(at: datetime) -> Decimal:
    day = at.astimezone(KST).date()
    rule = margin_in_force(None, on=day)
    if rule is None:
        raise NoMarginRule(f"no default margin rule covers {day}", field="margin")
    return rule.margin
