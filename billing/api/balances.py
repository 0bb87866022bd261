"""`/billing/v1/balance` and `/billing/v1/statement`: where a customer stands, and how it came there."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import IsCustomerKey
from accounts.errors import InvalidInput
from accounts.models import Customer
from accounts.spreadsheets import csv_text
from billing.api.amounts import AmountDocument, krw, usd_cents
from billing.api.invoices import PROBLEMS, FileView, asking, file_response
from billing.models import Invoice, LedgerTransaction, PromotionalCredit
from billing.selectors.balances import (
    Balance,
    StatementRow,
    balance_of,
    due_invoices,
    prepayment_outlook,
    statement_rows,
)
from billing.selectors.promotions import credits_of
from usage.api.reading import bad_cursor, decode_cursor, encode_cursor, read_date, read_limit, read_params
from usage.periods import KST, BillingMonth

CSV_COLUMNS = (
    "date", "kind", "invoice_number", "charged_krw", "paid_krw", "receivable_krw", "unapplied_krw", "prepaid_krw",
    "net_krw", "amount_usd", "exchange_krw",
)  # fmt: skip
_DAYS = [
    OpenApiParameter("from", str, description="First KST day, 2026-10-01; the first of last month if absent."),
    OpenApiParameter("to", str, description="Last KST day, included; today if absent."),
]


class BalancesDocument(serializers.Serializer):
    """The three accounts of a customer and what they come to."""

    receivable = AmountDocument(help_text="Owed on invoices.")
    unapplied = AmountDocument(help_text="Deposits that pay nothing yet.")
    prepaid = AmountDocument(help_text="Deposits kept for invoices to come.")
    net = AmountDocument(help_text="receivable - unapplied - prepaid; negative when we hold more than is owed.")


class CreditDocument(serializers.Serializer):
    """A grant of free credit: amount = remaining + used + expired + voided."""

    name = serializers.CharField()
    amount = AmountDocument(help_text="Of supply, before VAT.")
    remaining = AmountDocument()
    used = AmountDocument()
    expired = AmountDocument()
    voided = AmountDocument()
    valid_from = serializers.CharField()
    expires_on = serializers.CharField(help_text="The last KST day whose usage it covers.")
    models = serializers.ListField(child=serializers.CharField(), allow_null=True, help_text="null: every model.")


class DueDocument(serializers.Serializer):
    """An invoice with something to pay."""

    number = serializers.CharField()
    due = AmountDocument()
    due_usd = AmountDocument(allow_null=True, help_text="That in dollars; null on an invoice in won.")
    due_on = serializers.CharField()
    deposit_code = serializers.CharField(help_text="What to write as the depositor's name (입금자명).")


class BalanceDocument(BalancesDocument):
    """Where a customer stands now."""

    unbilled = AmountDocument(help_text="Usage that is not invoiced yet, at today's rate, VAT included.")
    available = AmountDocument(help_text="prepaid - unbilled; may be negative.")
    due_invoices = DueDocument(many=True)
    promotional_credits = CreditDocument(many=True)


class StatementRowDocument(serializers.Serializer):
    """One movement, and the balances after it."""

    date = serializers.CharField(help_text="KST day.")
    kind = serializers.ChoiceField(choices=[kind.value for kind in LedgerTransaction.Kind])
    invoice_number = serializers.CharField(allow_null=True)
    charged = AmountDocument(help_text="Raised what is owed.")
    paid = AmountDocument(help_text="Lowered it; both are 0 where money only changed its place.")
    dollars = AmountDocument(
        allow_null=True, help_text="The dollars that were received, or paid an invoice in dollars."
    )
    exchange_difference = AmountDocument(
        help_text="Won that these dollars were worth beyond the won that they paid, below 0 where they were worth less; "
        "inside `charged` or `paid`."
    )
    balance = BalancesDocument()


class StatementDocument(serializers.Serializer):
    """A page of movements, the oldest first."""

    first_day = serializers.CharField()
    last_day = serializers.CharField()
    opening = BalancesDocument(help_text="Before the first day.")
    rows = StatementRowDocument(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class BalanceNow(APIView):
    """Where a customer stands."""

    permission_classes = [IsCustomerKey]

    @extend_schema(operation_id="get_balance", summary="Your balance", responses={200: BalanceDocument, **PROBLEMS})
    def get(self, request: Request) -> Response:
        read_params(request, names=frozenset())
        customer, now = asking(request), timezone.now()
        today = now.astimezone(KST).date()
        outlook = prepayment_outlook(customer, BillingMonth.of(now), on=today)
        return Response(
            {
                **balances_json(balance_of(customer)),
                "unbilled": krw(outlook.unbilled_krw),
                "available": krw(outlook.available_krw),
                "due_invoices": [_due_json(invoice) for invoice in due_invoices(customer)],
                "promotional_credits": [_credit_json(credit) for credit in credits_of(customer)],
            }
        )


class AccountStatement(APIView):
    """What moved a customer's accounts."""

    permission_classes = [IsCustomerKey]

    @extend_schema(
        operation_id="get_statement",
        summary="Your account, movement by movement",
        parameters=[
            *_DAYS,
            OpenApiParameter("limit", int),
            OpenApiParameter("cursor", str, description="`next_cursor` of the page before."),
        ],
        responses={200: StatementDocument, **PROBLEMS},
    )
    def get(self, request: Request) -> Response:
        params = read_params(request, names=frozenset({"from", "to", "limit", "cursor"}))
        customer = asking(request)
        first_on, last_on = read_days(params)
        limit = read_limit(params)
        after = _read_position(params["cursor"], first_on, last_on) if "cursor" in params else 0
        rows = list(statement_rows(customer, first_on=first_on, last_on=last_on, after=after, limit=limit + 1))
        cursor = None
        if len(rows) > limit:
            cursor = encode_cursor(first_on.isoformat(), last_on.isoformat(), rows[limit - 1].position)
        return Response(
            {
                "first_day": first_on.isoformat(),
                "last_day": last_on.isoformat(),
                "opening": balances_json(balance_of(customer, before=first_on)),
                "rows": [_row_json(row) for row in rows[:limit]],
                "next_cursor": cursor,
            }
        )


