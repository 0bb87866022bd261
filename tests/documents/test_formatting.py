"""Numbers, dates and foreign text as they stand on paper."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from billing import formatting
from tests.documents.samples import FOREIGN, SELLER, SOLE_TRADER, invoice


def test_won_has_separators_and_the_won_sign_that_searches_find() -> None:
    assert formatting.won(1_811_764) == "1,811,764"
    assert formatting.won_sign(999_999_999_999_999) == "\u20a9999,999,999,999,999"
    assert formatting.won_sign(-1_647) == "-\u20a91,647"


def test_registration_number_is_grouped_and_a_foreign_one_is_not() -> None:
    assert formatting.registration_no(SELLER) == "201-86-12345"
    assert formatting.registration_no(SOLE_TRADER) == "214-11-08330"
    assert formatting.registration_no(FOREIGN) == "DE 811 907 980"


@pytest.mark.parametrize(
    ("rate", "text"),
    [("1400", "1,400.00"), ("1443.2", "1,443.20"), ("1432.6000", "1,432.60"), ("1432.605", "1,432.605")],
)
def test_rate_has_at_least_two_decimals(rate: str, text: str) -> None:
    assert formatting.rate_text(Decimal(rate)) == text


@pytest.mark.parametrize(("share", "text"), [("0.15", "15"), ("0.15000", "15"), ("0.1234", "12.34"), ("0", "0")])
def test_share_in_percent(share: str, text: str) -> None:
    assert formatting.percent_text(Decimal(share)) == text


@pytest.mark.parametrize(
    ("value", "least", "most", "text"),
    [
        (Fraction(28_000, 17), 0, 4, "1,647.0588…"),
        (Fraction(1_647), 0, 4, "1,647"),
        (Fraction(3, 2), 2, 12, "1.50"),
        (Fraction(-1, 3), 2, 6, "-0.333333…"),
        (Fraction(0), 0, 4, "0"),
        (Fraction(1, 10**13), 2, 12, "0.00…"),
    ],
)
def test_digits_that_are_cut_off_are_announced(value: Fraction, least: int, most: int, text: str) -> None:
    assert formatting.cut(value, least=least, most=most) == text


def shown(*amounts: str) -> tuple[list[str], str, bool]:
    column = formatting.column([Fraction(amount) for amount in amounts])
    return [column.text(cell) for cell in column.cells], column.text(column.total), column.is_exact


def test_column_takes_the_decimals_that_its_longest_amount_needs() -> None:
    assert shown("1", "2.5") == (["1.00", "2.50"], "3.50", True)
    assert shown("1.25", "0.000001") == (["1.250000", "0.000001"], "1.250001", True)


def test_column_adds_up_to_its_total_when_six_decimals_are_not_enough() -> None:
    cells, total, is_exact = shown("0.0000004", "0.0000004", "0.0000004")
    assert (cells, total, is_exact) == (["0.000001", "0.000000", "0.000000"], "0.000001", False)


def test_free_line_stays_zero_in_a_rounded_column() -> None:
    assert shown("0.0000009", "0", "1") == (["0.000001", "0.000000", "1.000000"], "1.000001", False)


def test_dates_and_months_by_language() -> None:
    assert formatting.date_text(date(2026, 11, 2), "ko") == "2026년 11월 2일"
    assert formatting.date_text(date(2026, 11, 2), "en") == "2 November 2026"
    assert formatting.month_text("2026-01", "ko") == "2026년 1월"
    assert formatting.month_text("2026-12", "en") == "December 2026"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("주식회사\r\nBcc: a@b.example", "주식회사 Bcc: a@b.example"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("\u2067 a \u2069\u200f\ufeff", "a"),
        ("a\x00\x1b[31mb", "a[31mb"),
        ("a\ud800b", "ab"),
        ("a\u2028b\tc", "a b c"),
        ("가온 😀 (주)", "가온 😀 (주)"),
    ],
)
def test_foreign_text_becomes_one_printable_line(text: str, line: str) -> None:
    assert formatting.one_line(text) == line


def test_a_deadline_that_has_passed_is_not_promised() -> None:
    on_time = invoice()
    late = replace(on_time, tax_invoice_deadline_on=on_time.issued_on - timedelta(days=1))
    assert formatting.deadline_text(on_time) == formatting.date_text(on_time.tax_invoice_deadline_on, "ko")
    assert formatting.deadline_text(late) == ""
