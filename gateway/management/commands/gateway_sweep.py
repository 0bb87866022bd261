"""manage.py gateway_sweep: settle the calls that nobody speaks for any more, now."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.utils import timezone

from accounts.management.commanding import JsonCommand
from gateway.services.spooling import drain_spool
from gateway.services.sweeping import sweep_calls
from gateway.spool import spool_path


class Command(JsonCommand):
    help = (
        "Settle what this machine's gateways spooled, and the calls whose gateway is gone: upstreams are asked what they "
        "answered. Beat does the second every 30 seconds."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--final",
            action="store_true",
            help="decide at once about calls that no upstream knows, instead of asking again for ten minutes",
        )

    def run(self, final: bool, **_: Any) -> dict[str, Any]:
        now = timezone.now()
        return {"spooled": drain_spool(path=spool_path(), now=now), **asdict(sweep_calls(now=now, is_final=final))}

    def show(self, answer: dict[str, Any]) -> None:
        self.stdout.write(", ".join(f"{name} {count}" for name, count in answer.items()))
