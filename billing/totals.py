"""From exact won to the three amounts of an invoice: 공급가액, 부가세, 합계.

An invoice is rounded once: its supply amount. Lines get whole won by largest remainder, so that they add up to it,
and VAT is a tenth of the rounded supply amount, never of the exact one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from catalog.money import Rounding, round_won, share_out, vat_won


@dataclass(frozen=True)
class Totals:
    """Whole won. `line_amounts_krw` stand in the order of the bases and add up to `supply_krw`."""

    supply_krw: int
    vat_krw: int
    total_krw: int
    line_amounts_krw: tuple[int, ...]


def invoice_totals(bases_krw: Sequence[Decimal], *, margin: Decimal, rounding: Rounding) -> Totals:
    """Totals of an invoice whose lines cost `bases_krw`: exact won before margin (sum over days of USD x rate).

    `margin` is the share of the selling price, 0 <= margin < 1: supply = round(sum / (1 - margin)). Every line is its
    exact selling price cut to whole won, or one won further from zero; equal remainders are served in the order
    given. Raises ValueError for a margin outside its range and for a base that is not finite.
    """
    if not (margin.is_finite() and 0 <= margin < 1):
        raise ValueError(f"margin: must be at least 0 and below 1, not {margin}")
    if not all(base.is_finite() for base in bases_krw):
        raise ValueError("bases_krw: must be finite amounts")
    kept = 1 - Fraction(margin)
    exact_krw = [Fraction(base) / kept for base in bases_krw]
    supply = round_won(sum(exact_krw, Fraction(0)), rounding)
    vat = vat_won(supply, rounding)
    return Totals(supply, vat, supply + vat, tuple(share_out(supply, exact_krw)))
