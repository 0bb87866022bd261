"""manage.py contract_terms: what a customer's contract takes off and adds."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from accounts.management.commanding import JsonCommand
from accounts.selectors import customer_by_slug
from billing.management.arguments import read_month
from billing.management.terms import (
    discount_dict,
    discount_line,
    minimum_dict,
    minimum_line,
    zero_rating_dict,
    zero_rating_line,
)
from billing.selectors.terms import contract_terms
from usage.periods import BillingMonth


class Command(JsonCommand):
    help = (
        "Show a customer's discounts, monthly minimums and evidence for zero-rated VAT that hold in a KST month or later, "
        "with the ids by which they are ended. Example: contract_terms gaon --month 2026-10"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("customer", metavar="SLUG", help="the customer's slug")
        parser.add_argument("--month", metavar="MONTH", help="YYYY-MM; otherwise the running month in Korea")

    def run(self, customer: str, month: str | None, **_: Any) -> dict[str, Any]:
        first = read_month(month) if month else BillingMonth.of(timezone.now())
        found = contract_terms(customer_by_slug(customer), since=first.first_on)
        return {
            "customer": customer,
            "month": str(first),
            "discounts": [discount_dict(row) for row in found.discounts],
            "minimums": [minimum_dict(row) for row in found.minimums],
            "zero_ratings": [zero_rating_dict(row) for row in found.zero_ratings],
        }

    def show(self, answer: dict[str, Any]) -> None:
        lines = [discount_line(one) for one in answer["discounts"]]
        lines += [minimum_line(one) for one in answer["minimums"]]
        lines += [zero_rating_line(one) for one in answer["zero_ratings"]]
        for line in lines or [f"{answer['customer']}: nothing is taken off or added from {answer['month']} on"]:
            self.stdout.write(line)
