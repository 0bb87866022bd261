"""Exact sums, the two rounding policies, and sharing out whole won."""

import threading
from decimal import Context, Decimal, Inexact, localcontext
from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.money import (
    EXACT,
    Rounding,
    allocate,
    decimal_text,
    exact_product,
    exact_sum,
    parse_decimal,
    round_won,
    share_out,
    vat_won,
)

amounts = st.fractions(min_value=-(10**15), max_value=10**15, max_denominator=10**6)
plain_decimals = st.from_regex(r"[0-9]{1,20}(\.[0-9]{1,28})?", fullmatch=True)


@pytest.mark.parametrize("text", ["0", "1", "007", "0.00000008333333333333334", "9" * 20 + "." + "9" * 28, "1400.50"])
def test_plain_decimals_are_read_to_the_last_digit(text: str) -> None:
    value = parse_decimal(text, field="prompt")
    assert Fraction(value) == Fraction(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 1",
        "1 ",
        "1\n",
        "-1",
        "+1",
        "-0",
        "1e-6",
        "1E5",
        "1_000",
        "1,000",
        ".5",
        "5.",
        "1.2.3",
        "NaN",
        "sNaN",
        "Infinity",
        "0x10",
        "１",
        "٣",
        "²",
        "9" * 21,
        "0." + "0" * 29,
        "1\x00",
        "9" * 5000,
        None,
        1,
        0.5,
        True,
        Decimal("1"),
    ],
)
def test_anything_else_is_refused_with_the_name_of_the_field(text: object) -> None:
    with pytest.raises(ValueError, match=r"^overrides\[0\]\.prompt: not a plain decimal number") as refused:
        parse_decimal(text, field="overrides[0].prompt")  # type: ignore[arg-type]
    assert len(str(refused.value)) < 150


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("0.00960000"), "0.0096"),
        (Decimal("0"), "0"),
        (Decimal("0.000"), "0"),
        (Decimal("-0.0"), "0"),
        (Decimal("1E-7"), "0.0000001"),
        (Decimal("1.4E+3"), "1400"),
        (Decimal("100"), "100"),
        (Decimal("-1647058823.50"), "-1647058823.5"),
        (Decimal("0.00000008333333333333334"), "0.00000008333333333333334"),
        (Decimal("1." + "1" * 60), "1." + "1" * 60),
    ],
)
def test_text_is_plain_and_short(value: Decimal, text: str) -> None:
    assert decimal_text(value) == text


@pytest.mark.parametrize("value", ["NaN", "-sNaN", "Infinity", "-Infinity"])
def test_what_is_no_number_has_no_text(value: str) -> None:
    with pytest.raises(ValueError, match="not a finite number"):
        decimal_text(Decimal(value))


@given(plain_decimals)
def test_text_and_number_say_the_same(text: str) -> None:
    assert Decimal(decimal_text(parse_decimal(text, field="x"))) == Decimal(text)


def test_no_digit_is_lost_where_the_default_context_loses_some() -> None:
    price, tokens = Decimal("0.12345678901234567890123456789"), 999_999_999_999
    with localcontext(Context(prec=28)):
        assert price * tokens != exact_product(price, tokens)
        assert Fraction(exact_product(price, tokens)) == Fraction(price) * tokens
        large, small = Decimal("1e30"), Decimal("1e-28")
        assert large + small == large
        assert Fraction(exact_sum([large, small])) == Fraction(large) + Fraction(small)


def test_a_caller_with_a_tiny_context_changes_nothing() -> None:
    with localcontext(Context(prec=3)):
        assert exact_product(Decimal("1.2345"), Decimal("6.789")) == Decimal("8.3810205")
        assert exact_sum([Decimal("12345.678"), Decimal("0.0001")]) == Decimal("12345.6781")
        assert round_won(Fraction(Decimal("1647058823.5294")), Rounding.HALF_UP) == 1647058824


def test_what_cannot_be_kept_exactly_raises() -> None:
    with pytest.raises(Inexact):
        exact_sum([Decimal("1e1500"), Decimal("1")])


def test_threads_share_the_exact_context() -> None:
    results: list[Decimal] = []

    def add() -> None:
        results.append(exact_sum([Decimal("0.1")] * 1000))

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [Decimal("100.0")] * 8
    assert EXACT.prec == 1000


@pytest.mark.parametrize(
    ("amount", "half_up", "down"),
    [
        ("0", 0, 0),
        ("0.49", 0, 0),
        ("0.5", 1, 0),
        ("1.5", 2, 1),
        ("2.5", 3, 2),  # half-even would give 2
        ("-0.5", -1, 0),
        ("-1.5", -2, -1),
        ("-2.5", -3, -2),
        ("-0.49", 0, 0),
        ("0.999999999999999999999999999999", 1, 0),
        ("0.4999999999999999999999999999999999", 0, 0),
        ("1647058823.5294", 1647058824, 1647058823),
        ("-1647058823.5294", -1647058824, -1647058823),
    ],
)
def test_both_roundings(amount: str, half_up: int, down: int) -> None:
    assert round_won(Fraction(amount), Rounding.HALF_UP) == half_up
    assert round_won(Fraction(amount), Rounding.DOWN) == down


