"""What an invoice says, complete and frozen: the PDF, the mail and the tax invoice are made of this and of nothing else.

The document is stored with the invoice as JSON. A customer's name, a price or a rate may change the next day; what was
issued still reads the same. The constructor is the last check before paper: a document that does not add up cannot exist.
"""

from __future__ import annotations

import re
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
    read_integer,
    readers_of,
)
from catalog.money import exact_sum

PARTY_KINDS = ("corporation", "sole_trader", "foreign")
USAGE_KINDS = ("usage", "supplementary")
#: In the order in which they stand on an invoice, which is the order in which they are reckoned.
LINE_KINDS = (*USAGE_KINDS, "discount", "minimum", "promotion")
EXCHANGE_RULES = ("month_end", "daily", "fixed")
#: What a line's margin is reckoned on (`billing.margins.Basis`).
BASES = ("catalog", "upstream", "higher")
ROUNDINGS = ("half_up", "down")
LOCALES = ("ko", "en")

_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])", re.ASCII)
_REGISTRATION_NO = re.compile(r"[0-9]{10}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """공급자 or 공급받는자 as it was on the day of issue. A domestic `registration_no` is ten digits without hyphens."""

    kind: str
    registration_no: str
    name: str
    ceo_name: str
    address: str
    business_type: str
    business_class: str
    email: str

    def __post_init__(self) -> None:
        _require_member(self.kind, PARTY_KINDS, "kind")
        if self.kind != "foreign" and not _REGISTRATION_NO.fullmatch(self.registration_no):
            raise DocumentError("registration_no", f"ten digits expected, not {self.registration_no!r}")
        if not self.name.strip():
            raise DocumentError("name", "a party needs a name")


@dataclass(frozen=True, slots=True, kw_only=True)
class BankAccount:
    """Where the money goes."""

    bank: str
    number: str
    holder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentLine:
    """One model's usage of one KST month.

    `cache_read_tokens` are inside `prompt_tokens`. `cost_usd` is exact, `amount_krw` this line's share of the supply.
    A supplementary line belongs to an earlier month: its events arrived after that month was closed. A discount or
    promotion line takes won off: `model_name` is the discount's or the credit's, `amount_krw` is negative, nothing was
    used. How much of it each usage line was reduced by is its `discount_krw` and `promotion_krw`. `base_krw` is what a
    discount was taken of, and `share` which share of that, None where it is so many won a month. A minimum line makes up for
    what the month is short of its minimum, which is its `base_krw`; it has no name.
    """

    position: int
    kind: str
    model_id: str
    model_name: str
    month: str
    requests: int
    prompt_tokens: int
    cache_read_tokens: int
    completion_tokens: int
    cost_usd: Decimal
    amount_krw: int
    #: Its own share of the selling price, where not all lines have the document's.
    margin: Decimal | None = later(None)  # noqa: RUF009 - a field, made once
    #: What the margin is reckoned on, and that in USD where it is not `cost_usd`.
    basis: str = later("catalog")
    basis_usd: Decimal | None = later(None)  # noqa: RUF009 - a field, made once
    #: Exact won before margin, where lines sell on different terms and days have rates of their own.
    before_margin_krw: Decimal | None = later(None)  # noqa: RUF009 - a field, made once
    promotion_krw: int = later(0)
    discount_krw: int = later(0)
    #: `amount_krw` in dollars, on an invoice that is read in them.
    amount_usd: Decimal | None = later(None)  # noqa: RUF009 - a field, made once
    share: Decimal | None = later(None)  # noqa: RUF009 - a field like those beside it
    base_krw: int = later(0)

    @property
    def sold_usd(self) -> Decimal:
        """The USD that are sold: what the margin is reckoned on."""
        return self.cost_usd if self.basis_usd is None else self.basis_usd

    def _require_terms(self) -> None:
        _require_member(self.basis, BASES, "basis")
        if (self.basis == "catalog") != (self.basis_usd is None):
            raise DocumentError("basis_usd", "stands exactly where the margin is not reckoned on the list price")
        for value in (self.basis_usd, self.before_margin_krw):
            if value is not None:
                _require_finite(value, "basis_usd")
        if self.margin is not None:
            _require_share(self.margin)
        of_usage = (self.margin, self.basis_usd, self.before_margin_krw)
        if self.kind not in USAGE_KINDS and of_usage != (None, None, None):
            raise DocumentError("margin", "only usage is sold at a margin")

    def __post_init__(self) -> None:
        self._require_terms()
        _require_member(self.kind, LINE_KINDS, "kind")
        _require_month(self.month, "month")
        _require_finite(self.cost_usd, "cost_usd")
        if self.is_usage:
            if min(self.promotion_krw, self.discount_krw) < 0:
                raise DocumentError("promotion_krw", "nothing is added to a line")
            if self.promotion_krw + self.discount_krw > max(self.amount_krw, 0):
                raise DocumentError("promotion_krw", "a line is relieved of no more than its own won")
        elif self.cost_usd or self.requests or self.promotion_krw or self.discount_krw:
            raise DocumentError("lines", f"a {self.kind} line has no usage")
        elif self.kind == "minimum":
            if not 0 < self.amount_krw <= self.base_krw:
                raise DocumentError("base_krw", "a minimum line makes up for what is short of the minimum")
        elif self.amount_krw >= 0:
            raise DocumentError("lines", f"a {self.kind} line takes won off")
        if self.kind == "discount":
            self._require_discount()

    @property
    def is_usage(self) -> bool:
        """Whether the line stands for usage."""
        return self.kind in USAGE_KINDS

    def _require_discount(self) -> None:
        """At most what its terms say: less only where a line had nothing left."""
        if self.share is None:
            if -self.amount_krw > self.base_krw:
                raise DocumentError("base_krw", "a discount takes off no more than there is")
        elif not 0 < self.share < 1 or -self.amount_krw >= Fraction(self.share) * self.base_krw + 1:
            raise DocumentError("share", "a discount takes off no more than its share")


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
        _require_finite(self.cost_usd, "cost_usd")
        _require_rate(self.rate, "rate")

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
        _require_member(self.rule, EXCHANGE_RULES, "rule")
        if self.rule == "daily":
            if self.rate is not None:
                raise DocumentError("rate", "the daily rule has a rate for each day, not one")
            days = [day.used_on for day in self.daily]
            if days != sorted(set(days)):
                raise DocumentError("daily", "each day once, in order")
        else:
            if self.rate is None:
                raise DocumentError("rate", f"the {self.rule} rule needs a rate")
            _require_rate(self.rate, "rate")
            if self.daily:
                raise DocumentError("daily", f"the {self.rule} rule has no daily rates")
        if self.rule == "month_end" and self.source_date is None:
            raise DocumentError("source_date", "a published rate has a date")


@dataclass(frozen=True, slots=True)
class SoldShare:
    """The lines that sell on the same terms: `sold_usd` in dollars, `base_krw` in exact won before margin."""

    margin: Decimal
    basis: str
    lines: tuple[DocumentLine, ...]
    sold_usd: Fraction
    base_krw: Fraction

    @property
    def exact_krw(self) -> Fraction:
        """What they sell for, before rounding."""
        return self.base_krw / (1 - Fraction(self.margin))


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroRate:
    """Why there is no VAT (영세율): the article of the law, and the document that proves it, by name and SHA-256."""

    law: str
    evidence: str
    sha256: str

    def __post_init__(self) -> None:
        if not self.law.strip() or not self.evidence.strip() or not _SHA256.fullmatch(self.sha256):
            raise DocumentError("zero_rate", "an article of the law, a document and its SHA-256")


@dataclass(frozen=True, slots=True, kw_only=True)
class MinimumPart:
    """A monthly minimum: won of a whole month, and the days of this one for which they hold, both included."""

    amount_krw: int
    first_on: date
    last_on: date

    def __post_init__(self) -> None:
        if self.amount_krw <= 0 or not self.first_on <= self.last_on:
            raise DocumentError("minimums", "some won for some days")

    @property
    def days(self) -> int:
        return (self.last_on - self.first_on).days + 1


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
            _require_finite(value, "dollars")
        if self.supply_usd + self.vat_usd != self.total_usd:
            raise DocumentError("total_usd", "supply and VAT do not add up to the total")

    def require_won(self, *, supply_krw: int, vat_krw: int, rate: Decimal) -> None:
        """Raise DocumentError unless supply and VAT are so many won at that rate, to the cent."""
        for usd, krw, field in ((self.supply_usd, supply_krw, "supply_usd"), (self.vat_usd, vat_krw, "vat_usd")):
            if not 2 * abs(Fraction(usd) * 100 - krw * 100 / Fraction(rate)) <= 1:
                raise DocumentError(field, "the won at the rate give other dollars")


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
        _require_member(self.locale, LOCALES, "locale")
        _require_member(self.rounding, ROUNDINGS, "rounding")
        _require_finite(self.cost_usd, "cost_usd")
        if self.margin is not None:
            _require_share(self.margin)
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
        return _total(line.sold_usd for line in self.lines)

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
            SoldShare(margin, basis, tuple(lines), _total(line.sold_usd for line in lines), self._base_of(lines))
            for (margin, basis), lines in groups.items()
        )

    @property
    def _has_bases(self) -> bool:
        """Whether lines need won of their own: their terms differ and every day has a rate of its own."""
        terms = {(line.margin, line.basis) for line in self.lines if line.kind in USAGE_KINDS}
        return self.exchange.rate is None and len(terms) > 1

    def _base_of(self, lines: Iterable[DocumentLine]) -> Fraction:
        if self.exchange.rate is not None:
            return _total(line.sold_usd for line in lines) * Fraction(self.exchange.rate)
        if not self._has_bases:
            return self.base_krw
        return _total(line.before_margin_krw or Decimal(0) for line in lines)

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
        _require_month(self.month, "month")
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
        if has_bases and self.base_krw != _total(line.before_margin_krw or Decimal(0) for line in self.lines):
            raise DocumentError("before_margin_krw", "the lines do not add up to the days")

    def _require_sums(self) -> None:
        # Fractions, because a Decimal sum is rounded to the context's 28 digits without a word.
        if _total(line.cost_usd for line in self.lines) != Fraction(self.cost_usd):
            raise DocumentError("cost_usd", "the lines do not add up to the USD total")
        days = _total(day.cost_usd for day in self.exchange.daily)
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
        if outside or sum(part.days for part in self.minimums) > days or not _is_rounding_of(self.minimum_krw, exact):
            raise DocumentError("minimum_krw", "its parts give another minimum")
        left = self.usage_krw - self.discount_krw
        if self.shortfall_krw != max(self.minimum_krw - left, 0):
            raise DocumentError("minimum_krw", "another amount is short of the minimum")
        if any(line.base_krw != self.minimum_krw for line in self.lines if line.kind == "minimum"):
            raise DocumentError("base_krw", "a minimum line names the month's minimum")

    def _require_formula(self) -> None:
        if not _is_rounding_of(self.usage_krw, self.exact_supply_krw):
            raise DocumentError("supply_krw", "USD x rate / (1 - margin) gives another supply")
        if self.zero_rate is not None:
            if self.vat_krw:
                raise DocumentError("vat_krw", "a zero-rated supply carries no VAT")
        elif not _is_rounding_of(self.vat_krw, Fraction(self.supply_krw, 10)):
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
        if _total(line.amount_usd or Decimal(0) for line in self.lines) != Fraction(self.dollars.supply_usd):
            raise DocumentError("supply_usd", "the lines do not add up to the supply in dollars")


@dataclass(frozen=True, slots=True, kw_only=True)
class TopUpDocument:
    """What a mail says of a prepayment that runs low: won, whole; `amount_krw` is asked for, None where only told."""

    locale: str
    requested_on: date
    buyer_name: str
    seller_name: str
    seller_email: str
    seller_phone: str
    bank: BankAccount
    deposit_code: str
    threshold_krw: int
    prepaid_krw: int
    unbilled_krw: int
    amount_krw: int | None

    def __post_init__(self) -> None:
        _require_member(self.locale, LOCALES, "locale")

    @property
    def available_krw(self) -> int:
        """What is left when the usage not yet invoiced is taken off; may be negative."""
        return self.prepaid_krw - self.unbilled_krw

    def to_json(self) -> dict[str, Any]:
        """As `InvoiceDocument.to_json`."""
        plain = plain_members(self)
        assert isinstance(plain, dict)
        return plain

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> TopUpDocument:
        """As `InvoiceDocument.from_json`."""
        document: TopUpDocument = _TOP_UP(raw, "document")
        return document


def _is_rounding_of(amount: int, exact: Fraction) -> bool:
    """Whether some rounding mode could have made `amount`; which one was right is the business of the arithmetic."""
    return abs(amount - exact) < 1


def _total(amounts: Iterable[Decimal]) -> Fraction:
    return Fraction(exact_sum(amounts))


def _require_member(value: str, known: tuple[str, ...], field: str) -> None:
    if value not in known:
        raise DocumentError(field, f"{value!r} is none of {', '.join(known)}")


def _require_month(value: str, field: str) -> None:
    if not _MONTH.fullmatch(value):
        raise DocumentError(field, f"{value!r} is not a month such as 2026-10")


def _require_finite(value: Decimal, field: str) -> None:
    if not value.is_finite():
        raise DocumentError(field, f"{value} is not a number")


def _require_share(margin: Decimal) -> None:
    _require_finite(margin, "margin")
    if not 0 <= margin < 1:
        raise DocumentError("margin", "a share of the selling price is at least 0 and below 1")


def _require_rate(value: Decimal, field: str) -> None:
    _require_finite(value, field)
    if value <= 0:
        raise DocumentError(field, f"an exchange rate is positive, not {value}")


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
_TOP_UP = object_reader(
    TopUpDocument,
    readers_of(
        TopUpDocument, bank=object_reader(BankAccount, readers_of(BankAccount)), amount_krw=optional(read_integer)
    ),
)
