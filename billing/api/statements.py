"""`GET /billing/v1/invoices/{number}/statement`: every event of an invoice, chained to the digest that it prints."""

from __future__ import annotations

from collections.abc import Generator

from django.core.handlers.asgi import ASGIRequest
from django.http import StreamingHttpResponse
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from accounts.models import Customer
from billing.api.invoices import PROBLEMS, FileView, asking, invoice_of
from billing.models import Invoice
from billing.selectors.statements import Bases, invoice_bases, statement_lines
from usage.api.export import in_thread
from usage.api.reading import read_params
from usage.periods import BillingMonth

_LINES_A_CHUNK = 1_000


class InvoiceStatementFile(FileView):
    """The events that an invoice bills, as a file that can be checked offline."""

    @extend_schema(
        operation_id="get_invoice_statement",
        summary="The invoice's events with their hash chain",
        description=(
            "NDJSON: a head, one array an event, a foot with the digest that the invoice prints. `manage.py "
            "verify_statement FILE --digest HEX` checks it without any database."
        ),
        responses={(200, "application/x-ndjson"): OpenApiTypes.STR, **PROBLEMS},
    )
    def get(self, request: Request, number: str) -> StreamingHttpResponse:
        read_params(request, names=frozenset())
        customer = asking(request)
        return statement_response(
            customer, invoice_of(customer, number), is_async=isinstance(request._request, ASGIRequest)
        )


def statement_response(customer: Customer, invoice: Invoice, *, is_async: bool) -> StreamingHttpResponse:
    """The statement of an issued invoice as a download, written while the database is read."""
    month = BillingMonth(invoice.month.year, invoice.month.month)
    chunks = _chunks(customer, month, invoice_bases(invoice))
    # An ASGI server would collect a plain iterator into a list before it sends the first byte.
    response = StreamingHttpResponse(in_thread(chunks) if is_async else chunks, content_type="application/x-ndjson")
    name = f"{invoice.number}-statement.ndjson"
    response["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=name)
    response["Cache-Control"] = "private, no-store"
    return response


def _chunks(customer: Customer, month: BillingMonth, bases: Bases) -> Generator[bytes, None, None]:
    lines: list[str] = []
    for line in statement_lines(customer, month, bases):
        lines.append(line)
        if len(lines) == _LINES_A_CHUNK:
            yield ("\n".join(lines) + "\n").encode()
            lines.clear()
    yield ("\n".join(lines) + "\n").encode()
