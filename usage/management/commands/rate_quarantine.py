"""`manage.py rate_quarantine [--customer SLUG] [--json]`: price the quarantined events that can be priced by now."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from accounts.management.commanding import JsonCommand
from accounts.selectors import customer_by_slug
from catalog.money import decimal_text
from usage.services.rerating import rate_quarantined


class Command(JsonCommand):
    help = "Price the open quarantined events whose model has a price by now; repeating it changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--customer", metavar="SLUG", help="only this customer's")

    def run(self, *, customer: str | None, **options: Any) -> dict[str, Any]:
        owner = customer_by_slug(customer) if customer else None
        done = rate_quarantined(actor="manage.py rate_quarantine", now=timezone.now(), customer=owner)
        return {
            "rated": done.rated,
            "still_open": done.examined - done.rated,
            "cost_usd": decimal_text(done.cost_usd),
        }

    def show(self, answer: dict[str, Any]) -> None:
        self.stdout.write(
            f"{answer['rated']} events priced at USD {answer['cost_usd']}, {answer['still_open']} still open"
        )
