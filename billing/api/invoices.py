"""`/billing/v1/invoices`: what was issued to a customer, as it was issued, and what the running month comes to."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from decimal import Decimal
from typing import cast

from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.utils import timezone
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import IsCustomerKey
from accounts.errors import InvalidInput, NotFound
from accounts.models import ApiKey, Customer
from accounts.spreadsheets import guarded
from billing.api.invoice_json import (
    SHOWN,
    InvoicePageDocument,
    InvoicePreviewDocument,
    InvoiceWholeDocument,
    exchange_json,
    head_json,
    line_json,
    preview_json,
)
from billing.documents import DocumentLine, InvoiceDocument
from billing.mail import attachment_name
from billing.models import Invoice
from billing.selectors.previews import month_preview
from billing.services.printing import ensure_invoice_pdf
from billing.services.stating import ensure_statement
from catalog.money import decimal_text
from usage.api.reading import bad_cursor, decode_cursor, encode_cursor, read_limit, read_month, read_params
from usage.periods import KST, BillingMonth

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
            OpenApiParameter("status", str, enum=[status.value for status in SHOWN]),
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
            if params["status"] not in set(SHOWN):
                raise InvalidInput(f"status: one of {', '.join(SHOWN)}", field="status", allowed=list(SHOWN))
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
                "rows": [head_json(invoice) for invoice in page],
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
                **head_json(invoice),
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
        return Response(preview_json(month_preview(asking(request), month, on=now.astimezone(KST).date())))


def asking(request: Request) -> Customer:
    """Whose key it is."""
    return cast(Customer, cast(ApiKey, request.auth).customer)


def issued_to(customer: Customer) -> QuerySet[Invoice]:
    """The customer's invoices, newest first; drafts are ours alone."""
    return Invoice.objects.filter(customer=customer, status__in=SHOWN).order_by("-month", "-pk")


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


def file_response(content: bytes, content_type: str, name: str) -> HttpResponse:
    """A file to keep; what it holds is the customer's own."""
    response = HttpResponse(content, content_type=content_type)
    response["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=name)
    response["Cache-Control"] = "private, no-store"
    return response


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


def _read_position(text: str) -> tuple[BillingMonth, int]:
    parts = decode_cursor(text)
    if len(parts) != 2 or not isinstance(parts[0], str) or type(parts[1]) is not int or not 0 <= parts[1] < 2**63:
        raise bad_cursor()
    return read_month(parts[0], field="cursor"), parts[1]
