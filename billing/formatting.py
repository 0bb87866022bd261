"""How numbers, dates and names are written on documents. Text in the document's language; nothing is decided here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from billing.documents import DocumentLine, InvoiceDocument, Party
from catalog.money import ZERO, Rounding, decimal_text, exact_product, exact_sum, round_won, share_out

#: Dollars of other countries are dollars too.
DOLLAR_SIGN = "US$"
#: U+20A9. The full-width sign (U+FFE6) looks alike and is found by no search.
WON_SIGN = "₩"

_LEAST_COLUMN_DECIMALS = 2
_MOST_COLUMN_DECIMALS = 6
_ENGLISH_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
# Directional marks, embeddings, overrides and isolates (a name that holds one would turn around the text after it),
# control characters, half surrogate pairs. Line breaks stay: they become spaces.
_UNPRINTABLE = re.compile(
    "[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff\ufeff\ufffe\uffff]"
)


def one_line(text: str) -> str:
    """Somebody else's text as one printable line: no line breaks, control characters or directional overrides."""
    return " ".join(_UNPRINTABLE.sub("", text).split())


def won(amount: int) -> str:
    """1811764 -> "1,811,764"."""
    return f"{amount:,}"


def won_sign(amount: int) -> str:
    """1811764 -> "₩1,811,764"."""
    return f"-{WON_SIGN}{-amount:,}" if amount < 0 else f"{WON_SIGN}{amount:,}"


def dollars(amount: Decimal) -> str:
    """Cents as they are: 1234.5 -> "1,234.50". Nothing is rounded here."""
    return scaled(int(exact_product(amount, 100)), 2)


def dollar_sign(amount: Decimal) -> str:
    """1234.5 -> "US$1,234.50"."""
    return f"-{DOLLAR_SIGN}{dollars(-amount)}" if amount < 0 else f"{DOLLAR_SIGN}{dollars(amount)}"


def lines_amount(document: InvoiceDocument, lines: Iterable[DocumentLine]) -> str:
    """What lines of the document come to, in the currency that it is read in; without its sign."""
    if document.dollars:
        return dollars(exact_sum(line.amount_usd or ZERO for line in lines))
    return won(sum(line.amount_krw for line in lines))


def registration_no(party: Party) -> str:
    """사업자등록번호 as 3-2-5 digits; a foreign identifier as it is."""
    if party.kind == "foreign":
        return one_line(party.registration_no)
    digits = party.registration_no
    return f"{digits[:3]}-{digits[3:5]}-{digits[5:]}"


def decimals_of(value: Decimal) -> int:
    """How many decimal places the value needs: 0.2500 needs 2."""
    return len(format(value, "f").partition(".")[2].rstrip("0"))


def scaled(amount: int, decimals: int) -> str:
    """An integer count of 10**-decimals: (1234500, 4) -> "123.4500"."""
    whole, part = divmod(abs(amount), 10**decimals)
    sign = "-" if amount < 0 else ""
    return f"{sign}{whole:,}.{part:0{decimals}d}" if decimals else f"{sign}{whole:,}"


def cut(value: Fraction, *, least: int, most: int) -> str:
    """The value with `least` to `most` decimals; where more follow they are cut off and "…" says so."""
    shifted = abs(value) * 10**most
    shown = int(shifted)
    text = scaled(shown, most)
    if most > least:
        whole, _, part = text.partition(".")
        kept = part.rstrip("0").ljust(least, "0")
        text = f"{whole}.{kept}" if kept else whole
    return ("-" if value < 0 else "") + text + ("…" if shifted != shown else "")


def rate_text(rate: Decimal) -> str:
    """Won per dollar as published, with at least two decimals: "1,443.20"."""
    return cut(Fraction(rate), least=2, most=max(2, decimals_of(rate)))


def percent_text(share: Decimal) -> str:
    """A share in percent: 0.15 -> "15"."""
    return decimal_text(exact_product(share, 100))


@dataclass(frozen=True, slots=True)
class Column:
    """Amounts that stand under each other, as integers of 10**-decimals; `cells` add up to `total`."""

    cells: tuple[int, ...]
    total: int
    decimals: int
    is_exact: bool

    def text(self, amount: int) -> str:
        """One cell, the total or a sum of cells."""
        return scaled(amount, self.decimals)


def column(amounts: Sequence[Fraction]) -> Column:
    """The amounts with one number of decimals, two to six, that shows them exactly where six are enough.

    Where they are not, the total is rounded to six and the last digits of the cells are shared out so that whoever adds
    the column gets the total that is printed under it.
    """
    total = sum(amounts, Fraction(0))
    for decimals in range(_LEAST_COLUMN_DECIMALS, _MOST_COLUMN_DECIMALS + 1):
        cells = [amount * 10**decimals for amount in amounts]
        if all(cell.denominator == 1 for cell in cells):
            return Column(tuple(map(int, cells)), int(total * 10**decimals), decimals, is_exact=True)
    shown = round_won(total * 10**_MOST_COLUMN_DECIMALS, Rounding.HALF_UP)
    shares = [amount * 10**_MOST_COLUMN_DECIMALS for amount in amounts]
    return Column(tuple(share_out(shown, shares)), shown, _MOST_COLUMN_DECIMALS, is_exact=False)


def date_text(day: date, locale: str) -> str:
    """2026-11-10 -> "2026년 11월 10일" or "10 November 2026"."""
    if locale == "ko":
        return f"{day.year}년 {day.month}월 {day.day}일"
    return f"{day.day} {_ENGLISH_MONTHS[day.month - 1]} {day.year}"


def deadline_text(document: InvoiceDocument) -> str:
    """By when the tax invoice is due; nothing on an invoice that was itself issued after that day."""
    late = document.tax_invoice_deadline_on < document.issued_on
    return "" if late else date_text(document.tax_invoice_deadline_on, document.locale)


def month_text(month: str, locale: str) -> str:
    """ "2026-10" -> "2026년 10월" or "October 2026"."""
    year, number = int(month[:4]), int(month[5:])
    return f"{year}년 {number}월" if locale == "ko" else f"{_ENGLISH_MONTHS[number - 1]} {year}"
