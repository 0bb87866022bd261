"""`manage.py import_activity FILE --customer SLUG [--preview] [--json]`: meter days of which nobody sent events."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.utils import timezone

from accounts.management.commanding import JsonCommand
from accounts.selectors import customer_by_slug
from usage.management.tables import opened_rows
from usage.services.activity import Outcome, count_outcomes, import_activity


class Command(JsonCommand):
    """Exit code 0: every row was metered, was metered before, or is covered by real events. 1: some rows were rejected or
    conflict. 2: the file could not be read; nothing of it was metered.
    """

    help = (
        "Meter the daily sums of an OpenRouter activity list (CSV or JSON) for a customer, as estimated events, on UTC days "
        "and for models without events. Importing twice adds nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", metavar="FILE", help="the list; - for standard input")
        parser.add_argument("--customer", required=True, metavar="SLUG", help="who used what the list says")
        parser.add_argument("--preview", action="store_true", help="say what would happen and write nothing")

    def run(self, *, file: str, customer: str, preview: bool, **options: Any) -> dict[str, Any]:
        with opened_rows(file) as rows:
            results = import_activity(
                rows=rows,
                customer=customer_by_slug(customer),
                source=Path(file).name,
                actor="manage.py import_activity",
                now=timezone.now(),
                is_preview=preview,
            )
        refused = [result for result in results if result.reason]
        return {
            "customer": customer,
            "preview": preview,
            **count_outcomes(results),
            "rows": [
                {"row": one.number, "outcome": one.outcome.value, "field": one.field, "reason": one.reason}
                for one in refused
            ],
        }

    def show(self, answer: dict[str, Any]) -> None:
        for row in answer["rows"]:
            where = f"{row['field']}: " if row["field"] else ""
            self.stderr.write(f"row {row['row']} {row['outcome']}: {where}{row['reason']}")
        counts = ", ".join(f"{answer[one.value]} {one.value}" for one in Outcome)
        would = "would become" if answer["preview"] else "became"
        self.stdout.write(f"{counts}; {would} {answer['events']} events of {answer['customer']}")

    def exit_code(self, answer: dict[str, Any]) -> int:
        return 1 if answer["rejected"] or answer["conflict"] else 0
