"""`manage.py reconcile YYYY-MM|YYYY-MM-DD [--customer SLUG] [--json]`: our costs beside the upstream's charges."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from accounts.management.commanding import JsonCommand
from accounts.selectors import customer_by_slug
from billing.management.arguments import read_day, read_month
from billing.selectors.reconciliation import reconciliation_report


class Command(JsonCommand):
    """Exit code 0: everything that can be compared agrees. 1: something drifted, is missing, or sold at a loss."""

    help = (
        "Compare each generation's cost at our list price with what the upstream charged for it, by Korean day and model. "
        "A difference of at most USD 0.000000001 counts as none."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("period", metavar="YYYY-MM|YYYY-MM-DD", help="a Korean month or day")
        parser.add_argument("--customer", metavar="SLUG", help="only this customer's events")

    def run(self, *, period: str, customer: str | None, **options: Any) -> dict[str, Any]:
        if len(period) > len("YYYY-MM"):
            first = last = read_day(period, field="period")
        else:
            month = read_month(period)
            first, last = month.first_on, month.last_on
        chosen = None if customer is None else customer_by_slug(customer)
        report = reconciliation_report(first, last, customer=chosen)
        return {**report.as_dict(), "clean": report.is_clean}

    def show(self, answer: dict[str, Any]) -> None:
        for row in answer["rows"]:
            self.stdout.write(f"{row['day']}  {row['model']}: {_in_words(row)}")
        for one in answer["findings"]:
            self.stdout.write(
                f"    {one['kind']:<13} {one['id']}  {one['model']}  cost {one['cost_usd'] or '-'}  "
                f"charged {one['charged_usd'] or '-'}  drift {one['drift_usd'] or '-'}"
            )
        for one in answer["overlapping_estimates"]:
            self.stdout.write(
                f"    estimate of {one['customer']}, {one['utc_day']} {one['model']}: invoiced, events came"
            )
        for day in answer["upstream_days"]:
            if day["difference_usd"] != "0":
                self.stdout.write(
                    f"    UTC day {day['utc_day']} {day['model']}: charged {day['charged_usd']}, known {day['known_usd']}"
                )
        self.stdout.write(f"{answer['first']} to {answer['last']}: {_in_words(answer['total'])}")

    def exit_code(self, answer: dict[str, Any]) -> int:
        return 0 if answer["clean"] else 1


def _in_words(row: dict[str, Any]) -> str:
    parts = [f"{row['matched']} of {row['events']} matched"]
    if row["drifted"]:
        parts.append(f"{row['drifted']} drifted by USD {row['drift_usd']}")
    if row["missing_here"]:
        parts.append(f"{row['missing_here']} missing here (USD {row['missing_here_usd']})")
    for name in ("missing_there", "restated", "uncharged", "unpriced", "estimated"):
        if row[name]:
            parts.append(f"{row[name]} {name.replace('_', ' ')}")
    if row.get("negative_margin"):
        parts.append("sold below cost")
    return ", ".join(parts)
