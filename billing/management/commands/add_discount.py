"""manage.py add_discount: take a share of the supply, or so many won a month, off a customer's usage."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from accounts.management.commanding import JsonCommand
from accounts.selectors import customer_by_slug
from billing.management.arguments import named_provider, naming_options, read_day, read_decimal
from billing.management.terms import add_term_arguments, discount_dict, discount_line, tell_late_term
from billing.services.discounting import add_discount

ACTOR = "command add_discount"


class Command(JsonCommand):
    help = (
        "Agree on a discount: a share of the supply or won a month, before VAT, for whole months; of everything, one "
        "provider or some models. It is a line of its own on the invoice. "
        "Example: add_discount gaon --share 0.1 --model openai/gpt-5 --name '약정 할인' --from 2026-12-01 "
        "--reason '계약서 3조'"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        add_term_arguments(
            parser, first="the first day of the first month", end="the first day of the first month without it"
        )
        size = parser.add_mutually_exclusive_group(required=True)
        size.add_argument("--share", metavar="SHARE", help="share of the supply: 0.1 is a tenth off")
        size.add_argument("--amount", type=int, metavar="WON", help="whole won of supply a month, or what there is")
        about = parser.add_mutually_exclusive_group()
        about.add_argument("--provider", metavar="SLUG", help="models of this provider only")
        about.add_argument("--model", action="append", metavar="ID", help="this model only; may be repeated")
        parser.add_argument("--name", required=True, help="what the invoice calls it")

    def run(
        self,
        customer: str,
        share: str | None,
        amount: int | None,
        provider: str | None,
        model: list[str] | None,
        name: str,
        first_on: str,
        end_on: str | None,
        reason: str,
        **_: Any,
    ) -> dict[str, Any]:
        with naming_options():
            discount = add_discount(
                customer=customer_by_slug(customer),
                name=name,
                share=None if share is None else read_decimal(share, field="share"),
                amount_krw=amount,
                provider=named_provider(provider) if provider is not None else None,
                models=model,
                effective_from=read_day(first_on, field="from"),
                effective_to=read_day(end_on, field="to") if end_on is not None else None,
                reason=reason,
                actor=ACTOR,
                now=timezone.now(),
            )
        tell_late_term(self.progress, discount.customer, discount)
        return discount_dict(discount)

    def show(self, answer: dict[str, Any]) -> None:
        self.stdout.write(discount_line(answer))
