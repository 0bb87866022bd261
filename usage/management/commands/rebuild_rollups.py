"""`manage.py rebuild_rollups [--month 2026-10] [--customer SLUG] [--json]`: make damaged sums anew from the events."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from accounts.errors import InvalidInput
from accounts.management.commanding import JsonCommand
from accounts.selectors import customer_by_slug
from usage.periods import BillingMonth
from usage.services.rebuilding import rebuild_rollups


class Command(JsonCommand):
    help = "Recount the sums of usage by day and by hour from the events, and write anew those that differ."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--month", metavar="YYYY-MM", help="only what this month bills")
        parser.add_argument("--customer", metavar="SLUG", help="only this customer's")

    def run(self, *, month: str | None, customer: str | None, **options: Any) -> dict[str, Any]:
        owner = customer_by_slug(customer) if customer else None
        months = 0
        rebuilt = []
        for one in rebuild_rollups(actor="manage.py rebuild_rollups", customer=owner, month=_read_month(month)):
            months += 1
            if one.count:
                rebuilt.append(
                    {
                        "customer": one.customer.slug,
                        "billing_month": str(one.month),
                        "rows": one.count,
                        "differences": one.differences,
                    }
                )
        return {"recounted_months": months, "rebuilt": rebuilt}

    def show(self, answer: dict[str, Any]) -> None:
        for one in answer["rebuilt"]:
            self.stdout.write(f"{one['customer']} {one['billing_month']}: {one['rows']} rows were wrong, rebuilt")
            for text in one["differences"]:
                self.stdout.write(f"    {text}")
            if one["rows"] > len(one["differences"]):
                self.stdout.write(f"    and {one['rows'] - len(one['differences']):,} more")
        self.stdout.write(f"{answer['recounted_months']} months recounted, {len(answer['rebuilt'])} rebuilt")


def _read_month(text: str | None) -> BillingMonth | None:
    if text is None:
        return None
    try:
        return BillingMonth.parse(text)
    except ValueError as error:
        raise InvalidInput(str(error), field="month") from None
