"""A part of the dollars that are left takes its part of the won, and the rest reads exactly what is left."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from billing.dollars import in_dollars, krw_of_part, outstanding_usd

RATES = st.decimals(min_value=100, max_value=10_000, places=4)
WON = st.integers(min_value=1, max_value=10**11)


@pytest.mark.parametrize(
    ("part", "left_usd", "left_krw", "won"),
    [
        ("129.42", "129.42", 181_177, 181_177),
        ("50", "129.42", 181_177, 69_996),  # 69,995.75
        ("0.01", "129.42", 181_177, 14),
        ("129.41", "129.42", 181_177, 181_163),
        ("57.99", "57.99", 81_177, 81_177),  # of which 57.99 are 81,182: the last cent takes what there is
        ("57.98", "57.99", 81_177, 81_163),
    ],
)
def test_by_hand(part: str, left_usd: str, left_krw: int, won: int) -> None:
    assert (
        krw_of_part(
            part_usd=Decimal(part),
            left_usd=Decimal(left_usd),
            left_krw=left_krw,
            total_krw=181_177,
            total_usd=Decimal("129.42"),
        )
        == won
    )


@pytest.mark.parametrize("part", ["0", "-0.01", "1.31"])
def test_more_than_is_left_is_refused(part: str) -> None:
    with pytest.raises(ValueError, match="part_usd"):
        krw_of_part(
            part_usd=Decimal(part),
            left_usd=Decimal("1.30"),
            left_krw=1_812,
            total_krw=1_812,
            total_usd=Decimal("1.30"),
        )


def test_a_cent_that_is_less_than_a_won_is_paid_with_others() -> None:
    """At 30 won a dollar 3 won are 10 cents, and no whole won leave 9 of them."""
    amounts = {"left_usd": Decimal("0.10"), "left_krw": 3, "total_krw": 3, "total_usd": Decimal("0.10")}
    with pytest.raises(ValueError, match="less than a won"):
        krw_of_part(part_usd=Decimal("0.01"), **amounts)
    assert krw_of_part(part_usd=Decimal("0.03"), **amounts) == 1
    assert krw_of_part(part_usd=Decimal("0.10"), **amounts) == 3


@given(supply=WON, vat=st.integers(0, 10**10), rate=RATES, used=st.integers(0, 10**11), cents=st.integers(1, 10**9))
def test_the_rest_reads_what_is_left(supply: int, vat: int, rate: Decimal, used: int, cents: int) -> None:
    """Whatever won were paid before, and whatever part: within a won of its share, or as far as the rest's cents ask."""
    total_krw = supply + vat
    total_usd = in_dollars(supply_krw=supply, vat_krw=vat, rate_krw_per_usd=rate).total_usd
    left_krw = total_krw - used % total_krw
    left_usd = outstanding_usd(outstanding_krw=left_krw, total_krw=total_krw, total_usd=total_usd)
    assume(left_usd)
    part = Decimal(1 + cents % int(left_usd * 100)).scaleb(-2)
    won = krw_of_part(part_usd=part, left_usd=left_usd, left_krw=left_krw, total_krw=total_krw, total_usd=total_usd)
    rest = outstanding_usd(outstanding_krw=left_krw - won, total_krw=total_krw, total_usd=total_usd)
    assert rest == left_usd - part
    assert 0 < won <= left_krw
    assert (won == left_krw) == (part == left_usd)
    assert abs(won - Fraction(part) * total_krw / Fraction(total_usd)) <= Fraction(1, 100) * total_krw / Fraction(
        total_usd
    )


@given(won=WON, rate=RATES, parts=st.lists(st.integers(1, 10**6), min_size=1, max_size=12))
def test_parts_in_turn_take_all_of_both(won: int, rate: Decimal, parts: list[int]) -> None:
    total_usd = in_dollars(supply_krw=won, vat_krw=0, rate_krw_per_usd=rate).total_usd
    assume(total_usd)
    left_krw, left_usd = won, total_usd
    for cents in [*parts, 10**12]:
        if left_usd:
            part = min(Decimal(cents).scaleb(-2), left_usd)
            left_krw -= krw_of_part(
                part_usd=part, left_usd=left_usd, left_krw=left_krw, total_krw=won, total_usd=total_usd
            )
            left_usd -= part
    assert (left_krw, left_usd) == (0, 0)
