"""manage.py void_credit: take back what is left of a promotional credit."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from accounts.errors import NotFound
from accounts.management.commanding import JsonCommand
from billing.management.arguments import naming_options
from billing.models import PromotionalCredit
from billing.services.granting import void_credit

ACTOR = "command void_credit"


class Command(JsonCommand):
    help = (
        "Take back what is left of a promotional credit, or so many won of it. What invoices used stays used. Example: "
        "void_credit 2 --amount 10000 --reason '계약 변경'"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("credit", type=int, metavar="ID", help="as grant_credit printed it")
        parser.add_argument("--amount", type=int, metavar="WON", help="otherwise all that is left")
        parser.add_argument("--reason", required=True, help="why; the audit trail keeps it")

    def run(self, credit: int, amount: int | None, reason: str, **_: Any) -> dict[str, Any]:
        row = PromotionalCredit.objects.filter(pk=credit).first()
        if row is None:
            raise NotFound(f"there is no promotional credit {credit}", field="credit")
        with naming_options():
            row = void_credit(credit=row, amount_krw=amount, reason=reason, actor=ACTOR, now=timezone.now())
        return {"id": row.pk, "voided_krw": row.voided_krw, "remaining_krw": row.remaining_krw}

    def show(self, answer: dict[str, Any]) -> None:
        self.stdout.write(
            f"credit {answer['id']}: {answer['voided_krw']:,} won voided, {answer['remaining_krw']:,} left"
        )
