"""`/billing/v1/invoices`: what was issued to a customer, as it was issued, and what the running month comes to."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from decimal import Decimal
from typing import Any, cast

from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.utils import timezone
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import IsCustomerKey
from accounts.errors import InvalidInput, NotFound
from accounts.models import ApiKey, Customer
from accounts.spreadsheets import guarded
from billing.api.amounts import AmountDocument, krw, usd, usd_cents
from billing.documents import BASES, USAGE_KINDS, DocumentLine, ExchangeEvidence, InvoiceDocument
from billing.dollars import CURRENCIES
from billing.mail import attachment_name
from billing.models import Invoice
from billing.selectors.previews import MonthPreview, month_preview
from billing.services.printing import ensure_invoice_pdf
from billing.services.stating import ensure_statement
from catalog.money import decimal_text
from usage.api.reading import bad_cursor, decode_cursor, encode_cursor, read_limit, read_month, read_params
from usage.periods import KST, BillingMonth

_SHOWN = (Invoice.Status.ISSUED, Invoice.Status.PAID, Invoice.Status.VOID)
_PROBLEMS = {
    400: "invalid_input: a parameter that is unknown or can't be read",
    401: "authentication_failed, not_authenticated",
    403: "permission_denied: not a customer's key",
    404: "not_found: no such invoice of yours",
}
PROBLEMS = {status: OpenApiResponse(description=codes) for status, codes in _PROBLEMS.items()}
_CSV_COLUMNS = (
    "invoice_number", "position", "kind", "usage_month", "model", "model_name", "requests", "prompt_tokens",
    "cache_read_tokens", "completion_tokens", "cost_usd", "supply_krw", "supply_usd",
)  # fmt: skip


class ExchangeDocument(serializers.Serializer):
    """How dollars became won; frozen with the invoice."""

    rule = serializers.ChoiceField(choices=("month_end", "daily", "fixed"))
    rate = serializers.CharField(allow_null=True, help_text="Won per USD; null under the daily rule.")
    rate_source = serializers.CharField()
    source_date = serializers.CharField(allow_null=True, help_text="The day for which the rate was published.")


class InvoiceLineDocument(serializers.Serializer):
    """One model's usage of one KST month, or what stands behind it (`cost` and counts are 0 then): a discount or
    promotional credit that takes won off, or what the month is short of its minimum.
    """

    position = serializers.IntegerField()
    kind = serializers.CharField(
        help_text="`usage`, `supplementary` for an earlier month's late usage, `discount`, `minimum` or `promotion`."
    )
    month = serializers.CharField(help_text="KST month in which it was used.")
    model = serializers.CharField(help_text="Empty where nothing was used.")
    model_name = serializers.CharField(help_text="The name of the discount or of the promotion's credit.")
    requests = serializers.IntegerField()
    prompt_tokens = serializers.IntegerField()
    cache_read_tokens = serializers.IntegerField(help_text="Inside the prompt's.")
    completion_tokens = serializers.IntegerField()
    cost = AmountDocument(help_text="At list price, exact.")
    basis = serializers.ChoiceField(
        choices=BASES,
        help_text="What the margin is reckoned on: list price, what the upstream charged (list price where it named no "
        "charge), or the higher of both, request by request.",
    )
    sold = AmountDocument(help_text="That amount, exact: the line is this x rate / (1 - margin).")
    margin = serializers.CharField(allow_null=True, help_text="Share of the selling price; null for a promotion.")
    supply = AmountDocument(
        help_text="공급가액 of the line, negative for a discount or promotion; the lines add up to the invoice's."
    )
    supply_usd = AmountDocument(
        allow_null=True,
        help_text="That in dollars; the lines add up to the invoice's to the cent. null on an invoice in won.",
    )
    discount = AmountDocument(help_text="How much of this usage line's supply the discounts below take off.")
    promotion = AmountDocument(help_text="How much of this usage line's supply the promotions below take off.")
    share = serializers.CharField(
        allow_null=True, help_text="Of a discount: its share of `base`; null where it is so many won a month."
    )
    base = AmountDocument(
        allow_null=True,
        help_text="Of a discount: the supply of the usage that it is for. Of a minimum: what the month comes to at least.",
    )


class ZeroRateDocument(serializers.Serializer):
    """By what there is no VAT (영세율)."""

    law = serializers.CharField(help_text="Article of the law, in Korean.")
    evidence = serializers.CharField()
    sha256 = serializers.CharField(help_text="Of the document named as evidence.")


class StatementDocument(serializers.Serializer):
    """What the file of the invoice's events has to come to."""

    events = serializers.IntegerField()
    digest = serializers.CharField(help_text="SHA-256 over their hash chain, as the PDF prints it.")


