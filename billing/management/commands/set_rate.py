"""manage.py set_rate: enter an exchange rate that somebody published."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from accounts.management.commanding import JsonCommand
from billing.management.arguments import read_day
from billing.management.rates import rate_dict
from billing.services.exchange import parse_rate, set_rate

ACTOR = "command set_rate"


class Command(JsonCommand):
    help = (
        "Record the won per US dollar that was published for a day. A newer entry for the same day corrects the older. "
        "Example: set_rate 2026-09-30 1,389.50 --source 서울외국환중개 --reason '월말 고시'"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("date", metavar="DATE", help="the day it was published for, YYYY-MM-DD")
        parser.add_argument("rate", metavar="RATE", help="won per USD, such as 1443.2 or 1,443.20")
        parser.add_argument("--source", required=True, help="who published it")
        parser.add_argument("--reason", required=True, help="why it is entered by hand")

    def run(self, date: str, rate: str, source: str, reason: str, **_: Any) -> dict[str, Any]:
        row = set_rate(
            rate_on=read_day(date, field="date"),
            rate=parse_rate(rate, field="rate"),
            source=source,
            reason=reason,
            actor=ACTOR,
            now=timezone.now(),
        )
        return rate_dict(row)

    def show(self, answer: dict[str, Any]) -> None:
        self.stdout.write(f"{answer['date']}  {answer['rate']} won per USD  ({answer['source']})")
