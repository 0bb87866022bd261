"""`manage.py upstream`: run an upstream on this machine, for development, tests and measurements."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from catalog.listing import ListingError
from gateway.localupstream.running import HOST, run

DEFAULT_KEY = "sk-local-upstream"


class Command(BaseCommand):
    help = (
        "Run a made-up upstream on this machine: every route and usage shape, the same answer to the same request, faults on"
        " demand (write @upstream(...) into a prompt; see gateway/localupstream). Needs no database."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--port", type=int, default=0, help="where to listen on 127.0.0.1 (without it: a free port)"
        )
        parser.add_argument("--key", default=DEFAULT_KEY, help=f"the key it takes ({DEFAULT_KEY})")
        parser.add_argument(
            "--log", type=Path, help="file to which a line is added for every request (counts, no texts)"
        )
        parser.add_argument(
            "--catalog",
            type=Path,
            default=Path(settings.BASE_DIR) / "samples" / "catalog.json",
            help="listing of the models it sells, a /models answer (samples/catalog.json)",
        )
        parser.add_argument("--seed", default="local", help="part of every id it gives; two upstreams need two (local)")

    def handle(self, *args: Any, **options: Any) -> None:
        def started(port: int) -> None:
            address = f"http://{HOST}:{port}"
            self.stdout.write(f"upstream {address}/api/v1 (as OpenRouter) {address}/v1 (as OpenAI and Anthropic)")
            self.stdout.flush()

        try:
            run(
                port=options["port"],
                key=options["key"],
                catalog=options["catalog"],
                log=options["log"],
                seed=options["seed"],
                started=started,
            )
        except (OSError, ListingError) as error:
            raise CommandError(f"The upstream can't run: {error}", returncode=2) from error
