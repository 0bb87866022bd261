"""공급가액, 부가세, 합계 and the lines of an invoice."""

import json
from datetime import date
from decimal import Context, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.totals import CoveredUsage, Offer, RelievedDay, Totals, invoice_totals, relieve
from catalog.money import Rounding
from tests.shared import shared_data

MARGIN = Decimal("0.15")


def test_every_shared_pricing_vector() -> None:
    vectors = json.loads(shared_data("korea/pricing_vectors.json").read_text(encoding="utf-8"))
    assert len(vectors) == 7
    for vector in vectors:
        base = Decimal(vector["usd"]) * Decimal(vector["fx"])
        margin = Decimal(vector["gross_margin"])
        half_up = invoice_totals([base], margins=[margin], rounding=Rounding.HALF_UP)
        assert (half_up.supply_krw, half_up.vat_krw) == (vector["supply_half_up"], vector["vat_half_up"]), vector
        assert half_up.total_krw == half_up.supply_krw + half_up.vat_krw
        down = invoice_totals([base], margins=[margin], rounding=Rounding.DOWN)
        assert (down.supply_krw, down.vat_krw) == (vector["supply_trunc"], vector["vat_trunc"]), vector


@pytest.mark.parametrize(
    ("usd", "supply", "vat", "total"),
    [
        ("-1000000", -1_647_058_824, -164_705_882, -1_811_764_706),
        ("1", 1_647, 165, 1_812),
        ("0", 0, 0, 0),
        ("59.5", 98_000, 9_800, 107_800),
    ],
)
def test_the_figures_that_are_agreed(usd: str, supply: int, vat: int, total: int) -> None:
    totals = invoice_totals([Decimal(usd) * 1400], margins=[MARGIN], rounding=Rounding.HALF_UP)
    assert totals == Totals(supply, vat, total, (supply,))


def test_an_invoice_is_rounded_once_and_not_line_by_line() -> None:
    three_times = [Decimal("0.34")] * 3  # 0.4 won each: rounded by line nothing, together 1.2
    assert invoice_totals(three_times, margins=[MARGIN] * 3, rounding=Rounding.HALF_UP) == Totals(1, 0, 1, (1, 0, 0))


def test_lines_with_margins_of_their_own_are_rounded_together() -> None:
    """1 / 0.7 + 1 / 0.9 + 1 / 0.5 = 1.4286 + 1.1111 + 2 = 4.5397: five won, the missing one to the largest fraction."""
    margins = [Decimal("0.3"), Decimal("0.1"), Decimal("0.5")]
    totals = invoice_totals([Decimal(1)] * 3, margins=margins, rounding=Rounding.HALF_UP)
    assert totals == Totals(5, 1, 6, (2, 1, 2))
    with pytest.raises(ValueError, match="zip"):
        invoice_totals([Decimal(1)], margins=margins, rounding=Rounding.HALF_UP)


def test_vat_comes_from_the_rounded_supply() -> None:
    totals = invoice_totals([Decimal("14.6")], margins=[Decimal(0)], rounding=Rounding.HALF_UP)
    assert totals == Totals(15, 2, 17, (15,))  # a tenth of 14.6 would round to 1


def test_lines_keep_their_order_and_add_up() -> None:
    bases = [Decimal("100.25"), Decimal("0"), Decimal("200.25"), Decimal("300.5")]
    totals = invoice_totals(bases, margins=[Decimal(0)] * len(bases), rounding=Rounding.HALF_UP)
    assert totals == Totals(601, 60, 661, (100, 0, 200, 301))


def test_an_invoice_without_lines_is_zero() -> None:
    assert invoice_totals([], margins=[], rounding=Rounding.HALF_UP) == Totals(0, 0, 0, ())


def test_a_caller_with_a_small_decimal_context_changes_nothing() -> None:
    with localcontext(Context(prec=4)):
        totals = invoice_totals([Decimal("172839504.6")], margins=[MARGIN], rounding=Rounding.HALF_UP)
    assert totals.supply_krw == 203_340_594


@pytest.mark.parametrize("margin", ["1", "1.5", "-0.01", "NaN", "Infinity"])
def test_a_margin_outside_its_range_is_refused(margin: str) -> None:
    with pytest.raises(ValueError, match=r"^margins: "):
        invoice_totals([Decimal(1)], margins=[Decimal(margin)], rounding=Rounding.HALF_UP)


def test_a_base_that_is_no_amount_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^bases_krw: "):
        invoice_totals([Decimal(1), Decimal("NaN")], margins=[MARGIN] * 2, rounding=Rounding.HALF_UP)


sold = st.tuples(
    st.decimals(min_value=-(10**12), max_value=10**12, places=12),
    st.decimals(min_value=0, max_value=Decimal("0.9999"), places=4),
)


@given(st.lists(sold, max_size=25), st.sampled_from([*Rounding]))
def test_whatever_the_lines_they_add_up(lines: list[tuple[Decimal, Decimal]], rounding: Rounding) -> None:
    bases, margins = [base for base, _ in lines], [margin for _, margin in lines]
    totals = invoice_totals(bases, margins=margins, rounding=rounding)
    exact = [Fraction(base) / (1 - Fraction(margin)) for base, margin in lines]
    assert sum(totals.line_amounts_krw) == totals.supply_krw
    assert totals.supply_krw + totals.vat_krw == totals.total_krw
    assert abs(totals.supply_krw - sum(exact)) < 1
    assert abs(totals.vat_krw - Fraction(totals.supply_krw, 10)) < 1
    for line, share in zip(totals.line_amounts_krw, exact, strict=True):
        assert abs(line - share) < 1


def test_credit_says_day_by_day_what_was_left_and_what_it_took() -> None:
    """100 won over three days, 50, 25, 25; the second credit begins on the second day and ends with its own won."""
    days = [date(2026, 10, day) for day in (1, 2, 3)]
    lines = [
        CoveredUsage("acme/dollar", 100, dict(zip(days, map(Decimal, (2, 1, 1)), strict=True))),
        CoveredUsage("acme/cent", 10, {days[1]: Decimal(1)}),
    ]
    first = Offer(1, 60, days[0], days[2], frozenset({"acme/dollar"}))
    second = Offer(2, 30, days[1], days[2], None)
    idle = Offer(3, 30, days[0], days[0], None)
    one, two = relieve(lines, [first, second, idle])
    assert one.days == (
        (RelievedDay(days[0], 50, 50), RelievedDay(days[1], 25, 10), RelievedDay(days[2], 25, 0)),
        (),
    )
    assert two.days == (
        (RelievedDay(days[1], 15, 15), RelievedDay(days[2], 25, 5)),
        (RelievedDay(days[1], 10, 10),),
    )
    assert (one.by_line_krw, two.by_line_krw) == ((60, 0), (20, 10))