class DollarTotalsDocument(serializers.Serializer):
    """The won at the invoice's one rate, to the cent. The won are the legal amounts, and may be paid instead."""

    supply = AmountDocument()
    vat = AmountDocument()
    total = AmountDocument()


class DollarAmountsDocument(DollarTotalsDocument):
    """The dollars of an invoice."""

    due = AmountDocument(help_text="Not paid yet, by transfer, from a prepayment or by a credit note.")


class InvoiceHeadDocument(serializers.Serializer):
    """An invoice without its lines."""

    number = serializers.CharField()
    status = serializers.ChoiceField(choices=[status.value for status in _SHOWN])
    month = serializers.CharField()
    issued_on = serializers.CharField()
    due_on = serializers.CharField()
    cost = AmountDocument()
    supply = AmountDocument(help_text="공급가액.")
    vat = AmountDocument(help_text="부가세.")
    total = AmountDocument()
    due = AmountDocument(help_text="Not paid yet, by transfer or from a prepayment.")
    currency = serializers.ChoiceField(choices=CURRENCIES, help_text="What the invoice is read in and may be paid in.")
    dollars = DollarAmountsDocument(allow_null=True, help_text="null on an invoice in won.")


class InvoiceWholeDocument(InvoiceHeadDocument):
    """An invoice as it was issued."""

    margin = serializers.CharField(
        allow_null=True, help_text="Share of the selling price; null where lines differ in it."
    )
    rounding = serializers.CharField()
    exchange = ExchangeDocument()
    statement = StatementDocument(allow_null=True, help_text="null once the events are archived without it.")
    vat_rate = serializers.CharField(help_text="`0.1`, or `0` where zero-rated.")
    zero_rate = ZeroRateDocument(allow_null=True, help_text="null where VAT is 10 %.")
    deposit_code = serializers.CharField(help_text="What to write as the depositor's name (입금자명).")
    lines = InvoiceLineDocument(many=True)


