"""manage.py set_minimum: what a customer's months come to at least."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from accounts.management.commanding import JsonCommand
from accounts.selectors import customer_by_slug
from billing.management.arguments import naming_options, read_day
from billing.management.terms import add_term_arguments, minimum_dict, minimum_line, tell_late_term
from billing.services.minimums import set_minimum

ACTOR = "command set_minimum"


class Command(JsonCommand):
    help = (
        "Set the monthly minimum, in won of supply after discounts and before VAT; a month that it covers in part owes it "
        "by days. The minimum in force ends where this one begins. "
        "Example: set_minimum gaon 1000000 --from 2026-12-16 --reason '계약서 5조'"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        add_term_arguments(parser, first="the first day of it", end="the first day without it")
        parser.add_argument("amount", type=int, metavar="WON", help="whole won of supply a month")
        parser.add_argument(
            "--only-with-usage", action="store_true", help="a month in which nothing was used owes nothing"
        )

    def run(
        self,
        customer: str,
        amount: int,
        only_with_usage: bool,
        first_on: str,
        end_on: str | None,
        reason: str,
        **_: Any,
    ) -> dict[str, Any]:
        with naming_options():
            minimum = set_minimum(
                customer=customer_by_slug(customer),
                amount_krw=amount,
                applies_without_usage=not only_with_usage,
                effective_from=read_day(first_on, field="from"),
                effective_to=read_day(end_on, field="to") if end_on is not None else None,
                reason=reason,
                actor=ACTOR,
                now=timezone.now(),
            )
        tell_late_term(self.progress, minimum.customer, minimum)
        return minimum_dict(minimum)

    def show(self, answer: dict[str, Any]) -> None:
        self.stdout.write(minimum_line(answer))
