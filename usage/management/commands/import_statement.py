"""`manage.py import_statement FILE [--json]`: read in what the upstream says that it charged."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.utils import timezone

from accounts.management.commanding import JsonCommand
from usage.management.tables import opened_rows
from usage.services.reconciling import Outcome, import_statement


class Command(JsonCommand):
    """Exit code 0: every row was read in, or was before. 1: some rows were rejected or conflict with what was read in
    before; the others are there. 2: the file could not be read; nothing of it is there.
    """

    help = (
        "Read in an upstream's statement: generations (id, created_at, model, tokens, cost) or daily activity, CSV, JSON or "
        "JSON lines, gzip or not. Reading it twice adds nothing; another charge under a known id is refused by row."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", metavar="FILE", help="the statement; - for standard input")

    def run(self, *, file: str, **options: Any) -> dict[str, Any]:
        with opened_rows(file) as rows:
            done = import_statement(
                rows=rows, source=Path(file).name, actor="manage.py import_statement", now=timezone.now()
            )
        return {
            "kind": done.kind,
            **done.counts,
            "first_at": done.first_at.isoformat() if done.first_at else None,
            "last_at": done.last_at.isoformat() if done.last_at else None,
            "rows": [refusal.as_dict() for refusal in done.refusals],
        }

    def show(self, answer: dict[str, Any]) -> None:
        for row in answer["rows"]:
            self.stderr.write(f"row {row['row']} {row['outcome']}: {row['field']}: {row['reason']}")
        counts = ", ".join(f"{answer[one.value]} {one.value}" for one in Outcome)
        span = f" from {answer['first_at']} to {answer['last_at']}" if answer["first_at"] else ""
        self.stdout.write(f"{counts} {answer['kind']}{span}")

    def exit_code(self, answer: dict[str, Any]) -> int:
        return 1 if answer["rejected"] or answer["conflict"] else 0
