"""An invoice, whole: that its parts add up is checked here, and how it is stored and read back is said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from billing.dollars import outstanding_usd
from billing.frozen import (
    DocumentError,
    later,
    list_of,
    object_reader,
    optional,
    plain_members,
    read_date,
    read_decimal,
    readers_of,
)

from .checks import LOCALES, is_rounding_of, require_finite, require_member, require_month, require_share, total
from .exchange import DailyExchange, DollarAmounts, ExchangeEvidence
from .lines import LINE_KINDS, USAGE_KINDS, DocumentLine, SoldShare
from .parties import BankAccount, Party
from .terms import MinimumPart, ZeroRate

ROUNDINGS = ("half_up", "down")


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceDocument:
    """The whole content of one issued invoice. Amounts are integer won; `margin` is a share of the selling price, None
    where lines differ in it and each has its own.

    Dates are KST calendar days; the period includes both ends. `prepaid_krw` was paid from a prepayment on the day of
    issue. `minimum_krw` is what the month came to at least before promotional credit, made up of `minimums` by their days.
    Raises `DocumentError` when it does not add up: lines = USD total, lines = supply, supply + VAT = total, and
    the printed formula gives the printed supply of the usage, from which discounts and promotional credit are taken off.
    """

    number: str
    locale: str
    month: str
    period_start_on: date
    period_end_on: date
    issued_on: date
    due_on: date
    seller: Party
    seller_phone: str = ""
    bank: BankAccount
    deposit_code: str
    buyer: Party
    lines: tuple[DocumentLine, ...]
    cost_usd: Decimal
    margin: Decimal | None
    exchange: ExchangeEvidence
    rounding: str
    supply_krw: int
    vat_krw: int
    total_krw: int
    tax_invoice_deadline_on: date
    template_version: int
    prepaid_krw: int = later(0)
    minimum_krw: int = later(0)
    minimums: tuple[MinimumPart, ...] = later(())
    #: Without it VAT is a tenth.
    zero_rate: ZeroRate | None = later(None)  # noqa: RUF009 - a field, made once
    #: None on an invoice in won. The won are the legal amounts in either.
    dollars: DollarAmounts | None = later(None)  # noqa: RUF009 - a field, made once

    def __post_init__(self) -> None:
        require_member(self.locale, LOCALES, "locale")
        require_member(self.rounding, ROUNDINGS, "rounding")
        require_finite(self.cost_usd, "cost_usd")
        if self.margin is not None:
            require_share(self.margin)
        self._require_period()
        self._require_lines()
        self._require_margins()
        self._require_sums()
        self._require_minimum()
        self._require_formula()
        self._require_dollars()

    @property
    def base_krw(self) -> Fraction:
        """Exact won before margin: USD times rate, day by day under the daily rule."""
        if self.exchange.rate is not None:
            return self.sold_usd * Fraction(self.exchange.rate)
        return sum((day.base_krw for day in self.exchange.daily), Fraction(0))

    @property
    def sold_usd(self) -> Fraction:
        """The USD that are sold; `cost_usd` unless some margin is reckoned on what upstreams charged."""
        return total(line.sold_usd for line in self.lines)

    def margin_of(self, line: DocumentLine) -> Decimal:
        """The margin of a usage line."""
        margin = self.margin if line.margin is None else line.margin
        assert margin is not None  # one of them is there, or this is no document
        return margin

    @property
    def sold_shares(self) -> tuple[SoldShare, ...]:
        """The usage by the terms on which it sells, in the order of the lines: what the supply is reckoned of."""
        groups: dict[tuple[Decimal, str], list[DocumentLine]] = {}
        for line in self.lines:
            if line.kind in USAGE_KINDS:
                groups.setdefault((self.margin_of(line), line.basis), []).append(line)
        return tuple(
            SoldShare(margin, basis, tuple(lines), total(line.sold_usd for line in lines), self._base_of(lines))
            for (margin, basis), lines in groups.items()
        )

    @property
    def _has_bases(self) -> bool:
        """Whether lines need won of their own: their terms differ and every day has a rate of its own."""
        terms = {(line.margin, line.basis) for line in self.lines if line.kind in USAGE_KINDS}
        return self.exchange.rate is None and len(terms) > 1

    def _base_of(self, lines: Iterable[DocumentLine]) -> Fraction:
        if self.exchange.rate is not None:
            return total(line.sold_usd for line in lines) * Fraction(self.exchange.rate)
        if not self._has_bases:
            return self.base_krw
        return total(line.before_margin_krw or Decimal(0) for line in lines)

    @property
    def exact_supply_krw(self) -> Fraction:
        """The supply of the usage in won before its one rounding, nothing taken off."""
        if self.margin is not None:
            return self.base_krw / (1 - Fraction(self.margin))
        return sum((share.exact_krw for share in self.sold_shares), Fraction(0))

    @property
    def usage_lines(self) -> tuple[DocumentLine, ...]:
        """The lines that stand for usage; they come first."""
        return tuple(line for line in self.lines if line.is_usage)

    @property
    def adjustment_lines(self) -> tuple[DocumentLine, ...]:
        """The lines behind the usage, in the order in which they are reckoned."""
        return tuple(line for line in self.lines if not line.is_usage)

    @property
    def discount_krw(self) -> int:
        """Won of all discounts, not negative."""
        return -self._sum_of("discount")

    @property
    def shortfall_krw(self) -> int:
        """Won that make up for what the month was short of its minimum."""
        return self._sum_of("minimum")

    @property
    def promotion_krw(self) -> int:
        """Won of promotional credit, not negative."""
        return -self._sum_of("promotion")

    @property
    def usage_krw(self) -> int:
        """The supply of the usage, before discounts and promotional credit."""
        return sum(line.amount_krw for line in self.usage_lines)

    @property
    def due_krw(self) -> int:
        """What was to be paid on the day of issue."""
        return self.total_krw - self.prepaid_krw

    @property
    def due_usd(self) -> Decimal | None:
        """That in dollars; None on an invoice in won."""
        if self.dollars is None:
            return None
        return outstanding_usd(outstanding_krw=self.due_krw, total_krw=self.total_krw, total_usd=self.dollars.total_usd)

    def _sum_of(self, kind: str) -> int:
        return sum(line.amount_krw for line in self.lines if line.kind == kind)

    def to_json(self) -> dict[str, Any]:
        """Plain members for a JSON column: decimals and dates as text, won and counts as integers."""
        plain = plain_members(self)
        assert isinstance(plain, dict)
        return plain

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> InvoiceDocument:
        """The document that `to_json` gave, checked again. Raises `DocumentError` naming the first wrong member."""
        document: InvoiceDocument = _INVOICE(raw, "document")
        return document

    def _require_period(self) -> None:
        require_month(self.month, "month")
        first = date.fromisoformat(f"{self.month}-01")
        last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
        if (self.period_start_on, self.period_end_on) != (first, last):
            raise DocumentError("period_start_on", f"the period of {self.month} is {first} to {last}")

    def _require_lines(self) -> None:
        if not self.lines:
            raise DocumentError("lines", "an invoice has at least one line")
        ranks = [LINE_KINDS.index(line.kind) for line in self.adjustment_lines]
        if self.lines != self.usage_lines + self.adjustment_lines or ranks != sorted(ranks):
            raise DocumentError("lines", "discounts, the minimum and promotions stand behind the usage")
        for position, line in enumerate(self.lines, start=1):
            if line.position != position:
                raise DocumentError("lines", f"positions run from 1: {line.position} stands at {position}")
            if not line.is_usage and line.month == self.month:
                continue
            if (line.kind == "usage") != (line.month == self.month) or line.month > self.month:
                raise DocumentError(
                    "lines", f"line {position} is {line.kind} of {line.month} on a bill of {self.month}"
                )

    def _require_margins(self) -> None:
        """Every line has the document's margin, or each its own; and then, under the daily rule, its own won as well."""
        has_bases = self._has_bases
        for line in self.lines:
            if line.kind in USAGE_KINDS and (line.margin is None) == (self.margin is None):
                raise DocumentError("margin", "one for all lines, or each line its own")
            if (line.kind in USAGE_KINDS and has_bases) != (line.before_margin_krw is not None):
                raise DocumentError("before_margin_krw", "stands where terms and rates both differ")
        if has_bases and self.base_krw != total(line.before_margin_krw or Decimal(0) for line in self.lines):
            raise DocumentError("before_margin_krw", "the lines do not add up to the days")

    def _require_sums(self) -> None:
        if total(line.cost_usd for line in self.lines) != Fraction(self.cost_usd):
            raise DocumentError("cost_usd", "the lines do not add up to the USD total")
        days = total(day.cost_usd for day in self.exchange.daily)
        if self.exchange.rule == "daily" and days != self.sold_usd:
            raise DocumentError("daily", "the days do not add up to the USD that are sold")
        if sum(line.amount_krw for line in self.lines) != self.supply_krw:
            raise DocumentError("supply_krw", "the lines do not add up to the supply")
        if sum(line.promotion_krw for line in self.lines) != self.promotion_krw:
            raise DocumentError("promotion_krw", "the lines are relieved of another amount than the promotions say")
        if sum(line.discount_krw for line in self.lines) != self.discount_krw:
            raise DocumentError("discount_krw", "the lines are reduced by another amount than the discounts say")
        if not 0 <= self.prepaid_krw <= self.total_krw:
            raise DocumentError("prepaid_krw", "a prepayment pays the total at most")
        if self.supply_krw + self.vat_krw != self.total_krw:
            raise DocumentError("total_krw", "supply and VAT do not add up to the total")
        if self.supply_krw < 0 or self.vat_krw < 0:
            raise DocumentError("total_krw", "an invoice is never negative; that is a credit note")

    def _require_minimum(self) -> None:
        days = (self.period_end_on - self.period_start_on).days + 1
        exact = sum((Fraction(part.amount_krw * part.days, days) for part in self.minimums), Fraction(0))
        first, last = self.period_start_on, self.period_end_on
        outside = any(part.first_on < first or part.last_on > last for part in self.minimums)
        if outside or sum(part.days for part in self.minimums) > days or not is_rounding_of(self.minimum_krw, exact):
            raise DocumentError("minimum_krw", "its parts give another minimum")
        left = self.usage_krw - self.discount_krw
        if self.shortfall_krw != max(self.minimum_krw - left, 0):
            raise DocumentError("minimum_krw", "another amount is short of the minimum")
        if any(line.base_krw != self.minimum_krw for line in self.lines if line.kind == "minimum"):
            raise DocumentError("base_krw", "a minimum line names the month's minimum")

    def _require_formula(self) -> None:
        if not is_rounding_of(self.usage_krw, self.exact_supply_krw):
            raise DocumentError("supply_krw", "USD x rate / (1 - margin) gives another supply")
        if self.zero_rate is not None:
            if self.vat_krw:
                raise DocumentError("vat_krw", "a zero-rated supply carries no VAT")
        elif not is_rounding_of(self.vat_krw, Fraction(self.supply_krw, 10)):
            raise DocumentError("vat_krw", "VAT is ten percent of the supply")

    def _require_dollars(self) -> None:
        """All amounts in dollars, or none; the lines add up to the supply, and it and the VAT are their won at the rate."""
        if any((line.amount_usd is None) != (self.dollars is None) for line in self.lines):
            raise DocumentError("amount_usd", "every line in dollars, or none")
        if self.dollars is None:
            return
        if self.exchange.rate is None:
            raise DocumentError("dollars", "a month of many rates has none for its dollars")
        self.dollars.require_won(supply_krw=self.supply_krw, vat_krw=self.vat_krw, rate=self.exchange.rate)
        if total(line.amount_usd or Decimal(0) for line in self.lines) != Fraction(self.dollars.supply_usd):
            raise DocumentError("supply_usd", "the lines do not add up to the supply in dollars")


_PARTY = object_reader(Party, readers_of(Party))
_EXCHANGE = object_reader(
    ExchangeEvidence,
    readers_of(
        ExchangeEvidence,
        rate=optional(read_decimal),
        source_date=optional(read_date),
        daily=list_of(object_reader(DailyExchange, readers_of(DailyExchange))),
    ),
)
_INVOICE = object_reader(
    InvoiceDocument,
    readers_of(
        InvoiceDocument,
        seller=_PARTY,
        buyer=_PARTY,
        bank=object_reader(BankAccount, readers_of(BankAccount)),
        lines=list_of(
            object_reader(
                DocumentLine,
                readers_of(
                    DocumentLine,
                    share=optional(read_decimal),
                    margin=optional(read_decimal),
                    basis_usd=optional(read_decimal),
                    before_margin_krw=optional(read_decimal),
                    amount_usd=optional(read_decimal),
                ),
            )
        ),
        margin=optional(read_decimal),
        exchange=_EXCHANGE,
        zero_rate=optional(object_reader(ZeroRate, readers_of(ZeroRate))),
        minimums=list_of(object_reader(MinimumPart, readers_of(MinimumPart))),
        dollars=optional(object_reader(DollarAmounts, readers_of(DollarAmounts))),
    ),
)
