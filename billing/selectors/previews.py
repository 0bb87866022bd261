"""The running month as a customer and an operator see it before anything is issued."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from accounts.models import Customer
from accounts.selectors import seller_profile_in_force, tax_profile_in_force
from billing.errors import CannotBill, NoSellerProfile, NoTaxProfile, QuarantinedUsage
from billing.selectors.bills import MonthBill, month_bill
from catalog.money import exact_sum
from usage.periods import BillingMonth
from usage.selectors import month_lines, open_quarantine


@dataclass(frozen=True)
class MonthPreview:
    """What the month would be billed at if it ended now. `bill` is None without usage or while something is missing.

    `problems` are the refusals that would park the customer, in the order in which the close meets them.
    """

    month: BillingMonth
    cost_usd: Decimal
    bill: MonthBill | None
    problems: tuple[CannotBill, ...]
    quarantined_count: int


def month_preview(customer: Customer, month: BillingMonth, *, on: date) -> MonthPreview:
    """The preview of a month, with the identities and rates that are in force on the day `on`."""
    problems: list[CannotBill] = []
    try:
        require_identities(customer, on=on)
    except CannotBill as problem:
        problems.append(problem)
    quarantined = open_quarantine(customer, month).count()
    if quarantined:
        problems.append(quarantine_problem(customer, month, quarantined))
    bill = None
    try:
        bill = month_bill(customer, month, on=on)
    except CannotBill as problem:
        problems.append(problem)
    cost = bill.cost_usd if bill else exact_sum(line.total.cost_usd for line in month_lines(customer, month))
    return MonthPreview(month=month, cost_usd=cost, bill=bill, problems=tuple(problems), quarantined_count=quarantined)


def require_identities(customer: Customer, *, on: date) -> None:
    """Raise unless both parties have a tax identity on that day."""
    if seller_profile_in_force(on=on) is None:
        raise NoSellerProfile("our own seller profile is not set up yet", field="seller_profile")
    if tax_profile_in_force(customer, on=on) is None:
        raise NoTaxProfile(f"{customer.slug} has no tax profile in force on {on}", field="tax_profile")


def quarantine_problem(customer: Customer, month: BillingMonth, count: int) -> QuarantinedUsage:
    return QuarantinedUsage(
        f"{count} quarantined events of {customer.slug} in {month} must be priced or excluded first",
        field="usage",
        count=count,
    )
