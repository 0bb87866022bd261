"""manage.py tax_invoice_deadline: until when a month's tax invoices may be issued."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from accounts.management.commanding import JsonCommand
from billing.management.arguments import read_month
from billing.selectors.deadlines import tax_invoice_dates


class Command(JsonCommand):
    help = "Print the date that a month's tax invoices carry and the last day on which they may be issued."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("month", metavar="YYYY-MM", help="a Korean month")

    def run(self, month: str, **_: Any) -> dict[str, Any]:
        dates = tax_invoice_dates(read_month(month))
        return {"write_date_on": dates.write_date_on.isoformat(), "deadline_on": dates.deadline_on.isoformat()}

    def show(self, answer: dict[str, Any]) -> None:
        self.stdout.write(f"작성일자 {answer['write_date_on']}, 발급 기한 {answer['deadline_on']}")
