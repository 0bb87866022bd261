"""manage.py set_margin: the share of the selling price that is ours, from a day on."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from accounts.errors import InvalidInput
from accounts.management.commanding import JsonCommand
from accounts.selectors import customer_by_slug
from billing.management.arguments import read_day
from billing.services.margins import set_margin
from catalog.money import decimal_text, parse_decimal
from usage.periods import KST

ACTOR = "command set_margin"


class Command(JsonCommand):
    help = "Set the margin (0.15 is 15 % of the selling price) for everybody or one customer, from a day on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("margin", metavar="MARGIN", help="share of the selling price, such as 0.15")
        parser.add_argument("--customer", metavar="SLUG", help="this customer only; otherwise the default rule")
        parser.add_argument("--from", dest="first_on", metavar="DATE", help="YYYY-MM-DD; otherwise today in Korea")

    def run(self, margin: str, customer: str | None, first_on: str | None, **_: Any) -> dict[str, Any]:
        try:
            share = parse_decimal(margin, field="margin")
        except ValueError as error:
            raise InvalidInput(str(error), field="margin") from None
        rule = set_margin(
            customer=customer_by_slug(customer) if customer else None,
            margin=share,
            effective_from=read_day(first_on, field="from") if first_on else timezone.now().astimezone(KST).date(),
            actor=ACTOR,
        )
        return {
            "id": rule.pk,
            "customer": customer,
            "margin": decimal_text(rule.margin),
            "effective_from": rule.effective_from.isoformat(),
            "effective_to": rule.effective_to.isoformat() if rule.effective_to else None,
        }

    def show(self, answer: dict[str, Any]) -> None:
        whose = answer["customer"] or "every customer without a rule of its own"
        self.stdout.write(f"margin {answer['margin']} for {whose} from {answer['effective_from']}")
