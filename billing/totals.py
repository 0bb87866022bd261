"""From exact won to the three amounts of an invoice: 공급가액, 부가세, 합계.

An invoice is rounded once: the supply amount of its usage. Lines get whole won by largest remainder, so that they add up
to it. Discounts take whole won off that, a monthly minimum makes up for what is short, promotional credit takes won off, and
VAT is a tenth of the outcome, never of an exact amount.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction

from catalog.money import Rounding, allocate, round_won, share_out, vat_won


@dataclass(frozen=True)
class Totals:
    """Whole won. `line_amounts_krw` stand in the order of the bases and add up to `usage_krw`."""

    supply_krw: int
    vat_krw: int
    total_krw: int
    line_amounts_krw: tuple[int, ...]
    discount_krw: int = 0
    shortfall_krw: int = 0
    promotion_krw: int = 0

    @property
    def usage_krw(self) -> int:
        """The supply of the usage before anything was taken off."""
        return sum(self.line_amounts_krw)


def invoice_totals(bases_krw: Sequence[Decimal], *, margins: Sequence[Decimal], rounding: Rounding) -> Totals:
    """Totals of an invoice whose lines cost `bases_krw`: exact won before margin (sum over days of USD x rate).

    `margins` are the lines' shares of the selling price, 0 <= margin < 1: supply = round(sum of base / (1 - margin)).
    Every line is its exact selling price cut to whole won, or one won further from zero; equal remainders are served in
    the order given. Raises ValueError for a margin outside its range and for a base that is not finite.
    """
    for margin in margins:
        if not (margin.is_finite() and 0 <= margin < 1):
            raise ValueError(f"margins: must be at least 0 and below 1, not {margin}")
    if not all(base.is_finite() for base in bases_krw):
        raise ValueError("bases_krw: must be finite amounts")
    exact_krw = [Fraction(base) / (1 - Fraction(margin)) for base, margin in zip(bases_krw, margins, strict=True)]
    supply = round_won(sum(exact_krw, Fraction(0)), rounding)
    vat = vat_won(supply, rounding)
    return Totals(supply, vat, supply + vat, tuple(share_out(supply, exact_krw)))


@dataclass(frozen=True)
class CoveredUsage:
    """A usage line as promotional credit sees it: its won, and what each KST day weighs in them (exact, before margin)."""

    model_id: str
    amount_krw: int
    bases_by_day: Mapping[date, Decimal] | Mapping[date, Fraction]


@dataclass(frozen=True)
class Offer:
    """What is left of one promotional credit: won, the days it covers (both included) and the models (None: all)."""

    key: int
    remaining_krw: int
    first_on: date
    last_on: date
    models: frozenset[str] | None


@dataclass(frozen=True)
class RelievedDay:
    """What one offer took off the won of one line that fall on a day; `left_krw` is what the offers before it left."""

    day: date
    left_krw: int
    amount_krw: int


@dataclass(frozen=True)
class Relief:
    """What one offer took off: `days` by line, in the order of the lines, those that it covers and that had won left."""

    key: int
    days: tuple[tuple[RelievedDay, ...], ...]
    by_line_krw: tuple[int, ...] = field(init=False)
    amount_krw: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_line_krw", tuple(sum(day.amount_krw for day in days) for days in self.days))
        object.__setattr__(self, "amount_krw", sum(self.by_line_krw))


def relieve(lines: Sequence[CoveredUsage], offers: Sequence[Offer]) -> list[Relief]:
    """Spend the offers, in the order given, on what they cover; those that find nothing are left out.

    A line's won are shared out to its days by largest remainder, so that a credit that ends within the month covers
    whole won of the days before. An offer takes the earliest days first, and of one day the lines in their order; no won
    is relieved twice, so what is left is never negative.
    """
    left = {(day, number): won for number, line in enumerate(lines) for day, won in _by_day(line).items() if won}
    days = sorted(left)
    reliefs = []
    for offer in offers:
        rest = offer.remaining_krw
        taken: list[list[RelievedDay]] = [[] for _ in lines]
        for day, number in days:
            covers = offer.first_on <= day <= offer.last_on
            if covers and (offer.models is None or lines[number].model_id in offer.models):
                before = left[day, number]
                won = min(rest, before)
                if before:
                    taken[number].append(RelievedDay(day, before, won))
                left[day, number] = before - won
                rest -= won
        if rest < offer.remaining_krw:
            reliefs.append(Relief(offer.key, tuple(map(tuple, taken))))
    return reliefs


def adjusted(
    totals: Totals,
    *,
    discount_krw: int,
    minimum_krw: int,
    promotion_krw: int,
    rounding: Rounding,
    is_zero_rated: bool = False,
) -> Totals:
    """The totals of usage after discounts, at least `minimum_krw` then, and after promotional credit; VAT on the outcome,
    none where the supply is zero-rated.

    Raises ValueError when more would be taken off than there is: credit pays usage and never the minimum.
    """
    left = totals.usage_krw - discount_krw
    if min(discount_krw, minimum_krw, promotion_krw) < 0 or promotion_krw > left:
        raise ValueError(f"discount_krw: {discount_krw} and promotion_krw: {promotion_krw} of {totals.usage_krw}")
    shortfall = max(minimum_krw - left, 0)
    supply = left + shortfall - promotion_krw
    vat = 0 if is_zero_rated else vat_won(supply, rounding)
    return Totals(supply, vat, supply + vat, totals.line_amounts_krw, discount_krw, shortfall, promotion_krw)


def _by_day(line: CoveredUsage) -> dict[date, int]:
    days = sorted(line.bases_by_day)
    shares = allocate(line.amount_krw, [Fraction(line.bases_by_day[day]) for day in days])
    return dict(zip(days, shares, strict=True))
