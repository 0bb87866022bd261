"""manage.py set_router_targets: tell which models a router passes requests to."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from accounts.errors import InvalidInput
from accounts.management.commanding import JsonCommand
from catalog.errors import UnreadableListing
from catalog.models import Model
from catalog.selectors import find_model
from catalog.services import set_router_targets

SAMPLE = Path("samples") / "routers.json"


class Command(JsonCommand):
    help = 'Read {"router id": ["model id", ...]} and replace the targets of the routers that it names; all or nothing.'

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--from", dest="source", metavar="FILE", help=f"where the JSON is (default: our own {SAMPLE})"
        )

    @transaction.atomic
    def run(self, **options: Any) -> dict[str, Any]:
        source: str | None = options["source"]
        routers = _read(settings.BASE_DIR / SAMPLE if source is None else Path(source))
        answer = []
        for name, targets in routers.items():
            rows = set_router_targets(
                router=_model(name),
                targets=[_model(target) for target in targets],
                actor="manage.py set_router_targets",
                reason=source or str(SAMPLE),
            )
            answer.append({"router": name, "targets": len(rows)})
        return {"routers": answer}

    def show(self, answer: dict[str, Any]) -> None:
        for row in answer["routers"]:
            self.stdout.write(f"{row['router']} leads to {row['targets']} models")


def _read(path: Path) -> dict[str, list[str]]:
    try:
        routers = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UnreadableListing(f"--from: {path} can't be read: {reason}", field="from") from None
    if not isinstance(routers, dict) or not all(
        isinstance(targets, list) and all(isinstance(target, str) for target in targets) for targets in routers.values()
    ):
        raise InvalidInput("--from: not an object of lists of model ids", field="from")
    return routers


def _model(name: str) -> Model:
    model = find_model(name)
    if model is None:
        raise InvalidInput(f"there is no model {name[:100]!r}", field="from")
    return model
