"""How dollars became won on an invoice, and how its won are read in dollars."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from billing.frozen import DocumentError

from .checks import require_finite, require_member, require_rate

EXCHANGE_RULES = ("month_end", "daily", "fixed")


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyExchange:
    """One day under the daily rule: the USD that were sold of what was used on `used_on` (KST), converted at the rate
    published on `source_date`.
    """

    used_on: date
    cost_usd: Decimal
    rate: Decimal
    source_date: date

    def __post_init__(self) -> None:
        require_finite(self.cost_usd, "cost_usd")
        require_rate(self.rate, "rate")

    @property
    def base_krw(self) -> Fraction:
        """Exact won of the day before margin."""
        return Fraction(self.cost_usd) * Fraction(self.rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeEvidence:
    """How dollars became won: won per one USD, who published it and when (고시일).

    `month_end` and `fixed` carry one `rate`; `daily` carries none, and `daily` holds every day that had usage.
    A contract rate may have no `source_date`.
    """

    rule: str
    rate: Decimal | None
    source: str
    source_date: date | None
    daily: tuple[DailyExchange, ...] = ()

    def __post_init__(self) -> None:
        require_member(self.rule, EXCHANGE_RULES, "rule")
        if self.rule == "daily":
            if self.rate is not None:
                raise DocumentError("rate", "the daily rule has a rate for each day, not one")
            days = [day.used_on for day in self.daily]
            if days != sorted(set(days)):
                raise DocumentError("daily", "each day once, in order")
        else:
            if self.rate is None:
                raise DocumentError("rate", f"the {self.rule} rule needs a rate")
            require_rate(self.rate, "rate")
            if self.daily:
                raise DocumentError("daily", f"the {self.rule} rule has no daily rates")
        if self.rule == "month_end" and self.source_date is None:
            raise DocumentError("source_date", "a published rate has a date")


@dataclass(frozen=True, slots=True, kw_only=True)
class DollarAmounts:
    """The amounts of an invoice that is read and may be paid in US dollars: its won at its one rate, to the cent.

    `bank_account` is where dollars are received (bank, SWIFT code, number); empty where they are not.
    """

    supply_usd: Decimal
    vat_usd: Decimal
    total_usd: Decimal
    bank_account: str

    def __post_init__(self) -> None:
        for value in (self.supply_usd, self.vat_usd, self.total_usd):
            require_finite(value, "dollars")
        if self.supply_usd + self.vat_usd != self.total_usd:
            raise DocumentError("total_usd", "supply and VAT do not add up to the total")

    def require_won(self, *, supply_krw: int, vat_krw: int, rate: Decimal) -> None:
        """Raise DocumentError unless supply and VAT are so many won at that rate, to the cent."""
        for usd, krw, field in ((self.supply_usd, supply_krw, "supply_usd"), (self.vat_usd, vat_krw, "vat_usd")):
            if not 2 * abs(Fraction(usd) * 100 - krw * 100 / Fraction(rate)) <= 1:
                raise DocumentError(field, "the won at the rate give other dollars")
