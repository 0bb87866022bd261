"""What discounts take off usage: whole won that add up, in any order of the rows, never below zero."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.selling import DiscountTerm, Reduction, SoldLine, Taking, month_minimum, take_discounts
from catalog.money import Rounding, round_won

SEPTEMBER, OCTOBER, NOVEMBER = date(2026, 9, 1), date(2026, 10, 1), date(2026, 11, 1)


def sold(won: int, model: str = "acme/dollar", month_on: date = OCTOBER) -> SoldLine:
    return SoldLine(model, model.partition("/")[0], month_on, won)


def term(
    key: int,
    share: str | None = None,
    *,
    won: int | None = None,
    provider: str | None = None,
    models: frozenset[str] | None = None,
    first_on: date = OCTOBER,
    end_on: date | None = None,
) -> DiscountTerm:
    return DiscountTerm(key, None if share is None else Decimal(share), won, provider, models, first_on, end_on)


def taken(
    lines: list[SoldLine], *terms: DiscountTerm, rounding: Rounding = Rounding.HALF_UP
) -> list[tuple[int, int, tuple[int, ...]]]:
    found = take_discounts(lines, terms, month_on=OCTOBER, rounding=rounding)
    return [(one.key, one.base_krw, one.by_line_krw) for one in found]


def test_a_share_is_rounded_once_and_shared_out() -> None:
    """10 % of 1,005 three times is 301.5, not three times 100.5."""
    assert taken([sold(1_005)] * 3, term(1, "0.1")) == [(1, 3_015, (101, 101, 100))]
    assert taken([sold(1_005)] * 3, term(1, "0.1"), rounding=Rounding.DOWN) == [(1, 3_015, (101, 100, 100))]


def test_shares_are_all_of_the_undiscounted_won() -> None:
    lines = [sold(100_000)]
    assert taken(lines, term(1, "0.1"), term(2, "0.05")) == [(1, 100_000, (10_000,)), (2, 100_000, (5_000,))]


def test_each_line_says_what_was_left_of_it_and_its_exact_part() -> None:
    """Of 100 and 50: a third of the first is 33.33; 7 won are spread over the 67 and 50 that are left."""
    lines = [sold(100), sold(50, "acme/cent")]
    third = term(1, "0.33333", models=frozenset({"acme/dollar"}))
    share, won = take_discounts(lines, [third, term(2, won=7)], month_on=OCTOBER, rounding=Rounding.HALF_UP)
    assert share.takings == (Taking(100, Fraction("33.333"), 33), None)
    assert won.takings == (Taking(67, Fraction(7 * 67, 117), 4), Taking(50, Fraction(7 * 50, 117), 3))


def test_won_a_month_come_after_shares_and_never_below_zero() -> None:
    lines = [sold(60_000), sold(40_000, "acme/cent")]
    assert taken(lines, term(1, won=95_000), term(2, "0.1")) == [
        (1, 100_000, (54_000, 36_000)),
        (2, 100_000, (6_000, 4_000)),
    ]


def test_together_they_take_no_more_than_there_is() -> None:
    assert taken([sold(1)], term(1, "0.5"), term(2, "0.5")) == [(1, 1, (1,))]
    assert taken([sold(10)], term(1, "0.9"), term(2, "0.9")) == [(1, 10, (9,)), (2, 10, (1,))]


def test_a_discount_covers_its_provider_or_its_models_alone() -> None:
    lines = [sold(1_000), sold(2_000, "beta/one"), sold(4_000, "beta/two")]
    assert taken(lines, term(1, "0.5", provider="beta")) == [(1, 6_000, (0, 1_000, 2_000))]
    assert taken(lines, term(1, "0.5", models=frozenset({"beta/two"}))) == [(1, 4_000, (0, 0, 2_000))]
    assert taken(lines, term(1, won=9_000, provider="acme")) == [(1, 1_000, (1_000, 0, 0))]


def test_a_share_follows_the_month_of_use_and_won_the_month_of_the_invoice() -> None:
    late = [sold(1_000), sold(1_000, month_on=SEPTEMBER)]
    assert taken(late, term(1, "0.1")) == [(1, 1_000, (100, 0))]
    assert taken(late, term(1, "0.1", first_on=SEPTEMBER, end_on=OCTOBER)) == [(1, 1_000, (0, 100))]
    assert taken(late, term(1, won=100)) == [(1, 2_000, (50, 50))]
    assert taken(late, term(1, won=100, first_on=SEPTEMBER, end_on=OCTOBER)) == []
    assert taken(late, term(1, "0.1", first_on=NOVEMBER)) == []
    assert taken(late, term(1, "0.1", first_on=OCTOBER, end_on=OCTOBER)) == []


def test_what_rounds_to_nothing_is_no_line() -> None:
    assert taken([sold(4)], term(1, "0.1")) == []
    assert taken([], term(1, won=1_000)) == []


LINES = st.lists(
    st.builds(
        sold,
        st.integers(min_value=0, max_value=2_000_000),
        st.sampled_from(["acme/dollar", "acme/cent", "beta/one"]),
        st.sampled_from([SEPTEMBER, OCTOBER]),
    ),
    max_size=6,
)
SHARES = st.decimals(min_value="0.00001", max_value="0.99999", places=5).map(str)
LIMITS = st.sampled_from([(None, None), ("acme", None), (None, frozenset({"acme/cent"})), ("beta", None)])
TERMS = st.lists(
    st.one_of(
        st.tuples(SHARES, st.none(), LIMITS),
        st.tuples(st.none(), st.integers(min_value=1, max_value=3_000_000), LIMITS),
    ),
    max_size=5,
).map(
    lambda rows: [
        term(key, share, won=won, provider=provider, models=models, first_on=SEPTEMBER)
        for key, (share, won, (provider, models)) in enumerate(rows)
    ]
)
ROUNDINGS = st.sampled_from(list(Rounding))


@given(lines=LINES, terms=TERMS, rounding=ROUNDINGS, data=st.data())
def test_lines_are_never_negative_and_the_order_of_rows_plays_no_role(
    lines: list[SoldLine], terms: list[DiscountTerm], rounding: Rounding, data: st.DataObject
) -> None:
    found = take_discounts(lines, terms, month_on=OCTOBER, rounding=rounding)
    shuffled = data.draw(st.permutations(terms))
    assert take_discounts(lines, shuffled, month_on=OCTOBER, rounding=rounding) == found
    for position, line in enumerate(lines):
        assert 0 <= sum(one.by_line_krw[position] for one in found) <= line.amount_krw
    by_key = {one.key: one for one in terms}
    for one in found:
        assert one.amount_krw == sum(one.by_line_krw) > 0
        agreed = by_key[one.key]
        assert all(won == 0 or agreed.covers(line) for won, line in zip(one.by_line_krw, lines, strict=True))
        limit = agreed.amount_krw
        if agreed.share is not None:
            limit = round_won(Fraction(agreed.share) * one.base_krw, rounding)
        assert limit is not None
        assert one.amount_krw <= limit


@given(lines=LINES, share=SHARES, rounding=ROUNDINGS)
def test_a_single_share_is_exactly_its_rounding(lines: list[SoldLine], share: str, rounding: Rounding) -> None:
    (found,) = take_discounts(lines, [term(1, share, first_on=SEPTEMBER)], month_on=OCTOBER, rounding=rounding) or [
        Reduction(1, 0, ())
    ]
    total = sum(line.amount_krw for line in lines)
    assert found.amount_krw == round_won(Fraction(share) * total, rounding)


@pytest.mark.parametrize(
    ("parts", "days", "won"),
    [
        ([(1_000, 28)], 28, 1_000),
        ([(1_000, 25)], 28, 893),  # 892.857
        ([(1_000_000, 16), (2_000_000, 15)], 31, 1_483_871),  # 1,483,870.97, rounded once
        ([(500, 15)], 30, 250),
        ([(333, 15)], 30, 167),  # 166.5
        ([], 31, 0),
    ],
)
def test_a_minimum_is_owed_by_days_and_rounded_once(parts: list[tuple[int, int]], days: int, won: int) -> None:
    assert month_minimum(parts, days_of_month=days, rounding=Rounding.HALF_UP) == won


def test_a_minimum_follows_the_rounding_of_the_contract() -> None:
    assert month_minimum([(1_000, 25)], days_of_month=28, rounding=Rounding.DOWN) == 892


def test_a_month_has_no_more_days_than_it_has() -> None:
    for parts in ([(1, 29)], [(1, 15), (1, 14)], [(1, -1)]):
        with pytest.raises(ValueError, match=r"^parts: "):
            month_minimum(parts, days_of_month=28, rounding=Rounding.HALF_UP)


@given(won=st.integers(min_value=1, max_value=10**9), days=st.integers(min_value=28, max_value=31), data=st.data())
def test_the_parts_of_a_minimum_come_to_the_whole(won: int, days: int, data: st.DataObject) -> None:
    cut = data.draw(st.integers(min_value=0, max_value=days))
    halves = [(won, cut), (won, days - cut)]
    assert month_minimum(halves, days_of_month=days, rounding=Rounding.HALF_UP) == won
    alone = sum(month_minimum([half], days_of_month=days, rounding=Rounding.HALF_UP) for half in halves)
    assert abs(alone - won) <= 1
