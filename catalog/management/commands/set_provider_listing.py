"""manage.py set_provider_listing: put a model into the listing that marketplaces read, or take it out."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from accounts.management.commanding import JsonCommand
from catalog.management.reading import named_model, split_names
from catalog.models import Model
from catalog.services import set_provider_listing

ACTOR = "manage.py set_provider_listing"


class Command(JsonCommand):
    help = "Put a model into GET /v1/models?format=openrouter, or take it out with --off."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("model", help="model id, canonical slug or alias")
        parser.add_argument("--off", action="store_true", help="take it out")
        parser.add_argument("--ready", action="store_true", help="it can be called; needs --datacenters")
        parser.add_argument("--quantization", default="unknown", help=f"one of {', '.join(Model.Quantization.values)}")
        parser.add_argument("--datacenters", default="", metavar="KR,JP", help="countries that it runs in")
        parser.add_argument("--reason", default="", help="why; the audit trail keeps it")

    def run(
        self, model: str, off: bool, ready: bool, quantization: str, datacenters: str, reason: str, **_: Any
    ) -> dict[str, Any]:
        row = set_provider_listing(
            model=named_model(model),
            is_listed=not off,
            is_ready=ready,
            quantization=quantization,
            datacenters=split_names(datacenters) or [],
            actor=ACTOR,
            reason=reason,
        )
        return {
            "model": row.model_id,
            "is_listed": row.is_provider_listed,
            "is_ready": row.is_ready,
            "quantization": row.quantization,
            "datacenters": row.datacenters,
        }

    def show(self, answer: dict[str, Any]) -> None:
        state = "listed" if answer["is_listed"] else "not listed"
        ready = ", ready" if answer["is_ready"] else ""
        self.stdout.write(f"{answer['model']}: {state}{ready} {' '.join(answer['datacenters'])}".rstrip())
