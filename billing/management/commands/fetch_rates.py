"""manage.py fetch_rates: ask the Export-Import Bank of Korea for its published rates."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.utils import timezone

from accounts.management.commanding import JsonCommand
from billing.adapters.eximbank import EximbankClient
from billing.management.arguments import read_day
from billing.management.rates import rate_dict
from billing.services.exchange import fetch_rates
from usage.periods import KST

ACTOR = "command fetch_rates"
#: Without --from: enough days to make good a week in which nobody asked.
DEFAULT_DAYS = 7


class Command(JsonCommand):
    help = (
        "Fetch the won per US dollar (매매기준율) of the Export-Import Bank for a range of days and store what was "
        "published; weekends and holidays leave no row. Needs EXIMBANK_AUTH_KEY."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--from", dest="first_on", metavar="DATE", help="YYYY-MM-DD; otherwise a week before --to")
        parser.add_argument("--to", dest="last_on", metavar="DATE", help="YYYY-MM-DD; otherwise today in Korea")

    def run(self, first_on: str | None, last_on: str | None, **_: Any) -> dict[str, Any]:
        now = timezone.now()
        last = now.astimezone(KST).date() if last_on is None else read_day(last_on, field="to")
        first = last - timedelta(days=DEFAULT_DAYS) if first_on is None else read_day(first_on, field="from")
        client = EximbankClient.from_settings()
        report = fetch_rates(first=first, last=last, client=client, actor=ACTOR, now=now)
        return {
            "stored": [rate_dict(row) for row in report.stored],
            "unchanged": [day.isoformat() for day in report.unchanged],
            "unpublished": [day.isoformat() for day in report.unpublished],
            "kept": [day.isoformat() for day in report.kept],
        }

    def show(self, answer: dict[str, Any]) -> None:
        for row in answer["stored"]:
            self.stdout.write(f"{row['date']}  {row['rate']}")
        self.stdout.write(
            f"{len(answer['stored'])} stored, {len(answer['unchanged'])} known already, "
            f"{len(answer['unpublished'])} days without publication, {len(answer['kept'])} entered by hand and kept"
        )
