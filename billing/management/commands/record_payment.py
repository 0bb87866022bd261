"""manage.py record_payment: write one line of the bank account down."""

from __future__ import annotations

from argparse import ArgumentParser
from decimal import Decimal
from typing import Any

from django.utils import timezone

from accounts.errors import InvalidInput
from accounts.management.commanding import JsonCommand
from accounts.selectors import customer_by_slug
from billing.management.arguments import naming_options
from billing.models import Allocation
from billing.selectors.deposits import invoice_numbered
from billing.services.paying import match_payment, pay_invoice, record_payment, top_up
from catalog.money import decimal_text, parse_decimal
from usage.periods import parse_instant

ACTOR = "command record_payment"
#: Python refuses to read integers of thousands of digits, and not with a sentence for who typed them.
_MOST_DIGITS = 30


class Command(JsonCommand):
    help = (
        "Record a deposit once and match it by the codes in the depositor's name; with --invoice give it to that invoice, "
        "with --prepay keep the whole of it for invoices to come. Dollars (--usd) are booked at the rate of the day on "
        "which they came and pay what --invoice names. The same reference again changes nothing. "
        "Example: record_payment 20261105-0001 22500 --depositor JS26100001 --at 2026-11-05T10:00:00+09:00"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("reference", metavar="REFERENCE", help="the bank's own id of the line")
        parser.add_argument("amount", metavar="AMOUNT", help="whole won; with --usd dollars, 129.42")
        parser.add_argument("--usd", action="store_true", help="dollars were received")
        parser.add_argument("--depositor", default="", help="입금자명 as the bank shows it")
        parser.add_argument(
            "--at", required=True, metavar="TIME", help="when it was received, RFC 3339 with a time zone"
        )
        parser.add_argument("--customer", metavar="SLUG", help="whose it is, where that is known")
        parser.add_argument("--invoice", metavar="NUMBER", help="the invoice that it pays, where that is known")
        parser.add_argument("--prepay", action="store_true", help="a top-up, of won: needs --customer")

    def run(
        self,
        reference: str,
        amount: str,
        usd: bool,
        depositor: str,
        at: str,
        customer: str | None,
        invoice: str | None,
        prepay: bool,
        **_: Any,
    ) -> dict[str, Any]:
        now = timezone.now()
        try:
            received_at = parse_instant(at, field="at")
        except ValueError as error:
            raise InvalidInput(str(error), field="at") from None
        owner = None if customer is None else customer_by_slug(customer)
        facts: dict[str, Any] = {
            "reference": reference,
            "received_at": received_at,
            **_read_amount(amount, is_usd=usd),
            "depositor_name": depositor,
            "customer": owner,
            "actor": ACTOR,
            "now": now,
        }
        if prepay and (owner is None or usd or invoice is not None):
            raise InvalidInput("--prepay needs --customer, and is of won that pay no invoice yet", field="customer")
        with naming_options():
            if invoice is not None:
                payment = pay_invoice(invoice=invoice_numbered(invoice), **facts)
            else:
                payment = top_up(**facts) if prepay else record_payment(**facts)
                match_payment(payment=payment, actor=ACTOR, now=now)
        payment.refresh_from_db()
        rate = payment.rate_krw_per_usd
        # What this call paid: nothing when the line was recorded before.
        paid = payment.allocations.filter(allocated_at=now).select_related("invoice").order_by("pk")
        return {
            "id": payment.pk,
            "reference": payment.reference,
            "customer": payment.customer.slug if payment.customer else None,
            "amount_krw": payment.amount_krw,
            **_dollars(received_usd=payment.received_usd),
            **({"rate_krw_per_usd": decimal_text(rate)} if rate is not None else {}),
            "paid": [_paid(one) for one in paid],
            "prepaid_krw": payment.prepaid_krw,
            "unapplied_krw": payment.unapplied_krw,
            **_dollars(unapplied_usd=payment.unapplied_usd),
        }

    def show(self, answer: dict[str, Any]) -> None:
        for paid in answer["paid"]:
            dollars = f"USD {paid['allocated_usd']}, " if "allocated_usd" in paid else ""
            self.stdout.write(f"paid {dollars}{paid['amount_krw']:,} won of {paid['invoice']}")
        received = ""
        if "received_usd" in answer:
            received = f"USD {answer['received_usd']} x {answer['rate_krw_per_usd']} = "
        self.stdout.write(
            f"{answer['reference']}: {received}{answer['amount_krw']:,} won of {answer['customer'] or 'nobody yet'}, "
            f"prepaid {answer['prepaid_krw']:,}, unapplied {answer['unapplied_krw']:,}"
        )


def _read_amount(text: str, *, is_usd: bool) -> dict[str, Any]:
    if is_usd:
        try:
            return {"received_usd": parse_decimal(text, field="amount")}
        except ValueError as error:
            raise InvalidInput(str(error), field="amount") from None
    if not text.isascii() or not text.isdecimal() or len(text) > _MOST_DIGITS:
        raise InvalidInput(f"amount: whole won, not {text[:40]!r}; dollars need --usd", field="amount")
    return {"amount_krw": int(text)}


def _paid(one: Allocation) -> dict[str, Any]:
    facts: dict[str, Any] = {"invoice": one.invoice.number, "amount_krw": one.amount_krw}
    if one.allocated_usd is not None:
        facts |= {**_dollars(allocated_usd=one.allocated_usd), "exchange_krw": one.exchange_krw}
    return facts


def _dollars(**amounts: Decimal | None) -> dict[str, str]:
    """Those that there are, with their two places."""
    return {name: f"{amount:f}" for name, amount in amounts.items() if amount is not None}
