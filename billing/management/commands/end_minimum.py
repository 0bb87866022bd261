"""manage.py end_minimum: let a monthly minimum hold no more from a day on."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from accounts.errors import NotFound
from accounts.management.commanding import JsonCommand
from billing.management.arguments import naming_options, read_day
from billing.management.terms import add_end_arguments, minimum_dict, minimum_line
from billing.models import MonthlyMinimum
from billing.services.minimums import end_minimum

ACTOR = "command end_minimum"


class Command(JsonCommand):
    help = (
        "End a monthly minimum, once; what was billed with it stays. Its own first day takes it back before it began. "
        "Example: end_minimum 2 --to 2027-01-16 --reason '계약 종료'"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        add_end_arguments(parser, end="the first day without it")

    def run(self, term: int, end_on: str, reason: str, **_: Any) -> dict[str, Any]:
        row = MonthlyMinimum.objects.select_related("customer").filter(pk=term).first()
        if row is None:
            raise NotFound(f"there is no monthly minimum {term}; contract_terms prints a customer's", field="id")
        with naming_options():
            end_minimum(minimum=row, effective_to=read_day(end_on, field="to"), reason=reason, actor=ACTOR)
        return minimum_dict(row)

    def show(self, answer: dict[str, Any]) -> None:
        self.stdout.write(minimum_line(answer))
