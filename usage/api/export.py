"""`GET /billing/v1/usage/events/export`: a customer's events as a file, written while the database is read.

A server-side cursor hands over a batch at a time, so a million rows need the memory of one batch.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db import transaction
from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.api import IsCustomerKey
from accounts.errors import InvalidInput
from accounts.models import Customer
from accounts.spreadsheets import guarded
from usage.api.events import PROBLEMS, SCOPE_PARAMETERS, SCOPE_PARAMS, customer_asking, event_json, read_scope
from usage.api.reading import read_params
from usage.api.workbook import workbook
from usage.models import UsageEvent
from usage.selectors.events import EventReader, batches, events_of

BATCH_ROWS = 2_000
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_COLUMNS = (
    "id",
    "occurred_at",
    "billing_month",
    "status",
    "requested_model",
    "served_model",
    "model",
    "api_key",
    "prompt_tokens",
    "completion_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "image_output_tokens",
    "images",
    "web_searches",
    "cost_usd",
    "arithmetic",
    "app_title",
    "app_referer",
)

Rows = Iterator[dict[str, Any]]
Chunks = Generator[bytes, None, None]


class UsageEventsExport(APIView):
    """The events of a scope in one file."""

    permission_classes = [IsCustomerKey]

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[JSONRenderer, str]:
        """Errors are JSON; `format` is a parameter of our own and chooses no renderer."""
        return JSONRenderer(), JSONRenderer.media_type

    @extend_schema(
        operation_id="export_usage_events",
        summary="Your usage events as a file",
        description=(
            "CSV (UTF-8 with BOM; a text that a spreadsheet would take for a formula begins with an apostrophe), NDJSON "
            "(a line is a row of the listing) or XLSX (1,000,000 rows a sheet). Costs are text, exact to the last digit."
        ),
        parameters=[
            OpenApiParameter("format", str, enum=["csv", "ndjson", "xlsx"], required=True),
            *SCOPE_PARAMETERS,
        ],
        responses={
            (200, "text/csv"): OpenApiTypes.STR,
            (200, "application/x-ndjson"): OpenApiTypes.STR,
            (200, _XLSX): OpenApiTypes.BINARY,
            **{status: OpenApiResponse(description=codes) for status, codes in PROBLEMS.items()},
        },
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        customer = customer_asking(request)
        params = read_params(request, names=SCOPE_PARAMS | {"format"})
        if params.get("format") not in _FORMATS:
            raise InvalidInput(f"format: one of {', '.join(_FORMATS)}", field="format", allowed=list(_FORMATS))
        content_type, write = _FORMATS[params["format"]]
        chunks = write(export_rows(customer, events_of(customer, read_scope(params, customer))))
        # An ASGI server would collect a plain iterator into a list before it sends the first byte.
        asynchronous = isinstance(request._request, ASGIRequest)
        response = StreamingHttpResponse(in_thread(chunks) if asynchronous else chunks, content_type=content_type)
        span = params.get("month") or params.get("billing_month") or "events"
        response["Content-Disposition"] = f'attachment; filename="usage-{span}.{params["format"]}"'
        response["Cache-Control"] = "private, no-store"
        return response


def export_rows(customer: Customer, events: QuerySet[UsageEvent]) -> Rows:
    """The events as JSON objects, read through one server-side cursor in one transaction."""
    reader = EventReader(customer)
    with transaction.atomic():
        for batch in batches(events.iterator(chunk_size=BATCH_ROWS), size=BATCH_ROWS):
            yield from map(event_json, reader.read(batch))


async def in_thread(chunks: Chunks) -> AsyncIterator[bytes]:
    """The same chunks; each is made in the request's own thread, where its database connection is."""
    step = sync_to_async(lambda: next(chunks, b""), thread_sensitive=True)
    try:
        while chunk := await step():
            yield chunk
    finally:
        await sync_to_async(chunks.close, thread_sensitive=True)()


def _cells(row: dict[str, Any]) -> list[str | int]:
    arithmetic = " + ".join(component["text"] for component in row["components"] or ())
    row = {**row, "arithmetic": arithmetic}
    return ["" if row[name] is None else row[name] for name in _COLUMNS]


def _csv(rows: Rows) -> Chunks:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(_COLUMNS)
    yield b"\xef\xbb\xbf" + _taken(buffer)
    for number, row in enumerate(rows, 1):
        writer.writerow([guarded(cell) if isinstance(cell, str) else cell for cell in _cells(row)])
        if number % BATCH_ROWS == 0:
            yield _taken(buffer)
    if buffer.tell():
        yield _taken(buffer)


def _taken(buffer: io.StringIO) -> bytes:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text.encode()


def _ndjson(rows: Rows) -> Chunks:
    lines: list[str] = []
    for row in rows:
        lines.append(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
        if len(lines) == BATCH_ROWS:
            yield "".join(lines).encode()
            lines.clear()
    if lines:
        yield "".join(lines).encode()


def _xlsx(rows: Rows) -> Chunks:
    yield from workbook(_COLUMNS, map(_cells, rows))


_FORMATS: dict[str, tuple[str, Callable[[Rows], Chunks]]] = {
    "csv": ("text/csv; charset=utf-8", _csv),
    "ndjson": ("application/x-ndjson", _ndjson),
    "xlsx": (_XLSX, _xlsx),
}