class InvoicePageDocument(serializers.Serializer):
    """A page of invoices, newest first."""

    rows = InvoiceHeadDocument(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class PreviewProblemDocument(serializers.Serializer):
    """What would stop the close."""

    code = serializers.CharField()
    detail = serializers.CharField()


class InvoicePreviewDocument(serializers.Serializer):
    """What the month comes to so far; nothing of it is binding before the month is closed."""

    month = serializers.CharField()
    cost = AmountDocument()
    quarantined_events = serializers.IntegerField(help_text="They wait for a price and are in no sum.")
    problems = PreviewProblemDocument(many=True)
    margin = serializers.CharField(allow_null=True)
    rounding = serializers.CharField(allow_null=True)
    exchange = ExchangeDocument(allow_null=True)
    supply = AmountDocument(allow_null=True, help_text="null without usage, or while something is missing.")
    vat = AmountDocument(allow_null=True)
    vat_rate = serializers.CharField(allow_null=True, help_text="`0.1`, or `0` where zero-rated.")
    total = AmountDocument(allow_null=True)
    currency = serializers.ChoiceField(choices=CURRENCIES, allow_null=True)
    dollars = DollarTotalsDocument(allow_null=True, help_text="null where the invoice will be in won.")
    lines = InvoiceLineDocument(many=True)


class FileView(APIView):
    """Answers with a file, whatever type was asked for; refusals are problem+json."""

    permission_classes = [IsCustomerKey]

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[JSONRenderer, str]:
        return JSONRenderer(), JSONRenderer.media_type


class Invoices(APIView):
    """Every invoice of one customer."""

    permission_classes = [IsCustomerKey]

    @extend_schema(
        operation_id="list_invoices",
        summary="Your invoices",
        description="Newest first. Void ones are listed with their status.",
        parameters=[
            OpenApiParameter("month", str, description="2026-10: the invoice of that month."),
            OpenApiParameter("status", str, enum=[status.value for status in _SHOWN]),
            OpenApiParameter("limit", int, description="1 to 100."),
            OpenApiParameter("cursor", str, description="`next_cursor` of the page before."),
        ],
        responses={200: InvoicePageDocument, **PROBLEMS},
    )
    def get(self, request: Request) -> Response:
        params = read_params(request, names=frozenset({"month", "status", "limit", "cursor"}))
        invoices = issued_to(asking(request)).defer("document")
        if "month" in params:
            invoices = invoices.filter(month=read_month(params["month"], field="month").first_on)
        if "status" in params:
            if params["status"] not in set(_SHOWN):
                raise InvalidInput(f"status: one of {', '.join(_SHOWN)}", field="status", allowed=list(_SHOWN))
            invoices = invoices.filter(status=params["status"])
        if "cursor" in params:
            month, pk = _read_position(params["cursor"])
            invoices = invoices.filter(Q(month__lt=month.first_on) | Q(month=month.first_on, pk__lt=pk))
        limit = read_limit(params)
        found = list(invoices[: limit + 1])
        page = found[:limit]
        more = len(found) > limit
        return Response(
            {
                "rows": [_head_json(invoice) for invoice in page],
                "next_cursor": encode_cursor(f"{page[-1].month:%Y-%m}", page[-1].pk) if more else None,
            }
        )


class OneInvoice(APIView):
    """One invoice as it was issued."""

    permission_classes = [IsCustomerKey]

    @extend_schema(
        operation_id="get_invoice",
        summary="One invoice with its lines",
        responses={200: InvoiceWholeDocument, **PROBLEMS},
    )
    def get(self, request: Request, number: str) -> Response:
        read_params(request, names=frozenset())
        invoice = invoice_of(asking(request), number)
        document = frozen(invoice)
        statement = ensure_statement(invoice=invoice, now=timezone.now())
        return Response(
            {
                **_head_json(invoice),
                "margin": None if document.margin is None else decimal_text(document.margin),
                "rounding": document.rounding,
                "exchange": exchange_json(document.exchange),
                "vat_rate": "0.1" if document.zero_rate is None else "0",
                "zero_rate": None if document.zero_rate is None else asdict(document.zero_rate),
                "deposit_code": document.deposit_code,
                "statement": None if statement is None else {"events": statement.events, "digest": statement.digest},
                "lines": [line_json(line, document.margin) for line in document.lines],
            }
        )


class InvoicePdfFile(FileView):
    """The PDF that was mailed."""

    @extend_schema(
        operation_id="get_invoice_pdf",
        summary="The invoice's PDF",
        description="The very bytes that were mailed.",
        responses={(200, "application/pdf"): OpenApiTypes.BINARY, **PROBLEMS},
    )
    def get(self, request: Request, number: str) -> HttpResponse:
        read_params(request, names=frozenset())
        invoice = invoice_of(asking(request), number)
        pdf = ensure_invoice_pdf(invoice=invoice, now=timezone.now())
        return file_response(bytes(pdf.content), "application/pdf", attachment_name(frozen(invoice)))


class InvoiceCsvFile(FileView):
    """The lines of an invoice for a spreadsheet."""

    @extend_schema(
        operation_id="get_invoice_csv",
        summary="The invoice's lines as CSV",
        description="UTF-8 with BOM. The last row is the total: its won are the invoice's 공급가액, its dollars (on an "
        "invoice in dollars) those won at the rate.",
        responses={(200, "text/csv"): OpenApiTypes.STR, **PROBLEMS},
    )
    def get(self, request: Request, number: str) -> HttpResponse:
        read_params(request, names=frozenset())
        document = frozen(invoice_of(asking(request), number))
        buffer = io.StringIO()
        writer = csv.writer(buffer)
        writer.writerow(_CSV_COLUMNS)
        for line in document.lines:
            writer.writerow([guarded(cell) if isinstance(cell, str) else cell for cell in _csv_row(document, line)])
        blanks = [""] * (len(_CSV_COLUMNS) - 5)
        supply_usd = str(document.dollars.supply_usd) if document.dollars else ""
        writer.writerow(
            [document.number, "total", *blanks, decimal_text(document.cost_usd), document.supply_krw, supply_usd]
        )
        content = b"\xef\xbb\xbf" + buffer.getvalue().encode()
        return file_response(content, "text/csv; charset=utf-8", f"{document.number}.csv")


class InvoicePreview(APIView):
    """The running month, or any other that is still open."""

    permission_classes = [IsCustomerKey]

    @extend_schema(
        operation_id="preview_invoice",
        summary="What a month comes to so far",
        description="The close's own arithmetic on what has arrived. Equals the invoice if nothing arrives in between.",
        parameters=[OpenApiParameter("month", str, description="2026-10; the running KST month if absent.")],
        responses={200: InvoicePreviewDocument, **PROBLEMS},
    )
    def get(self, request: Request) -> Response:
        params = read_params(request, names=frozenset({"month"}))
        now = timezone.now()
        month = read_month(params["month"], field="month") if "month" in params else BillingMonth.of(now)
        return Response(_preview_json(month_preview(asking(request), month, on=now.astimezone(KST).date())))


def asking(request: Request) -> Customer:
    """Whose key it is."""
    return cast(Customer, cast(ApiKey, request.auth).customer)


def issued_to(customer: Customer) -> QuerySet[Invoice]:
    """The customer's invoices, newest first; drafts are ours alone."""
    return Invoice.objects.filter(customer=customer, status__in=_SHOWN).order_by("-month", "-pk")


def invoice_of(customer: Customer, number: str) -> Invoice:
    """The customer's invoice of that number; somebody else's is NotFound like one that does not exist."""
    invoice = issued_to(customer).filter(number=number).first() if number.isprintable() else None
    if invoice is None:
        raise NotFound("you have no invoice with this number", field="number")
    return invoice


def frozen(invoice: Invoice) -> InvoiceDocument:
    """What was issued."""
    assert invoice.document is not None  # a constraint gives every issued invoice one
    return InvoiceDocument.from_json(invoice.document)


def exchange_json(exchange: ExchangeEvidence) -> dict[str, Any]:
    """Where the rate came from (`ExchangeDocument`)."""
    return {
        "rule": exchange.rule,
        "rate": None if exchange.rate is None else decimal_text(exchange.rate),
        "rate_source": exchange.source,
        "source_date": None if exchange.source_date is None else exchange.source_date.isoformat(),
    }


def line_json(line: DocumentLine, margin: Decimal | None) -> dict[str, Any]:
    """A line as it was issued (`InvoiceLineDocument`); `margin` is the invoice's."""
    own = None if line.kind not in USAGE_KINDS else margin if line.margin is None else line.margin
    return {
        "position": line.position,
        "kind": line.kind,
        "month": line.month,
        "model": line.model_id,
        "model_name": line.model_name,
        "requests": line.requests,
        "prompt_tokens": line.prompt_tokens,
        "cache_read_tokens": line.cache_read_tokens,
        "completion_tokens": line.completion_tokens,
        "cost": usd(line.cost_usd),
        "basis": line.basis,
        "sold": usd(line.sold_usd),
        "margin": None if own is None else decimal_text(own),
        "supply": krw(line.amount_krw),
        "supply_usd": None if line.amount_usd is None else usd_cents(line.amount_usd),
        "discount": krw(line.discount_krw),
        "promotion": krw(line.promotion_krw),
        "share": None if line.share is None else decimal_text(line.share),
        "base": krw(line.base_krw) if line.base_krw else None,
    }


def file_response(content: bytes, content_type: str, name: str) -> HttpResponse:
    """A file to keep; what it holds is the customer's own."""
    response = HttpResponse(content, content_type=content_type)
    response["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=name)
    response["Cache-Control"] = "private, no-store"
    return response


def _head_json(invoice: Invoice) -> dict[str, Any]:
    assert invoice.issued_on is not None and invoice.due_on is not None  # noqa: PT018 - one constraint holds both
    return {
        "number": invoice.number,
        "status": invoice.status,
        "month": f"{invoice.month:%Y-%m}",
        "issued_on": invoice.issued_on.isoformat(),
        "due_on": invoice.due_on.isoformat(),
        "cost": usd(invoice.cost_usd),
        "supply": krw(invoice.supply_krw),
        "vat": krw(invoice.vat_krw),
        "total": krw(invoice.total_krw),
        "due": krw(invoice.due_krw),
        "currency": invoice.currency,
        "dollars": _dollars_json(invoice),
    }


def _dollars_json(invoice: Invoice) -> dict[str, Any] | None:
    amounts = (invoice.supply_usd, invoice.vat_usd, invoice.total_usd, invoice.due_usd)
    named = zip(("supply", "vat", "total", "due"), amounts, strict=True)
    return None if None in amounts else {name: usd_cents(amount) for name, amount in named if amount is not None}


def _csv_row(document: InvoiceDocument, line: DocumentLine) -> list[str | int | Decimal]:
    return [
        document.number,
        line.position,
        line.kind,
        line.month,
        line.model_id,
        line.model_name,
        line.requests,
        line.prompt_tokens,
        line.cache_read_tokens,
        line.completion_tokens,
        decimal_text(line.cost_usd),
        line.amount_krw,
        "" if line.amount_usd is None else line.amount_usd,
    ]


def _preview_json(preview: MonthPreview) -> dict[str, Any]:
    bill = preview.bill
    dollars = bill.dollars if bill else None
    return {
        "month": str(preview.month),
        "cost": usd(preview.cost_usd),
        "quarantined_events": preview.quarantined_count,
        "problems": [{"code": problem.code, "detail": problem.message} for problem in preview.problems],
        "margin": None if bill is None or bill.margin is None else decimal_text(bill.margin),
        "rounding": None if bill is None else bill.rounding.value,
        "exchange": None if bill is None else exchange_json(bill.exchange),
        "supply": None if bill is None else krw(bill.totals.supply_krw),
        "vat": None if bill is None else krw(bill.totals.vat_krw),
        "vat_rate": None if bill is None else "0" if bill.zero_rating else "0.1",
        "total": None if bill is None else krw(bill.totals.total_krw),
        "currency": None if bill is None else bill.currency,
        "dollars": None
        if dollars is None
        else {
            "supply": usd_cents(dollars.supply_usd),
            "vat": usd_cents(dollars.vat_usd),
            "total": usd_cents(dollars.total_usd),
        },
        "lines": [line_json(line, bill.margin) for line in bill.document_lines] if bill else [],
    }


def _read_position(text: str) -> tuple[BillingMonth, int]:
    parts = decode_cursor(text)
    if len(parts) != 2 or not isinstance(parts[0], str) or type(parts[1]) is not int or not 0 <= parts[1] < 2**63:
        raise bad_cursor()
    return read_month(parts[0], field="cursor"), parts[1]
