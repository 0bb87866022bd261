"""`manage.py archive_month YYYY-MM --to DIR [--json]`: move a closed month's events into files."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.utils import timezone

from accounts.errors import InvalidInput
from accounts.management.commanding import JsonCommand
from usage.periods import BillingMonth
from usage.services.archiving import archive_month


class Command(JsonCommand):
    """Ids, decisions and sums stay in the database; the events themselves can be brought back with restore_month."""

    help = "Write a closed month's events to gzip NDJSON files with a manifest, and take them out of the database."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("month", metavar="YYYY-MM", help="a KST month that is closed for every customer")
        parser.add_argument(
            "--to", required=True, type=Path, metavar="DIR", help="where the archive's own directory is made"
        )

    def run(self, *, month: str, to: Path, **options: Any) -> dict[str, Any]:
        try:
            wanted = BillingMonth.parse(month)
        except ValueError as error:
            raise InvalidInput(str(error), field="month") from None
        archive = archive_month(
            month=wanted,
            directory=to,
            actor="manage.py archive_month",
            clock=timezone.now,
            progress=self.progress,
        )
        return {
            "month": month,
            "events": archive.events,
            "files": len(archive.manifest["files"]),
            "size_bytes": sum(file["size_bytes"] for file in archive.manifest["files"]),
            "directory": archive.directory,
            "manifest_sha256": archive.manifest_sha256,
        }

    def show(self, answer: dict[str, Any]) -> None:
        self.stdout.write(
            f"{answer['month']}: {answer['events']:,} events in {answer['files']} files "
            f"({answer['size_bytes']:,} bytes) in {answer['directory']}"
        )
