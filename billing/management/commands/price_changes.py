"""manage.py price_changes: which prices changed or wait, and whom that meets."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import date, datetime, time, timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone

from accounts.errors import InvalidInput
from accounts.management.commanding import JsonCommand
from billing.management.arguments import read_day
from billing.selectors.price_changes import report_changes
from catalog.models import PriceChange
from usage.periods import KST

DAYS = 31


class Command(JsonCommand):
    help = "Report price changes: old price, new price, percent, customers affected and their last invoiced won."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--since", metavar="YYYY-MM-DD", help=f"from that Korean day on; default {DAYS} days back")
        parser.add_argument("--status", help=f"only those: {', '.join(PriceChange.Status.values)}")

    def run(self, since: str | None, status: str | None, **_: Any) -> dict[str, Any]:
        if status is not None and status not in PriceChange.Status.values:
            raise InvalidInput(f"status is one of {', '.join(PriceChange.Status.values)}", field="status")
        today = timezone.now().astimezone(KST).date()
        day = today - timedelta(days=DAYS) if since is None else read_day(since, field="since")
        changes = PriceChange.objects.filter(
            Q(effective_at__gte=_midnight(day)) | Q(status=PriceChange.Status.AWAITING_APPROVAL)
        )
        if status is not None:
            changes = changes.filter(status=status)
        reports = report_changes(changes.select_related("model", "before"))
        return {"since": day.isoformat(), "changes": [report.as_dict() for report in reports]}

    def show(self, answer: dict[str, Any]) -> None:
        if not answer["changes"]:
            self.stdout.write(f"No such price change since {answer['since']}.")
        for change in answer["changes"]:
            percent = "no percentage" if change["percent"] is None else f"{change['percent']} %"
            self.stdout.write(
                f"{change['effective_at'][:16]}  {change['model']}  {percent}  {change['status']}  (no. {change['id']})"
            )
            for key in sorted({*change["old"]["components"], *change["new"]["components"]}):
                old, new = (change[side]["components"].get(key, "-") for side in ("old", "new"))
                if old != new:
                    self.stdout.write(f"    {key:<22}{old} -> {new}")
            if change["old"]["overrides"] != change["new"]["overrides"]:
                self.stdout.write("    overrides differ: --json shows them")
            if change["customers"]:
                self.stdout.write(
                    f"    {len(change['customers'])} customers, {change['supply_krw']:,} won in {change['month']}"
                )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=KST)
