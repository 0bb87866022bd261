"""Exact money: the only place in the project where an amount is rounded.

Python's default decimal context rounds silently at 28 digits, and catalog prices alone have 23 decimals. So
sums and products of `Decimal` go through `EXACT`, which raises instead of rounding, and everything that
divides goes through `Fraction`. The only functions that round amounts are `round_won` and `vat_won`, in one of the
two stored policies, `round_usd_cents` for what an invoice says in dollars, and for bounds, which are never billed,
`round_up` and `round_down`.
"""

import re
from collections.abc import Iterable, Sequence
from decimal import (
    Context,
    Decimal,
    DivisionByZero,
    FloatOperation,
    Inexact,
    InvalidOperation,
    Overflow,
    Underflow,
)
from enum import StrEnum
from fractions import Fraction
from math import ceil, floor

ZERO = Decimal(0)

# 48 digits of price, 13 of quantity, 10 of rate and a sum over billions of events stay far below 1,000
# digits; what does not is a programming error and raises decimal.Inexact.
EXACT = Context(
    prec=1000,
    Emin=-999_999,
    Emax=999_999,
    traps=[Inexact, InvalidOperation, DivisionByZero, Overflow, Underflow, FloatOperation],
)

VAT_DIVISOR = 10  # 부가가치세 is 10 %
_PLAIN_DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{1,28})?")


class Rounding(StrEnum):
    """How a won amount is rounded: a policy stored with the contract and frozen on each invoice."""

    HALF_UP = "half_up"  # half away from zero
    DOWN = "down"  # towards zero (절사)


def parse_decimal(text: str, *, field: str) -> Decimal:
    """The number that a plain decimal text says, exactly: ASCII digits, at most 20 before and 28 after the point.

    Raises ValueError that names `field` for everything else: a sign, an exponent, spaces, `_`, full-width
    digits, NaN, Infinity, or a value that is no text at all.
    """
    if not isinstance(text, str) or not _PLAIN_DECIMAL.fullmatch(text):
        raise ValueError(f"{field}: not a plain decimal number: {_shown(text)}")
    return Decimal(text)


def decimal_text(value: Decimal) -> str:
    """Plain notation without exponent and trailing zeros: "0.0096", "1400", "0". Raises ValueError for NaN."""
    if not value.is_finite():
        raise ValueError(f"not a finite number: {value}")
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def exact_sum(values: Iterable[Decimal]) -> Decimal:
    """The sum without any rounding; raises decimal.Inexact rather than lose a digit."""
    total = ZERO
    for value in values:
        total = EXACT.add(total, value)
    return total


def exact_product(left: Decimal, right: Decimal | int) -> Decimal:
    """The product without any rounding; raises decimal.Inexact rather than lose a digit."""
    return EXACT.multiply(left, right)


def round_won(amount: Fraction, rounding: Rounding) -> int:
    """Whole won of an exact amount. HALF_UP takes a half away from zero, DOWN cuts towards zero."""
    quotient, rest = divmod(abs(amount.numerator), amount.denominator)
    if rounding is Rounding.HALF_UP and 2 * rest >= amount.denominator:
        quotient += 1
    return -quotient if amount < 0 else quotient


def vat_won(supply_krw: int, rounding: Rounding) -> int:
    """VAT on a supply amount that is already whole won: one tenth, rounded by the same stored policy."""
    return round_won(Fraction(supply_krw, VAT_DIVISOR), rounding)


def round_usd_cents(amount: Fraction) -> Decimal:
    """US dollars to the cent, a half away from zero; always with two places: Decimal("1.20")."""
    return EXACT.scaleb(Decimal(round_won(amount * 100, Rounding.HALF_UP)), -2)


def round_up(amount: Fraction, *, decimals: int = 0) -> Decimal:
    """The smallest decimal with so many decimals that is not below `amount`: for holds and limits, never for a bill."""
    return EXACT.scaleb(Decimal(ceil(amount * 10**decimals)), -decimals)


def round_down(amount: Fraction, *, decimals: int = 0) -> Decimal:
    """The largest decimal with so many decimals that is not above `amount`: for what may still be spent."""
    return EXACT.scaleb(Decimal(floor(amount * 10**decimals)), -decimals)


def allocate(total: int, weights: Sequence[Fraction]) -> list[int]:
    """Split `total` won in proportion to `weights` by largest remainder; the parts add up to `total` exactly.

    Equal remainders are served in the order given; a zero weight gets 0; `allocate(-t, w)` mirrors
    `allocate(t, w)`. Raises ValueError when the weights add up to zero and `total` does not.
    """
    whole = sum(weights, Fraction(0))
    if whole == 0:
        if total != 0:
            raise ValueError(f"cannot split {total} won over weights that add up to zero")
        return [0] * len(weights)
    return share_out(total, [total * weight / whole for weight in weights])


def share_out(total: int, shares: Sequence[Fraction]) -> list[int]:
    """Whole won for exact `shares` that add up to `total` (within the rounding of that total to won).

    Largest remainder: every part is its share cut to whole won or one won further, never further away. Equal
    remainders are served in the order given; a share of zero stays 0. Raises ValueError when `total` is not
    the sum of the shares rounded to a neighbouring whole won.
    """
    if total < 0 or (total == 0 and sum(shares) < 0):
        return [-part for part in share_out(-total, [-share for share in shares])]
    parts = [floor(share) for share in shares]
    remainders = [share - part for share, part in zip(shares, parts, strict=True)]
    missing = total - sum(parts)
    if not 0 <= missing <= sum(1 for remainder in remainders if remainder):
        raise ValueError(f"{total} won is not the rounded sum of the shares")
    by_remainder = sorted(range(len(shares)), key=lambda position: (-remainders[position], position))
    for position in by_remainder[:missing]:
        parts[position] += 1
    return parts


def _shown(value: object) -> str:
    """A refused value, short enough for a message."""
    text = repr(value) if isinstance(value, str) else f"{type(value).__name__} {value!r:.60}"
    return text if len(text) <= 80 else text[:77] + "..."
