"""작성일자 and the day until which a month's tax invoice may be issued."""

import csv
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.deadlines import issue_deadline_on, write_date_on
from tests.shared import shared_data
from usage.periods import BillingMonth


def test_every_month_of_the_shared_calendar() -> None:
    with shared_data("korea/issue_deadlines_2024_2027.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 48
    for row in rows:
        month = BillingMonth.parse(row["supply_month"])
        assert write_date_on(month).isoformat() == row["write_date_month_end"]
        assert issue_deadline_on(month).isoformat() == row["issue_deadline"]
        moved = issue_deadline_on(month) != month.next().first_on.replace(day=10)
        assert str(moved) == row["shifted"]


@pytest.mark.parametrize(
    ("month", "deadline"),
    [
        ("2024-01", date(2024, 2, 13)),  # weekend, Lunar New Year and its substitute
        ("2024-03", date(2024, 4, 11)),  # election day
        ("2026-09", date(2026, 10, 12)),  # Saturday
        ("2027-09", date(2027, 10, 12)),  # substitute of Hangul Day
        ("2028-11", date(2028, 12, 11)),  # beyond the shared calendar
    ],
)
def test_deadlines_move_over_days_off(month: str, deadline: date) -> None:
    assert issue_deadline_on(BillingMonth.parse(month)) == deadline


def test_a_temporary_holiday_moves_the_deadline() -> None:
    month = BillingMonth(2026, 5)
    assert issue_deadline_on(month) == date(2026, 6, 10)
    assert issue_deadline_on(month, extra_holidays=[date(2026, 6, 10)]) == date(2026, 6, 11)
    two_days = {date(2026, 6, 10), date(2026, 6, 11)}
    assert issue_deadline_on(month, extra_holidays=two_days) == date(2026, 6, 12)
    until_the_weekend = two_days | {date(2026, 6, 12)}
    assert issue_deadline_on(month, extra_holidays=until_the_weekend) == date(2026, 6, 15)


def test_a_holiday_that_was_called_off_moves_it_back() -> None:
    assert issue_deadline_on(BillingMonth(2024, 3), removed_holidays=[date(2024, 4, 10)]) == date(2024, 4, 10)


def test_a_weekend_cannot_be_called_off() -> None:
    saturday = date(2026, 10, 10)
    assert issue_deadline_on(BillingMonth(2026, 9), removed_holidays=[saturday]) == date(2026, 10, 12)


@given(st.builds(BillingMonth, st.integers(min_value=2020, max_value=2040), st.integers(min_value=1, max_value=12)))
def test_a_deadline_is_a_weekday_on_or_soon_after_the_tenth(month: BillingMonth) -> None:
    deadline = issue_deadline_on(month)
    tenth = month.next().first_on.replace(day=10)
    assert 0 <= (deadline - tenth).days <= 10
    assert deadline.weekday() < 5
    assert write_date_on(month) == month.last_on < deadline
