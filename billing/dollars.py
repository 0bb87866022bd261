"""What an invoice says in US dollars: its won at its one rate, to the cent.

The won are the legal amounts, and everything is reckoned in them. Dollars are derived: an amount of so many won at a rate of
so many won per dollar. What is still to be paid, and what was credited, is its share of the invoice's total in dollars, so
that both end at that total and at 0.00 exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import ceil

from catalog.money import EXACT, Rounding, round_usd_cents, round_won, share_out

KRW = "KRW"
USD = "USD"
CURRENCIES = (KRW, USD)

_HALF_A_CENT = Fraction(1, 200)


@dataclass(frozen=True, slots=True)
class Dollars:
    """An invoice's amounts in US dollars, two decimals each."""

    supply_usd: Decimal
    vat_usd: Decimal

    @property
    def total_usd(self) -> Decimal:
        """Supply and VAT: what would be paid in dollars."""
        return EXACT.add(self.supply_usd, self.vat_usd)


def in_dollars(*, supply_krw: int, vat_krw: int, rate_krw_per_usd: Decimal) -> Dollars:
    """The dollars of an invoice: supply and VAT each at the rate, half a cent up. 1,647 and 165 won at 1,400: 1.18, 0.12."""
    _require_rate(rate_krw_per_usd)
    rate = Fraction(rate_krw_per_usd)
    return Dollars(round_usd_cents(supply_krw / rate), round_usd_cents(vat_krw / rate))


def line_dollars(amounts_krw: Sequence[int], *, rate_krw_per_usd: Decimal, supply_usd: Decimal) -> tuple[Decimal, ...]:
    """The dollars of an invoice's lines by largest remainder, in their order: they add up to `supply_usd` to the cent.

    Lines that take something off are negative. Raises ValueError where the lines' won at the rate are not `supply_usd`.
    """
    _require_rate(rate_krw_per_usd)
    shares = [krw * 100 / Fraction(rate_krw_per_usd) for krw in amounts_krw]
    return tuple(round_usd_cents(Fraction(cents, 100)) for cents in share_out(int(supply_usd * 100), shares))


def outstanding_usd(*, outstanding_krw: int, total_krw: int, total_usd: Decimal) -> Decimal:
    """What is still to be paid in dollars of an invoice of which so many won are: their share of its total in dollars.

    The whole of it is `total_usd`, nothing is 0.00; a few won that are less than half a cent are 0.00 as well. Raises
    ValueError for more won than the invoice has.
    """
    if not 0 <= outstanding_krw <= total_krw:
        raise ValueError(f"outstanding_krw: {outstanding_krw} of {total_krw}")
    if total_krw == 0:
        return total_usd
    return round_usd_cents(Fraction(total_usd) * outstanding_krw / total_krw)


def credited_usd(*, credited_krw: int, total_krw: int, total_usd: Decimal) -> Decimal:
    """What credit notes of so many won together come to in dollars: all but what they leave of the invoice.

    A note's own dollars are this less what it was before the note, so that the notes never come to more than the invoice
    and come to exactly its total when all of it is credited.
    """
    left = outstanding_usd(outstanding_krw=total_krw - credited_krw, total_krw=total_krw, total_usd=total_usd)
    return EXACT.subtract(total_usd, left)


def krw_of_part(*, part_usd: Decimal, left_usd: Decimal, left_krw: int, total_krw: int, total_usd: Decimal) -> int:
    """The won that go with so many of the dollars that are left: with all of them all won, with a part its share, half up.

    A won more or less where otherwise the rest would not be `left_usd - part_usd` by `outstanding_usd`: whoever pays a part
    reads the rest to the cent. Raises ValueError for more than is left, and for a part of less than a won.
    """
    if not 0 < part_usd <= left_usd:
        raise ValueError(f"part_usd: {part_usd} of {left_usd}")
    if part_usd == left_usd:
        return left_krw
    rest_usd = Fraction(left_usd) - Fraction(part_usd)
    krw_per_usd = total_krw / Fraction(total_usd)
    least = ceil((rest_usd - _HALF_A_CENT) * krw_per_usd)
    most = min(ceil((rest_usd + _HALF_A_CENT) * krw_per_usd), left_krw) - 1
    if least > most:
        raise ValueError(f"part_usd: {part_usd} are less than a won")
    rest_krw = left_krw - round_won(Fraction(left_krw) * Fraction(part_usd) / Fraction(left_usd), Rounding.HALF_UP)
    return left_krw - min(max(rest_krw, least), most)


def _require_rate(rate_krw_per_usd: Decimal) -> None:
    if not rate_krw_per_usd.is_finite() or rate_krw_per_usd <= 0:
        raise ValueError(f"rate_krw_per_usd: must be above 0, not {rate_krw_per_usd}")
