"""What a contract takes off usage and adds to it: pure arithmetic on whole won.

The order is one and the same everywhere: usage, discounts, monthly minimum, promotional credit, VAT (docs/adr/0016).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction

from catalog.money import Rounding, allocate, round_won, share_out


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


@dataclass(frozen=True)
class Reduction:
    """What one discount took off: `by_line_krw` in the order of the lines, `base_krw` the won that it was taken of."""

    key: int
    base_krw: int
    by_line_krw: tuple[int, ...]
    amount_krw: int = field(init=False)

    def __post_init__(self) -> None:
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
        if term.share is not None:
            covered = [term.covers(line) and term.holds_in(line.month_on) for line in lines]
        else:
            covered = [term.covers(line) and term.holds_in(month_on) for line in lines]
        taken = _taken(term, lines, covered, left, rounding)
        left = [before - won for before, won in zip(left, taken, strict=True)]
        base = sum(max(line.amount_krw, 0) for line, is_covered in zip(lines, covered, strict=True) if is_covered)
        if any(taken):
            reductions.append(Reduction(term.key, base, tuple(taken)))
    return sorted(reductions, key=lambda one: one.key)


def month_minimum(parts: Sequence[tuple[int, int]], *, days_of_month: int, rounding: Rounding) -> int:
    """What a month comes to at least: won of a whole month and for how many of its days they hold, rounded once.

    Raises ValueError for days that the month does not have.
    """
    if any(days < 0 for _, days in parts) or sum(days for _, days in parts) > days_of_month:
        raise ValueError(f"parts: {[days for _, days in parts]} of {days_of_month} days")
    return round_won(sum((Fraction(won * days, days_of_month) for won, days in parts), Fraction(0)), rounding)


def _taken(
    term: DiscountTerm, lines: Sequence[SoldLine], covered: Sequence[bool], left: Sequence[int], rounding: Rounding
) -> list[int]:
    """Whole won by line, none more than the line has left."""
    rest = [Fraction(won if is_covered else 0) for won, is_covered in zip(left, covered, strict=True)]
    if term.share is None:
        assert term.amount_krw is not None  # a term is one or the other
        return allocate(min(term.amount_krw, int(sum(rest))), rest)
    share = Fraction(term.share)
    exact = [min(max(line.amount_krw, 0) * share, won) for line, won in zip(lines, rest, strict=True)]
    return share_out(round_won(sum(exact, Fraction(0)), rounding), exact)
