"""What a usage would cost a customer: the billing engine's own arithmetic on one model and one usage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from accounts.errors import InvalidInput
from accounts.models import Customer
from billing.errors import NoExchangeRate, NoMarginRule, NoPrice, UnknownModel
from billing.margins import Basis, Terms
from billing.selectors.exchange import rate_in_force
from billing.selectors.margins import terms_of_model
from billing.totals import Totals, invoice_totals
from catalog.models import Price
from catalog.money import EXACT, Rounding, decimal_text, exact_product, exact_sum
from catalog.pricing import MINUTES_PER_DAY, Cost, CostComponent, PriceSheet, Quantities
from catalog.selectors import PricedModel, find_price
from usage.dialects import UsageRefused, read_usage
from usage.periods import KST

#: More than the whole world uses; what is above is a typing error.
MAX_MONTHLY_TOKENS = 10**15
_FIRST_YEAR, _LAST_YEAR = 2000, 9998  # those of `BillingMonth`: every zone's calendar can tell their days


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
    basis: Basis
    totals: Totals
    #: What the usage says that the upstream charged; None where it does not say.
    upstream_cost_usd: Decimal | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: won as integers, USD as plain decimal strings; `drift_usd` is our list cost less the upstream's."""
        drift = {}
        if self.upstream_cost_usd is not None:
            drift = {
                "upstream_cost_usd": decimal_text(self.upstream_cost_usd),
                "drift_usd": decimal_text(EXACT.subtract(self.cost.total_usd, self.upstream_cost_usd)),
            }
        return drift | {
            "model": self.model_id,
            "cost_usd": decimal_text(self.cost.total_usd),
            "supply_krw": self.totals.supply_krw,
            "vat_krw": self.totals.vat_krw,
            "total_krw": self.totals.total_krw,
            "rate": decimal_text(self.rate),
            "rate_source": self.rate_source,
            "margin": decimal_text(self.margin),
            "basis": self.basis.value,
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
    customer: Customer | None = None,
) -> Quote:
    """Price a raw usage object of a model at an instant, by a customer's terms or, without one, everybody's.

    Terms are margin, basis, rounding and exchange rule as they stood on the Korean day of `at`; `rate` and `margin` replace
    theirs (a margin that is given is reckoned on list price). What the upstream charged is what the usage says. So a quote
    of the past stays what it was. A bill of the month_end rule takes the month's last rate instead, which nobody knows
    before.

    Raises UnknownModel, NoPrice (variable, quarantined or no price at that time), NoExchangeRate, NoMarginRule, and
    InvalidInput naming the usage field. There is no quote for a variable price: it would be a made-up number.
    """
    try:
        reading = read_usage(dialect, usage)
    except UsageRefused as refused:
        raise InvalidInput(refused.reason, field=refused.field) from None
    priced, sheet = _listed_price(model, at=at)
    cost = sheet.cost(reading.quantities, at=at)
    if cost.unpriced:
        refusal = NoPrice(f"{priced.model_id} lists no price for {', '.join(cost.unpriced)}", field="usage")
        refusal.code = "unpriced_component"
        raise refusal
    return _in_won(
        priced,
        reading.quantities,
        cost,
        flags=reading.flags,
        at=at,
        customer=customer,
        rate=rate,
        margin=margin,
        upstream_cost_usd=reading.upstream_cost_usd,
    )


def monthly_estimate(
    *, model: str, input_tokens: int, output_tokens: int, at: datetime, customer: Customer | None = None
) -> Quote:
    """What so many tokens a month would be billed at, by the prices and terms in force at `at`.

    A month is many requests whose size and hour nobody knows, so it is priced as short requests at the most expensive
    hour of the day, without fees per request. `flags` say where that matters: "long_prompts_cost_more",
    "hours_cost_differently", "request_fee_not_included".

    Raises as `quote`; InvalidInput names `input_tokens` or `output_tokens` unless they are whole numbers from 0 to
    10^15.
    """
    for field, count in (("input_tokens", input_tokens), ("output_tokens", output_tokens)):
        if type(count) is not int or not 0 <= count <= MAX_MONTHLY_TOKENS:
            raise InvalidInput(f"{field}: a whole number from 0 to {MAX_MONTHLY_TOKENS:,}", field=field)
    priced, sheet = _listed_price(model, at=at)
    quantities = Quantities(prompt=input_tokens, completion=output_tokens, requests=0)
    cost = max((_many_short_requests(sheet, quantities, at=hour) for hour in _price_hours(sheet, at)), key=_total)
    return _in_won(priced, quantities, cost, flags=_estimate_flags(sheet), at=at, customer=customer)


