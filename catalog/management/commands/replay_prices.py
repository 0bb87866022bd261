"""manage.py replay_prices: play in what models cost in the past."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.utils import timezone

from accounts.management.commanding import JsonCommand
from catalog.management.reading import read_file
from catalog.services import replay_prices


class Command(JsonCommand):
    help = "Play in a price history (snapshots in USD per million tokens), where prices of the past are not known."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", type=Path, help='{"snapshots": [{"date": ..., "prices": {id: [input, output]}}]}')

    def run(self, file: Path, **_: Any) -> dict[str, Any]:
        return replay_prices(
            body=read_file(file, field="file"),
            source=file.name,
            actor="manage.py replay_prices",
            now=timezone.now(),
        ).as_dict()

    def show(self, answer: dict[str, Any]) -> None:
        self.stdout.write(
            f"{answer['source']}: {answer['snapshots']} snapshots from {answer['first_at'][:10]} to "
            f"{answer['last_at'][:10]}, {answer['models']} models\n"
            f"  {answer['prices']} prices added, {answer['known']} were known already, {answer['created']} models new"
        )
        for model_id in answer["skipped"]:
            self.stdout.write(f"  skipped {model_id}: another model answers to that name")
        if not answer["prices"]:
            self.stdout.write("  Nothing changed, nothing written.")
