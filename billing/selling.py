"""What a contract takes off usage and adds to it: pure arithmetic on whole won.

The order is one and the same everywhere: usage, discounts, monthly minimum, promotional credit, VAT (docs/adr/0016).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction

from catalog.money import Rounding, round_won, share_out


@dataclass(frozen=True)
class SoldLine:
    """A usage line as discounts see it: its whole won, and in which month (its first day) the usage happened."""

    model_id: str
    provider: str
    month_on: date
    amount_krw: int


@dataclass(frozen=True)
class DiscountTerm:
    """A share of the supply or so many won a month, off usage of a provider, of models, or of everything (None).

    Holds for the months that begin on `first_on` or later and before `end_on` (None: no end is known). `key` orders the
    discounts: the lower one is taken first where there is not enough left for both.
    """

    key: int
    share: Decimal | None
    amount_krw: int | None
    provider: str | None
    models: frozenset[str] | None
    first_on: date
    end_on: date | None

    def covers(self, line: SoldLine) -> bool:
        """Whether the line's model is one that the discount is for."""
        return self.provider in (None, line.provider) and (self.models is None or line.model_id in self.models)

    def holds_in(self, month_on: date) -> bool:
        """Whether the month that begins on that day is one of the discount's."""
        return self.first_on <= month_on and (self.end_on is None or month_on < self.end_on)

    def covered(self, lines: Sequence[SoldLine], *, month_on: date) -> list[bool]:
        """Which lines of the invoice of that month it is taken off: a share goes by the month of use."""
        return [
            self.covers(line) and self.holds_in(month_on if self.share is None else line.month_on) for line in lines
        ]

    def base_krw(self, lines: Sequence[SoldLine], *, month_on: date) -> int:
        """The won of those lines before any discount."""
        covered = self.covered(lines, month_on=month_on)
        return sum(max(line.amount_krw, 0) for line, is_covered in zip(lines, covered, strict=True) if is_covered)


@dataclass(frozen=True)
class Taking:
    """What a discount takes off one of its lines, exact and in whole won; `left_krw` is what those before it left of the
    line.
    """

    left_krw: int
    exact_krw: Fraction
    amount_krw: int


@dataclass(frozen=True)
class Reduction:
    """What one discount took off: `takings` in the order of the lines, None where it is not for the line; `base_krw` is
    the won that it was taken of.
    """

    key: int
    base_krw: int
    takings: tuple[Taking | None, ...]
    by_line_krw: tuple[int, ...] = field(init=False)
    amount_krw: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_line_krw", tuple(one.amount_krw if one else 0 for one in self.takings))
        object.__setattr__(self, "amount_krw", sum(self.by_line_krw))


def take_discounts(
    lines: Sequence[SoldLine], terms: Sequence[DiscountTerm], *, month_on: date, rounding: Rounding
) -> list[Reduction]:
    """What each discount takes off an invoice of the month that begins on `month_on`; those that find nothing are left out.

    Shares come first and are all of the same won, the lines before any discount, so none is a share of what another left.
    Each is rounded once and given to its lines by largest remainder. Won a month come after them. No line is reduced
    below 0. The order of `terms` plays no role.
    """
    left = [max(line.amount_krw, 0) for line in lines]
    reductions = []
    for term in sorted(terms, key=lambda one: (one.share is None, one.key)):
        takings = _takings(term, lines, left, month_on=month_on, rounding=rounding)
        reduction = Reduction(term.key, term.base_krw(lines, month_on=month_on), takings)
        left = [before - won for before, won in zip(left, reduction.by_line_krw, strict=True)]
        if reduction.amount_krw:
            reductions.append(reduction)
    return sorted(reductions, key=lambda one: one.key)


def month_minimum(parts: Sequence[tuple[int, int]], *, days_of_month: int, rounding: Rounding) -> int:
    """What a month comes to at least: won of a whole month and for how many of its days they hold, rounded once.

    Raises ValueError for days that the month does not have.
    """
    if any(days < 0 for _, days in parts) or sum(days for _, days in parts) > days_of_month:
        raise ValueError(f"parts: {[days for _, days in parts]} of {days_of_month} days")
    return round_won(sum((Fraction(won * days, days_of_month) for won, days in parts), Fraction(0)), rounding)


def _takings(
    term: DiscountTerm, lines: Sequence[SoldLine], left: Sequence[int], *, month_on: date, rounding: Rounding
) -> tuple[Taking | None, ...]:
    """By line, none more than the line has left."""
    covered = term.covered(lines, month_on=month_on)
    rest = [won if is_covered else 0 for won, is_covered in zip(left, covered, strict=True)]
    exact = _exact(term, lines, rest)
    taken = share_out(round_won(sum(exact, Fraction(0)), rounding), exact)
    return tuple(
        Taking(won, share, part) if is_covered else None
        for is_covered, won, share, part in zip(covered, rest, exact, taken, strict=True)
    )


def _exact(term: DiscountTerm, lines: Sequence[SoldLine], rest: Sequence[int]) -> list[Fraction]:
    """Before rounding: the share of each line, or the won in proportion to what the lines have left."""
    if term.share is not None:
        share = Fraction(term.share)
        return [min(max(line.amount_krw, 0) * share, Fraction(won)) for line, won in zip(lines, rest, strict=True)]
    assert term.amount_krw is not None  # a term is one or the other
    whole = sum(rest)
    return [Fraction(min(term.amount_krw, whole) * won, whole) if won else Fraction(0) for won in rest]
