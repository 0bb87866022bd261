"""manage.py record_payment: write one line of the bank account down."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from accounts.errors import InvalidInput
from accounts.management.commanding import JsonCommand
from accounts.selectors import customer_by_slug
from billing.services.paying import match_payment, record_payment, top_up
from usage.periods import parse_instant

ACTOR = "command record_payment"


class Command(JsonCommand):
    help = (
        "Record a deposit once and match it by the codes in the depositor's name; with --prepay keep the whole of it for "
        "invoices to come. The same reference again changes nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("reference", metavar="REFERENCE", help="the bank's own id of the line")
        parser.add_argument("amount", type=int, metavar="WON")
        parser.add_argument("--depositor", default="", help="입금자명 as the bank shows it")
        parser.add_argument(
            "--at", required=True, metavar="TIME", help="when it was received, RFC 3339 with a time zone"
        )
        parser.add_argument("--customer", metavar="SLUG", help="whose it is, where that is known")
        parser.add_argument("--prepay", action="store_true", help="a top-up: needs --customer")

    def run(
        self, reference: str, amount: int, depositor: str, at: str, customer: str | None, prepay: bool, **_: Any
    ) -> dict[str, Any]:
        now = timezone.now()
        try:
            received_at = parse_instant(at, field="at")
        except ValueError as error:
            raise InvalidInput(str(error), field="at") from None
        owner = customer_by_slug(customer) if customer else None
        facts: dict[str, Any] = {
            "reference": reference,
            "received_at": received_at,
            "amount_krw": amount,
            "depositor_name": depositor,
            "actor": ACTOR,
            "now": now,
        }
        if prepay:
            if owner is None:
                raise InvalidInput("--prepay needs --customer", field="customer")
            payment = top_up(customer=owner, **facts)
        else:
            payment = record_payment(customer=owner, **facts)
        paid = match_payment(payment=payment, actor=ACTOR, now=now)
        payment.refresh_from_db()
        return {
            "id": payment.pk,
            "reference": payment.reference,
            "customer": payment.customer.slug if payment.customer else None,
            "amount_krw": payment.amount_krw,
            "paid": [{"invoice": one.invoice.number, "amount_krw": one.amount_krw} for one in paid],
            "prepaid_krw": payment.prepaid_krw,
            "unapplied_krw": payment.unapplied_krw,
        }

    def show(self, answer: dict[str, Any]) -> None:
        for paid in answer["paid"]:
            self.stdout.write(f"paid {paid['amount_krw']:,} of {paid['invoice']}")
        self.stdout.write(
            f"{answer['reference']}: {answer['amount_krw']:,} won of {answer['customer'] or 'nobody yet'}, "
            f"prepaid {answer['prepaid_krw']:,}, unapplied {answer['unapplied_krw']:,}"
        )
