"""manage.py set_margin: the share of the selling price that is ours, from a day on."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.utils import timezone

from accounts.errors import InvalidInput, NotFound
from accounts.management.commanding import JsonCommand
from accounts.selectors import customer_by_slug
from billing.management.arguments import named_provider, naming_options, read_day, read_decimal
from billing.management.terms import tell_late_term
from billing.margins import Basis
from billing.services.margins import set_margin
from catalog.models import Model
from catalog.money import decimal_text
from catalog.selectors import find_model
from usage.periods import KST

ACTOR = "command set_margin"


class Command(JsonCommand):
    help = (
        "Set the margin (0.15 is 15 % of the selling price), from a day on: for everybody or one customer, and for "
        "everything or one provider, family of models or model. The most specific rule wins, a customer's own first; the "
        "rules in force on a month's last day hold for the whole month. "
        "Example: set_margin 0.10 --customer gaon --from 2026-12-01"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("margin", metavar="MARGIN", help="share of the selling price, such as 0.15")
        parser.add_argument("--customer", metavar="SLUG", help="this customer only; otherwise the default rule")
        about = parser.add_mutually_exclusive_group()
        about.add_argument("--provider", metavar="SLUG", help="models of this provider only")
        about.add_argument("--family", metavar="PREFIX", help="models whose ids begin so, such as anthropic/claude-")
        about.add_argument("--model", metavar="ID", help="this model only")
        parser.add_argument(
            "--basis",
            choices=[basis.value for basis in Basis],
            help="what the margin is reckoned on: our list price (catalog), what the upstream charged, or the higher of "
            "both for each request; otherwise as before, at first the list price",
        )
        parser.add_argument("--from", dest="first_on", metavar="DATE", help="YYYY-MM-DD; otherwise today in Korea")

    def run(self, margin: str, customer: str | None, first_on: str | None, **options: Any) -> dict[str, Any]:
        with naming_options():
            rule = set_margin(
                customer=None if customer is None else customer_by_slug(customer),
                margin=read_decimal(margin, field="margin"),
                provider=None if options["provider"] is None else named_provider(options["provider"]),
                family=_family(options["family"]),
                model=None if options["model"] is None else _model(options["model"]),
                basis=Basis(options["basis"]) if options["basis"] else None,
                effective_from=_today() if first_on is None else read_day(first_on, field="from"),
                actor=ACTOR,
            )
        if rule.customer is not None:
            tell_late_term(self.progress, rule.customer, rule)
        return {
            "id": rule.pk,
            "customer": customer,
            "provider": rule.provider.slug if rule.provider else None,
            "family": rule.family or None,
            "model": rule.model.model_id if rule.model else None,
            "margin": decimal_text(rule.margin),
            "basis": rule.basis,
            "effective_from": rule.effective_from.isoformat(),
            "effective_to": rule.effective_to.isoformat() if rule.effective_to else None,
        }

    def show(self, answer: dict[str, Any]) -> None:
        whose = answer["customer"] or "every customer without a rule of its own"
        about = answer["provider"] or answer["family"] or answer["model"]
        self.stdout.write(
            f"margin {answer['margin']} on {answer['basis']} for {whose}{f', {about}' if about else ''} "
            f"from {answer['effective_from']}"
        )


def _today() -> date:
    return timezone.now().astimezone(KST).date()


def _family(prefix: str | None) -> str:
    """A family that is asked for is never all of them: the service takes no text for everything."""
    if prefix is not None and not prefix.strip():
        raise InvalidInput("family: how the ids of its models begin, such as anthropic/claude-", field="family")
    return prefix or ""


def _model(name: str) -> Model:
    model = find_model(name)
    if model is None:
        raise NotFound(f"there is no model {name!r}", field="model")
    return model
