"""The dollars of an invoice: its won at one rate, to the cent."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.dollars import Dollars, credited_usd, in_dollars, line_dollars, outstanding_usd

RATES = st.decimals(Decimal("0.0001"), Decimal("99999.9999"), places=4)
WON = st.integers(0, 10**12)


def test_the_worked_example() -> None:
    # 1,647 / 1,400 = 1.17643, 165 / 1,400 = 0.11786.
    dollars = in_dollars(supply_krw=1647, vat_krw=165, rate_krw_per_usd=Decimal(1400))
    assert dollars == Dollars(Decimal("1.18"), Decimal("0.12"))
    assert str(dollars.total_usd) == "1.30"
    # The total is what stands under the two, not 1,812 / 1,400 = 1.29.
    assert Fraction(1812, 1400) < Fraction("1.295")


def test_half_a_cent_goes_up_and_nothing_is_no_dollars() -> None:
    assert in_dollars(supply_krw=7, vat_krw=0, rate_krw_per_usd=Decimal(1400)) == Dollars(
        Decimal("0.01"), Decimal("0.00")
    )
    nothing = in_dollars(supply_krw=0, vat_krw=0, rate_krw_per_usd=Decimal(1400))
    assert str(nothing.total_usd) == "0.00"
    assert str(outstanding_usd(outstanding_krw=0, total_krw=0, total_usd=nothing.total_usd)) == "0.00"


@pytest.mark.parametrize("rate", ["0", "-1400", "NaN"])
def test_a_rate_is_above_zero(rate: str) -> None:
    with pytest.raises(ValueError, match="rate_krw_per_usd"):
        in_dollars(supply_krw=1, vat_krw=0, rate_krw_per_usd=Decimal(rate))
    with pytest.raises(ValueError, match="rate_krw_per_usd"):
        line_dollars([1], rate_krw_per_usd=Decimal(rate), supply_usd=Decimal("0.00"))


def test_lines_get_their_cents_by_largest_remainder() -> None:
    # 500 won are 35.714 cents, three of them 107.14: the last place goes to the first of three equal remainders, twice.
    lines = line_dollars([500, 500, 500], rate_krw_per_usd=Decimal(1400), supply_usd=Decimal("1.07"))
    assert [str(line) for line in lines] == ["0.36", "0.36", "0.35"]
    # A discount takes dollars off: 1,647 - 147 = 1,500.
    lines = line_dollars([1647, -147], rate_krw_per_usd=Decimal(1400), supply_usd=Decimal("1.07"))
    assert [str(line) for line in lines] == ["1.18", "-0.11"]
    assert line_dollars([0], rate_krw_per_usd=Decimal(1400), supply_usd=Decimal("0.00")) == (Decimal("0.00"),)
    with pytest.raises(ValueError, match="rounded sum"):
        line_dollars([1647], rate_krw_per_usd=Decimal(1400), supply_usd=Decimal("1.20"))


@given(WON, WON, RATES)
def test_each_figure_is_within_half_a_cent_of_its_won(supply: int, vat: int, rate: Decimal) -> None:
    dollars = in_dollars(supply_krw=supply, vat_krw=vat, rate_krw_per_usd=rate)
    for krw, usd in ((supply, dollars.supply_usd), (vat, dollars.vat_usd)):
        assert abs(Fraction(krw) / Fraction(rate) - Fraction(usd)) <= Fraction(1, 200)
        assert usd.as_tuple().exponent == -2
    assert dollars.total_usd - dollars.supply_usd == dollars.vat_usd


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=8), st.integers(0, 10**9), RATES)
def test_lines_add_up_whatever_is_taken_off(amounts: list[int], off: int, rate: Decimal) -> None:
    lines = [*amounts, -min(off, sum(amounts))]
    supply_usd = in_dollars(supply_krw=sum(lines), vat_krw=0, rate_krw_per_usd=rate).supply_usd
    usd = line_dollars(lines, rate_krw_per_usd=rate, supply_usd=supply_usd)
    assert sum(usd) == supply_usd
    for krw, dollars in zip(lines, usd, strict=True):
        assert abs(Fraction(krw) / Fraction(rate) - Fraction(dollars)) < Fraction(1, 100)


@given(WON, WON, RATES)
def test_outstanding_ends_at_both_ends(total: int, paid: int, rate: Decimal) -> None:
    total_usd = in_dollars(supply_krw=total, vat_krw=0, rate_krw_per_usd=rate).total_usd
    left = max(total - paid, 0)
    usd = outstanding_usd(outstanding_krw=left, total_krw=total, total_usd=total_usd)
    assert Decimal("0.00") <= usd <= total_usd
    assert outstanding_usd(outstanding_krw=total, total_krw=total, total_usd=total_usd) == total_usd
    if total:
        assert outstanding_usd(outstanding_krw=0, total_krw=total, total_usd=total_usd) == 0


def test_more_than_the_invoice_is_never_outstanding() -> None:
    for won in (-1, 11):
        with pytest.raises(ValueError, match="outstanding_krw"):
            outstanding_usd(outstanding_krw=won, total_krw=10, total_usd=Decimal("0.01"))


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=8), RATES)
def test_notes_never_come_to_more_and_all_of_them_come_to_the_total(parts: list[int], rate: Decimal) -> None:
    total = sum(parts)
    total_usd = in_dollars(supply_krw=total, vat_krw=0, rate_krw_per_usd=rate).total_usd
    said = [Decimal("0.00")]
    for count in range(1, len(parts) + 1):
        credited = sum(parts[:count])
        said.append(credited_usd(credited_krw=credited, total_krw=total, total_usd=total_usd))
        left = outstanding_usd(outstanding_krw=total - credited, total_krw=total, total_usd=total_usd)
        assert said[-1] + left == total_usd
    assert said == sorted(said)
    assert said[-1] == total_usd