def _listed_price(model: str, *, at: datetime) -> tuple[PricedModel, PriceSheet]:
    if not _FIRST_YEAR <= at.year <= _LAST_YEAR:
        raise InvalidInput(f"at: a year from {_FIRST_YEAR} to {_LAST_YEAR}", field="at")
    priced = find_price(model, at=at)
    if priced is None:
        raise UnknownModel(f"there is no model {model[:200]!r}", field="model")
    if priced.sheet is None:
        raise _no_price(priced.model_id, priced.kind, priced.quarantine_reason, at)
    return priced, priced.sheet


def _in_won(
    priced: PricedModel,
    quantities: Quantities,
    cost: Cost,
    *,
    flags: tuple[str, ...],
    at: datetime,
    customer: Customer | None,
    rate: Decimal | None = None,
    margin: Decimal | None = None,
    upstream_cost_usd: Decimal | None = None,
) -> Quote:
    used_rate, source = (rate, "given") if rate is not None else _rate_of(customer, at)
    terms = _terms_of(customer, priced, at) if margin is None else Terms(margin)
    rounding = Rounding.HALF_UP if customer is None else Rounding(customer.rounding)
    sold_usd = terms.basis.of(cost.total_usd, upstream_cost_usd)
    totals = invoice_totals([exact_product(sold_usd, used_rate)], margins=[terms.margin], rounding=rounding)
    return Quote(
        model_id=priced.model_id,
        quantities=quantities,
        flags=flags,
        cost=cost,
        rate=used_rate,
        rate_source=source,
        margin=terms.margin,
        basis=terms.basis,
        totals=totals,
        upstream_cost_usd=upstream_cost_usd,
    )


def _many_short_requests(sheet: PriceSheet, quantities: Quantities, *, at: datetime) -> Cost:
    """What the tokens cost when no single request is long: the price of one token, so many times."""
    one = sheet.cost(Quantities(prompt=1, completion=1, requests=0), at=at)
    counts = {"prompt": quantities.prompt, "completion": quantities.completion}
    rows = tuple(
        CostComponent(row.key, counts[row.key], row.unit_price_usd, exact_product(row.unit_price_usd, counts[row.key]))
        for row in one.components
        if counts[row.key] > 0
    )
    return Cost(exact_sum(row.amount_usd for row in rows), rows)


def _price_hours(sheet: PriceSheet, at: datetime) -> list[datetime]:
    """Instants of one UTC day between which prices change by the clock; midnight alone for most models."""
    midnight = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    bounds = {bound % MINUTES_PER_DAY for override in sheet.overrides for bound in override.window or ()}
    return [midnight + timedelta(minutes=minute) for minute in sorted({0} | bounds)]


def _total(cost: Cost) -> Decimal:
    return cost.total_usd


def _estimate_flags(sheet: PriceSheet) -> tuple[str, ...]:
    facts = {
        "long_prompts_cost_more": any(override.min_prompt_tokens is not None for override in sheet.overrides),
        "hours_cost_differently": any(override.window is not None for override in sheet.overrides),
        "request_fee_not_included": bool(sheet.prices.get("request")),
    }
    return tuple(flag for flag, holds in facts.items() if holds)


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


def _rate_of(customer: Customer | None, at: datetime) -> tuple[Decimal, str]:
    if customer is not None and customer.fixed_rate_krw_per_usd is not None:
        return customer.fixed_rate_krw_per_usd, "contract"
    day = at.astimezone(KST).date()
    published = rate_in_force(on=day)
    if published is None:
        raise NoExchangeRate(f"no exchange rate was published on or up to 14 days before {day}", field="rate")
    return published.rate, f"{published.source} {published.rate_on}"


def _terms_of(customer: Customer | None, priced: PricedModel, at: datetime) -> Terms:
    day = at.astimezone(KST).date()
    terms = terms_of_model(customer, model_pk=priced.model_pk, model_id=priced.model_id, on=day)
    if terms is None:
        whose = "default margin rule" if customer is None else f"margin rule for {customer.slug}"
        raise NoMarginRule(f"no {whose} covers {day}", field="margin")
    return terms
