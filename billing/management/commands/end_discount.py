"""manage.py end_discount: let a discount hold no more from a month on."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from accounts.errors import NotFound
from accounts.management.commanding import JsonCommand
from billing.management.arguments import naming_options, read_day
from billing.management.terms import add_end_arguments, discount_dict, discount_line
from billing.models import Discount
from billing.services.discounting import end_discount

ACTOR = "command end_discount"


class Command(JsonCommand):
    help = (
        "End a discount, once; what was billed with it stays. Its own first day takes it back before it began. "
        "Example: end_discount 3 --to 2027-01-01 --reason '계약 종료'"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        add_end_arguments(parser, end="the first day of the first month without it")

    def run(self, term: int, end_on: str, reason: str, **_: Any) -> dict[str, Any]:
        row = Discount.objects.select_related("customer", "provider").filter(pk=term).first()
        if row is None:
            raise NotFound(f"there is no discount {term}; contract_terms prints a customer's", field="id")
        with naming_options():
            end_discount(discount=row, effective_to=read_day(end_on, field="to"), reason=reason, actor=ACTOR)
        return discount_dict(row)

    def show(self, answer: dict[str, Any]) -> None:
        self.stdout.write(discount_line(answer))
