"""manage.py withdraw_zero_rating: VAT again from next month on."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from accounts.errors import NotFound
from accounts.management.commanding import JsonCommand
from billing.management.terms import zero_rating_dict, zero_rating_line
from billing.models import ZeroRating
from billing.services.zero_rating import withdraw_zero_rating

ACTOR = "command withdraw_zero_rating"


class Command(JsonCommand):
    help = (
        "Withdraw evidence for zero-rated VAT (영세율): VAT again from next month on. Issued invoices stay as they are; "
        "evidence that begins later never holds. Example: withdraw_zero_rating 1 --reason '계약 변경'"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("term", type=int, metavar="ID", help="as contract_terms prints it")
        parser.add_argument("--reason", required=True, help="why; the audit trail keeps it")

    def run(self, term: int, reason: str, **_: Any) -> dict[str, Any]:
        row = ZeroRating.objects.select_related("customer").filter(pk=term).first()
        if row is None:
            raise NotFound(f"there is no zero rating {term}; contract_terms prints a customer's", field="id")
        withdraw_zero_rating(zero_rating=row, reason=reason, actor=ACTOR, now=timezone.now())
        return zero_rating_dict(row)

    def show(self, answer: dict[str, Any]) -> None:
        self.stdout.write(zero_rating_line(answer))