@given(amounts)
def test_rounding_is_nearest_symmetric_and_idempotent(amount: Fraction) -> None:
    half_up, down = round_won(amount, Rounding.HALF_UP), round_won(amount, Rounding.DOWN)
    assert abs(half_up - amount) <= Fraction(1, 2)
    assert abs(down) <= abs(amount) < abs(down) + 1
    assert round_won(-amount, Rounding.HALF_UP) == -half_up
    assert round_won(-amount, Rounding.DOWN) == -down
    assert round_won(Fraction(half_up), Rounding.HALF_UP) == half_up


@pytest.mark.parametrize(
    ("supply", "half_up", "down"),
    [
        (0, 0, 0),
        (4, 0, 0),
        (5, 1, 0),
        (16, 2, 1),
        (1647, 165, 164),
        (98000, 9800, 9800),
        (-15, -2, -1),
        (-1647058824, -164705882, -164705882),
    ],
)
def test_vat_is_a_tenth_of_whole_won(supply: int, half_up: int, down: int) -> None:
    assert vat_won(supply, Rounding.HALF_UP) == half_up
    assert vat_won(supply, Rounding.DOWN) == down


@pytest.mark.parametrize(
    ("total", "weights", "parts"),
    [
        (100, [1, 1, 1], [34, 33, 33]),
        (-100, [1, 1, 1], [-34, -33, -33]),
        (2, [1, 1, 1], [1, 1, 0]),
        (10, [0, 3, 0, 7], [0, 3, 0, 7]),
        (1, [0, 1, 1], [0, 1, 0]),
        (0, [1, 2], [0, 0]),
        (0, [0, 0], [0, 0]),
        (0, [], []),
        (1000, [Fraction(1, 3), Fraction(2, 3)], [333, 667]),
        (7, [5], [7]),
        (10, [-1, 3], [-5, 15]),
    ],
)
def test_shares_of_a_total(total: int, weights: list[Fraction | int], parts: list[int]) -> None:
    assert allocate(total, [Fraction(weight) for weight in weights]) == parts


@pytest.mark.parametrize("weights", [[], [0, 0], [1, -1]])
def test_weights_of_nothing_take_nothing(weights: list[int]) -> None:
    with pytest.raises(ValueError, match="cannot split 1 won"):
        allocate(1, [Fraction(weight) for weight in weights])


positive_weights = st.lists(st.fractions(min_value=0, max_value=10**9, max_denominator=10**6), min_size=1, max_size=30)


@given(st.integers(min_value=-(10**15), max_value=10**15), positive_weights.filter(any))
def test_parts_add_up_and_stay_within_a_won(total: int, weights: list[Fraction]) -> None:
    parts = allocate(total, weights)
    whole = sum(weights)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - total * weight / whole) < 1
        assert part == 0 or weight != 0
    assert allocate(-total, weights) == [-part for part in parts]


@given(st.integers(min_value=0, max_value=10**9), st.permutations([Fraction(n, 7) for n in (1, 2, 3, 5, 8, 13)]))
def test_without_ties_the_order_of_lines_changes_no_line(total: int, weights: list[Fraction]) -> None:
    in_order = sorted(weights)
    shares = [total * weight / sum(weights) for weight in in_order]
    fractions = [share - floor(share) for share in shares]
    if len(set(fractions)) == len(fractions):
        expected = dict(zip(in_order, allocate(total, in_order), strict=True))
        assert allocate(total, weights) == [expected[weight] for weight in weights]


@settings(max_examples=200)
@given(st.lists(amounts, max_size=20), st.sampled_from(list(Rounding)))
def test_rounded_sums_of_any_sign_can_be_shared_out(shares: list[Fraction], rounding: Rounding) -> None:
    total = round_won(sum(shares, Fraction(0)), rounding)
    parts = share_out(total, shares)
    assert sum(parts) == total
    for part, share in zip(parts, shares, strict=True):
        assert floor(share) <= part <= ceil(share)


def test_lines_that_cancel_out_keep_their_amounts() -> None:
    assert share_out(0, [Fraction("100.4"), Fraction("-100.4")]) == [100, -100]
    assert share_out(0, [Fraction("0.4"), Fraction("0")]) == [0, 0]


@pytest.mark.parametrize("total", [5, 8, -6])
def test_a_total_that_is_not_the_sum_is_refused(total: int) -> None:
    with pytest.raises(ValueError, match="is not the rounded sum"):
        share_out(total, [Fraction("3.5"), Fraction("3")])
