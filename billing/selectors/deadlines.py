"""The dates of a month's tax invoice, with the holidays that operators entered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from billing import deadlines
from billing.models import HolidayOverride
from usage.periods import BillingMonth


@dataclass(frozen=True, slots=True)
class TaxInvoiceDates:
    """작성일자 and the last day on which the tax invoice may be issued."""

    write_date_on: date
    deadline_on: date


def tax_invoice_dates(month: BillingMonth) -> TaxInvoiceDates:
    """The dates of that month's tax invoice under today's knowledge of holidays."""
    overrides = dict(HolidayOverride.objects.values_list("day", "is_holiday"))
    return TaxInvoiceDates(
        write_date_on=deadlines.write_date_on(month),
        deadline_on=deadlines.issue_deadline_on(
            month,
            extra_holidays={day for day, is_holiday in overrides.items() if is_holiday},
            removed_holidays={day for day, is_holiday in overrides.items() if not is_holiday},
        ),
    )


def amendment_dates(original_on: date, *, code: str, on: date) -> tuple[date, date | None]:
    """(작성일자, last day to issue) of what amends a tax invoice dated `original_on` for what happened on the KST day `on`.

    An error (01) and a double issue (06) keep the original's date and have no deadline: they are corrected when noticed.
    Everything else is dated the day on which it happened and is due as a tax invoice of that day's month.
    """
    if code in ("01", "06"):
        return original_on, None
    return on, tax_invoice_dates(BillingMonth(on.year, on.month)).deadline_on
