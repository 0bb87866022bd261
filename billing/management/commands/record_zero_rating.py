"""manage.py record_zero_rating: the evidence by which a customer's supplies carry no VAT."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from accounts.management.commanding import JsonCommand
from accounts.selectors import customer_by_slug
from billing.management.arguments import naming_options, read_day
from billing.management.terms import add_term_arguments, tell_late_term, zero_rating_dict, zero_rating_line
from billing.models import ZeroRating
from billing.services.zero_rating import record_zero_rating

ACTOR = "command record_zero_rating"


class Command(JsonCommand):
    help = (
        "Record the evidence for zero-rated VAT (영세율): invoices of these months carry none and get a zero-rated tax "
        "invoice. Without evidence VAT is always 10 %. "
        "Example: record_zero_rating gaon --article '부가가치세법 제24조' --reference '외화입금증명서, 계약철 12' "
        "--sha256 $(sha256sum 증명서.pdf | cut -c1-64) --accepted-by '세무사 김하나' --from 2026-12-01 "
        "--reason '영세율 적용'"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        add_term_arguments(
            parser, first="the first day of the first month", end="the first day of the first month without it"
        )
        parser.add_argument(
            "--article", required=True, help=f"article of the law, one of: {', '.join(ZeroRating.Article.values)}"
        )
        parser.add_argument("--clause", default="", help="such as '시행령 제33조 제2항 제1호'")
        parser.add_argument("--reference", required=True, help="which document proves it and where it is kept")
        parser.add_argument("--sha256", required=True, metavar="HEX", help="of the document's file")
        parser.add_argument("--accepted-by", required=True, metavar="NAME", help="who has looked at the document")

    def run(
        self,
        customer: str,
        article: str,
        clause: str,
        reference: str,
        sha256: str,
        accepted_by: str,
        first_on: str,
        end_on: str | None,
        reason: str,
        **_: Any,
    ) -> dict[str, Any]:
        with naming_options():
            made = record_zero_rating(
                customer=customer_by_slug(customer),
                article=article,
                clause=clause,
                reference=reference,
                sha256=sha256,
                accepted_by=accepted_by,
                effective_from=read_day(first_on, field="from"),
                effective_to=read_day(end_on, field="to") if end_on is not None else None,
                reason=reason,
                actor=ACTOR,
                now=timezone.now(),
            )
        tell_late_term(self.progress, made.customer, made)
        return zero_rating_dict(made)

    def show(self, answer: dict[str, Any]) -> None:
        self.stdout.write(zero_rating_line(answer))
