"""manage.py set_customer_models: which providers' models, and which models, a contract covers."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from accounts.management.commanding import JsonCommand
from accounts.selectors import customer_by_slug
from catalog.management.reading import split_names
from catalog.services import set_customer_models

ACTOR = "manage.py set_customer_models"


class Command(JsonCommand):
    help = "Limit what a customer may call. What is not named has no limit: without any option all limits are lifted."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("customer", metavar="SLUG", help="the customer's slug")
        parser.add_argument("--providers", metavar="A,B", help="only models of these providers")
        parser.add_argument("--models", metavar="A/X,B/Y", help="only these models")
        parser.add_argument("--reason", default="", help="why; the audit trail keeps it")

    def run(self, customer: str, providers: str | None, models: str | None, reason: str, **_: Any) -> dict[str, Any]:
        row = set_customer_models(
            customer=customer_by_slug(customer),
            enabled_providers=split_names(providers),
            allowed_models=split_names(models),
            actor=ACTOR,
            reason=reason,
        )
        return {
            "customer": row.slug,
            "enabled_providers": row.enabled_providers,
            "allowed_models": row.allowed_models,
        }

    def show(self, answer: dict[str, Any]) -> None:
        for name in ("enabled_providers", "allowed_models"):
            limit = answer[name]
            self.stdout.write(f"{answer['customer']} {name}: {'all' if limit is None else ', '.join(limit) or 'none'}")
