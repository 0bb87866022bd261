"""manage.py tax_invoice_deadline against every published vector, and with holidays declared at short notice."""

from __future__ import annotations

import csv
from datetime import date

import pytest

from billing.models import HolidayOverride
from tests.billing.commands import run
from tests.shared import shared_data

pytestmark = pytest.mark.django_db


def test_all_months_from_2024_to_2027() -> None:
    with shared_data("korea/issue_deadlines_2024_2027.csv").open(newline="") as file:
        vectors = list(csv.DictReader(file))
    assert len(vectors) == 48
    for vector in vectors:
        assert run("tax_invoice_deadline", vector["supply_month"]) == (
            0,
            {"write_date_on": vector["write_date_month_end"], "deadline_on": vector["issue_deadline"]},
        )


def test_a_temporary_holiday_moves_the_deadline() -> None:
    HolidayOverride.objects.create(day=date(2026, 11, 10), note="임시공휴일")
    assert run("tax_invoice_deadline", "2026-10") == (
        0,
        {"write_date_on": "2026-10-31", "deadline_on": "2026-11-11"},
    )


def test_a_holiday_taken_back_brings_it_forward() -> None:
    # Monday, 11 October 2027 stands in for Hangeul Day, which falls on a Saturday.
    HolidayOverride.objects.create(day=date(2027, 10, 11), is_holiday=False, note="대체공휴일 취소")
    code, answer = run("tax_invoice_deadline", "2027-09")
    assert (code, answer["deadline_on"]) == (0, "2027-10-11")


@pytest.mark.parametrize("month", ["2026-13", "2026-00", "202610", "2026-1", "２０２６-10", "1999-12", "october", ""])
def test_what_is_no_month_is_named(month: str) -> None:
    code, answer = run("tax_invoice_deadline", month)
    assert (code, answer["error"]["code"], answer["error"]["field"]) == (2, "invalid_input", "month")
