"""manage.py contract_terms: at what a customer's usage sells, and what its contract takes off and adds."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from accounts.management.commanding import JsonCommand
from accounts.selectors import customer_by_slug
from billing.management.arguments import read_month
from billing.management.terms import (
    credit_dict,
    credit_line,
    discount_dict,
    discount_line,
    margin_dict,
    margin_line,
    minimum_dict,
    minimum_line,
    zero_rating_dict,
    zero_rating_line,
)
from billing.selectors.terms import contract_terms
from billing.services.prepaying import prepaid_krw
from usage.periods import BillingMonth


class Command(JsonCommand):
    help = (
        "Show a customer's own margins, discounts, monthly minimums, evidence for zero-rated VAT and what is left of "
        "promotional credit, as they hold in a KST month or later, with the ids that end them, and what is prepaid. "
        "Example: contract_terms gaon --month 2026-10"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("customer", metavar="SLUG", help="the customer's slug")
        parser.add_argument("--month", metavar="MONTH", help="YYYY-MM; otherwise the running month in Korea")

    def run(self, customer: str, month: str | None, **_: Any) -> dict[str, Any]:
        first = BillingMonth.of(timezone.now()) if month is None else read_month(month)
        owner = customer_by_slug(customer)
        found = contract_terms(owner, since=first.first_on)
        return {
            "customer": customer,
            "month": str(first),
            "margins": [margin_dict(row) for row in found.margins],
            "discounts": [discount_dict(row) for row in found.discounts],
            "minimums": [minimum_dict(row) for row in found.minimums],
            "zero_ratings": [zero_rating_dict(row) for row in found.zero_ratings],
            "credits": [credit_dict(row) for row in found.credits],
            "prepaid_krw": prepaid_krw(owner),
        }

    def show(self, answer: dict[str, Any]) -> None:
        whose = answer["customer"]
        lines = [margin_line(one, whose) for one in answer["margins"]]
        lines += [discount_line(one) for one in answer["discounts"]]
        lines += [minimum_line(one) for one in answer["minimums"]]
        lines += [zero_rating_line(one) for one in answer["zero_ratings"]]
        lines += [credit_line(one, whose) for one in answer["credits"]]
        if answer["prepaid_krw"]:
            lines.append(f"prepaid: {whose}, {answer['prepaid_krw']:,} won left")
        for line in lines or [f"{whose}: nothing is taken off or added from {answer['month']} on"]:
            self.stdout.write(line)
