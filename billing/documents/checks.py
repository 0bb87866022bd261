"""What the parts of a document have in common: checks that name the member that is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction

from billing.frozen import DocumentError
from catalog.money import exact_sum

LOCALES = ("ko", "en")

_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])", re.ASCII)


def is_rounding_of(amount: int, exact: Fraction) -> bool:
    """Whether some rounding mode could have made `amount`; which one was right is the business of the arithmetic."""
    return abs(amount - exact) < 1


def total(amounts: Iterable[Decimal]) -> Fraction:
    """The exact sum: a Decimal sum is rounded to the context's 28 digits without a word."""
    return Fraction(exact_sum(amounts))


def require_member(value: str, known: tuple[str, ...], field: str) -> None:
    """Raise DocumentError for a word that means nothing here."""
    if value not in known:
        raise DocumentError(field, f"{value!r} is none of {', '.join(known)}")


def require_month(value: str, field: str) -> None:
    """Raise DocumentError unless it is a month such as 2026-10."""
    if not _MONTH.fullmatch(value):
        raise DocumentError(field, f"{value!r} is not a month such as 2026-10")


def require_finite(value: Decimal, field: str) -> None:
    """Raise DocumentError for what is no number."""
    if not value.is_finite():
        raise DocumentError(field, f"{value} is not a number")


def require_share(margin: Decimal) -> None:
    """Raise DocumentError for what is no share of a selling price."""
    require_finite(margin, "margin")
    if not 0 <= margin < 1:
        raise DocumentError("margin", "a share of the selling price is at least 0 and below 1")


def require_rate(value: Decimal, field: str) -> None:
    """Raise DocumentError unless it can be won per dollar."""
    require_finite(value, field)
    if value <= 0:
        raise DocumentError(field, f"an exchange rate is positive, not {value}")
