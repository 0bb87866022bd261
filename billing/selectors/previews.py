"""The running month as a customer and an operator see it before anything is issued."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from accounts.models import Customer, SellerProfile, TaxProfile
from accounts.selectors import seller_profile_in_force, tax_profiles_in_force
from billing.errors import CannotBill, NoSellerProfile, NoTaxProfile, QuarantinedUsage
from billing.selectors.bills import MonthBill, compute_bill
from billing.selectors.facts import MonthFacts, load_facts
from catalog.money import exact_sum
from usage.periods import BillingMonth


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


@dataclass(frozen=True, slots=True)
class Identities:
    """Who sells and who buys on a day, of some customers: the parties of their invoices."""

    on: date
    seller: SellerProfile | None
    buyers: Mapping[int, TaxProfile]

    def of(self, customer: Customer) -> tuple[SellerProfile, TaxProfile]:
        """The two parties. Raises NoSellerProfile and NoTaxProfile."""
        if self.seller is None:
            raise NoSellerProfile("our own seller profile is not set up yet", field="seller_profile")
        buyer = self.buyers.get(customer.pk)
        if buyer is None:
            raise NoTaxProfile(f"{customer.slug} has no tax profile in force on {self.on}", field="tax_profile")
        return self.seller, buyer


def load_identities(customers: Collection[Customer], *, on: date) -> Identities:
    """The parties of these customers' invoices on a day."""
    buyers = tax_profiles_in_force([customer.pk for customer in customers], on=on)
    return Identities(on, seller_profile_in_force(on=on), buyers)


def month_previews(customers: Collection[Customer], month: BillingMonth, *, on: date) -> list[MonthPreview]:
    """The previews of a month in the order of the customers, with the identities and rates in force on the day `on`."""
    facts = load_facts(customers, month, on=on)
    identities = load_identities(customers, on=on)
    return [_preview(customer, facts, identities) for customer in customers]


def month_preview(customer: Customer, month: BillingMonth, *, on: date) -> MonthPreview:
    """The preview of one customer's month."""
    (preview,) = month_previews([customer], month, on=on)
    return preview


def require_no_quarantine(customer: Customer, facts: MonthFacts) -> None:
    """Raise QuarantinedUsage while events of the month wait for a price."""
    count = facts.quarantined.get(customer.pk, 0)
    if count:
        raise QuarantinedUsage(
            f"{count} quarantined events of {customer.slug} in {facts.month} must be priced or excluded first",
            field="usage",
            count=count,
        )


def _preview(customer: Customer, facts: MonthFacts, identities: Identities) -> MonthPreview:
    problems: list[CannotBill] = []
    bill = None
    try:
        identities.of(customer)
    except CannotBill as problem:
        problems.append(problem)
    try:
        require_no_quarantine(customer, facts)
    except CannotBill as problem:
        problems.append(problem)
    try:
        bill = compute_bill(customer, facts)
    except CannotBill as problem:
        problems.append(problem)
    return MonthPreview(
        month=facts.month,
        cost_usd=exact_sum(line.total.cost_usd for line in facts.sums[customer.pk]),
        bill=bill,
        problems=tuple(problems),
        quarantined_count=facts.quarantined.get(customer.pk, 0),
    )
