"""`manage.py restore_month DIR [--json]`: bring an archived month's events back into the database."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.utils import timezone

from accounts.management.commanding import JsonCommand
from usage.services.restoring import restore_month


class Command(JsonCommand):
    """What came late meanwhile stays beside them. The files are left where they are."""

    help = "Check an archive's files against its manifest and bring its events back into the database."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("directory", type=Path, metavar="DIR", help="where the archive's manifest.json stands")

    def run(self, *, directory: Path, **options: Any) -> dict[str, Any]:
        archive = restore_month(
            directory=directory, actor="manage.py restore_month", clock=timezone.now, progress=self.progress
        )
        return {"month": f"{archive.month:%Y-%m}", "events": archive.events, "directory": archive.directory}

    def show(self, answer: dict[str, Any]) -> None:
        self.stdout.write(f"{answer['month']}: {answer['events']:,} events are back")
