"""manage.py grant_credit: free credit for a customer's usage of some days."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from accounts.management.commanding import JsonCommand
from accounts.selectors import customer_by_slug
from billing.management.arguments import naming_options, read_day
from billing.management.terms import tell_billed_before
from billing.services.granting import grant_credit
from usage.periods import KST

ACTOR = "command grant_credit"


class Command(JsonCommand):
    help = (
        "Grant promotional credit: won that are taken off a customer's supply before VAT, for usage of the KST days up to "
        "--expires, that day included. Example: grant_credit gaon 50000 --expires 2026-12-31 --reason '첫 달 행사'"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("customer", metavar="SLUG", help="the customer's slug")
        parser.add_argument("amount", type=int, metavar="WON", help="whole won of supply")
        parser.add_argument("--expires", required=True, metavar="DATE", help="YYYY-MM-DD, the last valid day")
        parser.add_argument("--from", dest="first_on", metavar="DATE", help="YYYY-MM-DD; otherwise today in Korea")
        parser.add_argument("--name", default="첫 달 무료", help="what the invoice calls it")
        parser.add_argument("--model", action="append", metavar="ID", help="this model only; may be repeated")
        parser.add_argument("--priority", type=int, default=0, help="the lowest is used first")
        parser.add_argument("--reason", required=True, help="why; the audit trail keeps it")

    def run(
        self,
        customer: str,
        amount: int,
        expires: str,
        first_on: str | None,
        name: str,
        model: list[str] | None,
        priority: int,
        reason: str,
        **_: Any,
    ) -> dict[str, Any]:
        now = timezone.now()
        with naming_options():
            credit = grant_credit(
                customer=customer_by_slug(customer),
                name=name,
                amount_krw=amount,
                valid_from=now.astimezone(KST).date() if first_on is None else read_day(first_on, field="from"),
                expires_on=read_day(expires, field="expires"),
                models=model,
                priority=priority,
                reason=reason,
                actor=ACTOR,
                now=now,
            )
        tell_billed_before(self.progress, credit.customer, first_on=credit.valid_from, last_on=credit.expires_on)
        return {
            "id": credit.pk,
            "customer": customer,
            "amount_krw": credit.amount_krw,
            "valid_from": credit.valid_from.isoformat(),
            "expires_on": credit.expires_on.isoformat(),
            "models": credit.models_covered,
        }

    def show(self, answer: dict[str, Any]) -> None:
        self.stdout.write(
            f"credit {answer['id']}: {answer['amount_krw']:,} won for {answer['customer']}, usage of "
            f"{answer['valid_from']} to {answer['expires_on']}, {', '.join(answer['models'] or ['every model'])}"
        )
