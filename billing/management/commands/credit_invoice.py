"""manage.py credit_invoice: take won of an issued invoice back, or all of it."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from accounts.errors import InvalidInput, NotFound
from accounts.management.commanding import JsonCommand
from billing.management.arguments import naming_options, read_actor
from billing.models import CreditNote, Invoice
from billing.services.crediting import issue_credit_note, reissue_invoice, void_invoice


class Command(JsonCommand):
    help = (
        "Issue a credit note over lines of an invoice (--line), or void the invoice whole (--void) and bill its month anew "
        "(--reissue). What was paid beyond the rest is free on its payment again. Example: "
        "credit_invoice INV-202610-0001 --line 1=500 --code 02 --reason '장애 보상' --actor kim@example.com"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("number", metavar="NUMBER", help="the invoice's number, INV-202610-0001")
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--line", metavar="N=WON", action="append", help="won of supply off line N; may be repeated")
        what.add_argument("--void", action="store_true", help="take the whole invoice back")
        what.add_argument("--reissue", action="store_true", help="bill the month of a voided invoice anew")
        codes = ", ".join(f"{code} {label}" for code, label in CreditNote.Amendment.choices)
        parser.add_argument("--code", default=CreditNote.Amendment.ERROR, help=f"수정사유: {codes}; default 01")
        parser.add_argument("--reason", default="", help="why; needed unless --reissue")
        parser.add_argument("--actor", required=True, metavar="EMAIL", help="who does it")

    def run(
        self,
        number: str,
        line: list[str] | None,
        void: bool,
        reissue: bool,
        code: str,
        reason: str,
        actor: str,
        **_: Any,
    ) -> dict[str, Any]:
        invoice = Invoice.objects.select_related("customer", "period").filter(number=number).first()
        if invoice is None:
            raise NotFound(f"there is no invoice {number[:60]}", field="number")
        now, actor = timezone.now(), read_actor(actor)
        if reissue:
            made = reissue_invoice(invoice=invoice, actor=actor, now=now)
            return {"invoice": made.number, "status": made.status, "total_krw": made.total_krw}
        why: dict[str, Any] = {"amendment_code": code, "reason": reason, "actor": actor, "now": now}
        with naming_options():
            if void:
                void_invoice(invoice=invoice, **why)
                return {"invoice": invoice.number, "status": invoice.status}
            note = issue_credit_note(invoice=invoice, amounts_krw=_amounts(line or []), **why)
        return {
            "credit_note": note.number,
            "invoice": invoice.number,
            "supply_krw": note.supply_krw,
            "vat_krw": note.vat_krw,
            "total_krw": note.total_krw,
            "due_krw": invoice.due_krw,
        }

    def show(self, answer: dict[str, Any]) -> None:
        if "credit_note" in answer:
            self.stdout.write(
                f"{answer['credit_note']} 공급가액 {answer['supply_krw']:,}  부가세 {answer['vat_krw']:,}  "
                f"합계 {answer['total_krw']:,}; {answer['invoice']} 잔액 {answer['due_krw']:,}"
            )
        else:
            self.stdout.write(f"{answer['invoice']}  {answer['status']}")


def _amounts(texts: list[str]) -> dict[int, int]:
    amounts: dict[int, int] = {}
    for text in texts:
        position, _, won = text.partition("=")
        if not (position.isascii() and position.isdigit() and won.isascii() and won.isdigit()) or len(text) > 30:
            raise InvalidInput(f"line: N=WON, not {text[:40]!r}", field="line")
        if int(position) in amounts:
            raise InvalidInput(f"line: {position} is named twice", field="line")
        amounts[int(position)] = int(won)
    return amounts
