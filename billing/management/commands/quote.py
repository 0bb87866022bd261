"""manage.py quote: what one usage of one model would be billed at."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils import timezone

from accounts.errors import InvalidInput
from accounts.management.commanding import JsonCommand
from billing.selectors.quotes import quote
from billing.services.exchange import parse_rate
from catalog.money import parse_decimal
from usage.dialects import DIALECTS
from usage.events import EventRefused, parse_usage
from usage.periods import parse_instant


class Command(JsonCommand):
    help = (
        "Price one usage object of one model with the billing engine: USD by component, supply, VAT and total in won. "
        'Example: quote openai/gpt-5-mini --usage \'{"prompt_tokens": 1200, "completion_tokens": 300}\''
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("model", help="model id, canonical slug or alias, for example openai/gpt-5-mini")
        parser.add_argument("--usage", required=True, help="usage object as reported: '{\"prompt_tokens\": 12, ...}'")
        parser.add_argument("--dialect", default="openrouter", help=f"one of {', '.join(DIALECTS)}; default openrouter")
        parser.add_argument("--at", help="price of that instant, RFC 3339 with time zone; default now")
        parser.add_argument("--rate", help="won per USD, 100 to 10,000; default: the last published rate")
        parser.add_argument("--margin", help="share of the selling price, 0 to below 1; default: the default rule")

    def run(
        self, model: str, usage: str, dialect: str, at: str | None, rate: str | None, margin: str | None, **_: Any
    ) -> dict[str, Any]:
        if dialect not in DIALECTS:
            raise InvalidInput(f"dialect must be one of {', '.join(DIALECTS)}", field="dialect")
        return quote(
            model=model,
            usage=_usage(usage),
            dialect=dialect,
            at=_instant(at),
            rate=None if rate is None else parse_rate(rate, field="rate"),
            margin=_margin(margin),
        ).as_dict()

    def show(self, answer: dict[str, Any]) -> None:
        self.stdout.write(f"{answer['model']}  USD {answer['cost_usd']}")
        for part in answer["components"]:
            self.stdout.write(
                f"  {part['key']:<22}{part['quantity']:>15,} x {part['unit_price_usd']:<26} = {part['amount_usd']}"
            )
        if "drift_usd" in answer:
            self.stdout.write(f"  the upstream charged USD {answer['upstream_cost_usd']}, drift {answer['drift_usd']}")
        self.stdout.write(
            f"  rate {answer['rate']} ({answer['rate_source']}), margin {answer['margin']}\n"
            f"  공급가액 {answer['supply_krw']:,}  부가세 {answer['vat_krw']:,}  합계 {answer['total_krw']:,}"
        )


def _usage(text: str) -> dict[str, Any]:
    try:
        return parse_usage(text.encode(errors="surrogateescape"))
    except EventRefused as refused:
        raise InvalidInput(f"{refused.field} {refused.reason}", field=refused.field) from None


def _instant(text: str | None) -> datetime:
    if text is None:
        return timezone.now()
    try:
        return parse_instant(text, field="at")
    except ValueError as error:
        raise InvalidInput(str(error), field="at") from None


def _margin(text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        margin = parse_decimal(text, field="margin")
    except ValueError as error:
        raise InvalidInput(str(error), field="margin") from None
    if margin >= 1:
        raise InvalidInput("margin must lie from 0 and below 1", field="margin")
    return margin