class AccountStatementCsv(FileView):
    """The same as a file."""

    @extend_schema(
        operation_id="get_statement_csv",
        summary="Your account as a file",
        description="CSV, UTF-8 with BOM.",
        parameters=_DAYS,
        responses={(200, "text/csv"): OpenApiTypes.STR, **PROBLEMS},
    )
    def get(self, request: Request) -> HttpResponse:
        params = read_params(request, names=frozenset({"from", "to"}))
        first_on, last_on = read_days(params)
        return statement_file(asking(request), first_on=first_on, last_on=last_on)


def statement_file(customer: Customer, *, first_on: date, last_on: date) -> HttpResponse:
    """A customer's statement of those KST days as a CSV to keep."""
    content = csv_text(CSV_COLUMNS, map(_cells, statement_rows(customer, first_on=first_on, last_on=last_on)))
    return file_response(content.encode(), "text/csv; charset=utf-8", f"statement-{first_on}-{last_on}.csv")


def read_days(params: dict[str, str]) -> tuple[date, date]:
    """The first and the last day that are asked for. Raises InvalidInput that names the one that is wrong."""
    today = timezone.now().astimezone(KST).date()
    first_on = (
        read_date(params["from"], field="from")
        if "from" in params
        else BillingMonth(today.year, today.month).previous().first_on
    )
    last_on = read_date(params["to"], field="to") if "to" in params else max(today, first_on)
    if last_on < first_on:
        raise InvalidInput("to: not before `from`", field="to")
    return first_on, last_on


def balances_json(balance: Balance) -> dict[str, Any]:
    """Balances as they stand in our JSON."""
    return {
        "receivable": krw(balance.receivable_krw),
        "unapplied": krw(balance.unapplied_krw),
        "prepaid": krw(balance.prepaid_krw),
        "net": krw(balance.net_krw),
    }


def _row_json(row: StatementRow) -> dict[str, Any]:
    return {
        "date": row.occurred_on.isoformat(),
        "kind": row.kind,
        "invoice_number": row.invoice_number,
        "charged": krw(row.charged_krw),
        "paid": krw(row.paid_krw),
        "dollars": None if row.amount_usd is None else usd_cents(row.amount_usd),
        "exchange_difference": krw(row.exchange_krw),
        "balance": balances_json(row.balance),
    }


def _due_json(invoice: Invoice) -> dict[str, Any]:
    assert invoice.document is not None and invoice.due_on is not None  # noqa: PT018 - one constraint holds both
    return {
        "number": invoice.number,
        "due": krw(invoice.due_krw),
        "due_usd": None if invoice.due_usd is None else usd_cents(invoice.due_usd),
        "due_on": invoice.due_on.isoformat(),
        "deposit_code": invoice.document["deposit_code"],
    }


def _credit_json(credit: PromotionalCredit) -> dict[str, Any]:
    return {
        "name": credit.name,
        "amount": krw(credit.amount_krw),
        "remaining": krw(credit.remaining_krw),
        "used": krw(credit.used_krw),
        "expired": krw(credit.expired_krw),
        "voided": krw(credit.voided_krw),
        "valid_from": credit.valid_from.isoformat(),
        "expires_on": credit.expires_on.isoformat(),
        "models": credit.models_covered,
    }


def _cells(row: StatementRow) -> list[str | int]:
    balance = row.balance
    return [
        row.occurred_on.isoformat(),
        row.kind,
        row.invoice_number or "",
        row.charged_krw,
        row.paid_krw,
        balance.receivable_krw,
        balance.unapplied_krw,
        balance.prepaid_krw,
        balance.net_krw,
        "" if row.amount_usd is None else f"{row.amount_usd:f}",
        row.exchange_krw,
    ]


def _read_position(text: str, first_on: date, last_on: date) -> int:
    parts = decode_cursor(text)
    if len(parts) != 3 or parts[:2] != [first_on.isoformat(), last_on.isoformat()]:
        raise bad_cursor()
    if type(parts[2]) is not int or not 0 <= parts[2] < 2**63:
        raise bad_cursor()
    return parts[2]
