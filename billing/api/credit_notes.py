"""`/billing/v1/credit-notes`: what was taken off a customer's invoices, as it was issued."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.db.models import Q
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import IsCustomerKey
from accounts.errors import NotFound
from accounts.models import Customer
from billing.api.amounts import AmountDocument, krw, usd_cents
from billing.api.invoices import PROBLEMS, FileView, asking, file_response, invoice_of
from billing.mail import note_attachment_name
from billing.models import CreditNote, TaxInvoice
from billing.notes import CreditedDollars, CreditNoteDocument
from billing.selectors.credit_notes import credit_notes_of
from billing.services.printing import ensure_credit_note_pdf
from usage.api.reading import bad_cursor, decode_cursor, encode_cursor, read_limit, read_params


class CreditedLineDocument(serializers.Serializer):
    """Won of one line of the invoice."""

    position = serializers.IntegerField(help_text="Of the line on the invoice.")
    month = serializers.CharField(help_text="KST month in which it was used.")
    model = serializers.CharField()
    model_name = serializers.CharField()
    billed = AmountDocument(help_text="Supply that the invoice charged for it.")
    credited_before = AmountDocument(help_text="Supply that earlier credit notes took off it.")
    supply = AmountDocument(help_text="Supply that this note takes off it.")
    vat = AmountDocument(help_text="Its share of the note's VAT.")


class AmendedTaxInvoiceDocument(serializers.Serializer):
    """What the tax office is told (수정세금계산서). Negative amounts take back."""

    status = serializers.ChoiceField(choices=TaxInvoice.Status.values)
    approval_number = serializers.CharField(allow_null=True, help_text="승인번호; null until it is issued.")
    written_on = serializers.CharField(help_text="작성일자.")
    deadline_on = serializers.CharField(allow_null=True, help_text="null where the law names no day.")
    supply = AmountDocument()
    vat = AmountDocument()


class CreditNoteHeadDocument(serializers.Serializer):
    """A credit note without its lines; amounts are positive and taken off the invoice."""

    number = serializers.CharField()
    invoice = serializers.CharField(help_text="Number of the invoice that it takes won off.")
    month = serializers.CharField(help_text="Month of that invoice.")
    issued_on = serializers.CharField()
    amendment_code = serializers.ChoiceField(choices=CreditNote.Amendment.values, help_text="수정사유.")
    reason = serializers.CharField()
    supply = AmountDocument(help_text="공급가액.")
    vat = AmountDocument(help_text="부가세.")
    total = AmountDocument()


class CreditedDollarsDocument(serializers.Serializer):
    """The share of the invoice's total in dollars that goes with the won. All notes of an invoice that is credited whole
    come to its total exactly.
    """

    total = AmountDocument(help_text="Of this note.")
    invoice_total = AmountDocument(help_text="The invoice as it was issued.")
    credited_before = AmountDocument(help_text="Of earlier notes.")
    invoice_left = AmountDocument(help_text="What the invoice came to after this note.")


class CreditNoteWholeDocument(CreditNoteHeadDocument):
    """A credit note as it was issued."""

    invoice_issued_on = serializers.CharField()
    invoice_total = AmountDocument(help_text="The invoice as it was issued.")
    credited_before = AmountDocument(help_text="What earlier credit notes took off the invoice, VAT included.")
    invoice_left = AmountDocument(help_text="What the invoice came to after this note, VAT included.")
    dollars = CreditedDollarsDocument(allow_null=True, help_text="VAT included; null on an invoice in won.")
    lines = CreditedLineDocument(many=True)
    tax_invoices = AmendedTaxInvoiceDocument(many=True)


class CreditNotePageDocument(serializers.Serializer):
    """A page of credit notes, newest first."""

    rows = CreditNoteHeadDocument(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class CreditNotes(APIView):
    """Every credit note of one customer."""

    permission_classes = [IsCustomerKey]

    @extend_schema(
        operation_id="list_credit_notes",
        summary="Your credit notes",
        description="Newest first.",
        parameters=[
            OpenApiParameter("invoice", str, description="Number of an invoice: those of that one."),
            OpenApiParameter("limit", int, description="1 to 100."),
            OpenApiParameter("cursor", str, description="`next_cursor` of the page before."),
        ],
        responses={200: CreditNotePageDocument, **PROBLEMS},
    )
    def get(self, request: Request) -> Response:
        params = read_params(request, names=frozenset({"invoice", "limit", "cursor"}))
        notes = credit_notes_of(asking(request)).order_by("-issued_on", "-pk")
        if "invoice" in params:
            notes = notes.filter(invoice=invoice_of(asking(request), params["invoice"]))
        if "cursor" in params:
            day, pk = _read_position(params["cursor"])
            notes = notes.filter(Q(issued_on__lt=day) | Q(issued_on=day, pk__lt=pk))
        limit = read_limit(params)
        found = list(notes[: limit + 1])
        page = found[:limit]
        return Response(
            {
                "rows": [_head_json(note) for note in page],
                "next_cursor": encode_cursor(page[-1].issued_on.isoformat(), page[-1].pk)
                if len(found) > limit
                else None,
            }
        )


class OneCreditNote(APIView):
    """One credit note as it was issued."""

    permission_classes = [IsCustomerKey]

    @extend_schema(
        operation_id="get_credit_note",
        summary="One credit note with its lines",
        responses={200: CreditNoteWholeDocument, **PROBLEMS},
    )
    def get(self, request: Request, number: str) -> Response:
        read_params(request, names=frozenset())
        note = _note_of(asking(request), number)
        document = CreditNoteDocument.from_json(note.document)
        return Response(
            {
                **_head_json(note),
                "invoice_issued_on": document.invoice_issued_on.isoformat(),
                "invoice_total": krw(document.invoice_total_krw),
                "credited_before": krw(document.before_total_krw),
                "invoice_left": krw(document.left_total_krw),
                "dollars": None if document.dollars is None else _dollars_json(document.dollars),
                "lines": [
                    {
                        "position": line.position,
                        "month": line.month,
                        "model": line.model_id,
                        "model_name": line.model_name,
                        "billed": krw(line.billed_krw),
                        "credited_before": krw(line.before_krw),
                        "supply": krw(line.supply_krw),
                        "vat": krw(line.vat_krw),
                    }
                    for line in document.lines
                ],
                "tax_invoices": [_tax_json(row) for row in note.tax_invoices.order_by("pk")],
            }
        )


class CreditNotePdfFile(FileView):
    """The PDF that was mailed."""

    @extend_schema(
        operation_id="get_credit_note_pdf",
        summary="The credit note's PDF",
        description="The very bytes that were mailed.",
        responses={(200, "application/pdf"): OpenApiTypes.BINARY, **PROBLEMS},
    )
    def get(self, request: Request, number: str) -> HttpResponse:
        read_params(request, names=frozenset())
        note = _note_of(asking(request), number)
        pdf = ensure_credit_note_pdf(note=note, now=timezone.now())
        name = note_attachment_name(CreditNoteDocument.from_json(note.document))
        return file_response(bytes(pdf.content), "application/pdf", name)


def _note_of(customer: Customer, number: str) -> CreditNote:
    """The customer's credit note of that number; somebody else's is NotFound like one that does not exist."""
    note = credit_notes_of(customer).filter(number=number).first() if number.isprintable() else None
    if note is None:
        raise NotFound("you have no credit note with this number", field="number")
    return note


def _head_json(note: CreditNote) -> dict[str, Any]:
    return {
        "number": note.number,
        "invoice": note.invoice.number,
        "month": f"{note.invoice.month:%Y-%m}",
        "issued_on": note.issued_on.isoformat(),
        "amendment_code": note.amendment_code,
        "reason": note.reason,
        "supply": krw(note.supply_krw),
        "vat": krw(note.vat_krw),
        "total": krw(note.total_krw),
    }


def _dollars_json(amounts: CreditedDollars) -> dict[str, Any]:
    return {
        "total": usd_cents(amounts.total_usd),
        "invoice_total": usd_cents(amounts.invoice_usd),
        "credited_before": usd_cents(amounts.before_usd),
        "invoice_left": usd_cents(amounts.left_usd),
    }


def _tax_json(row: TaxInvoice) -> dict[str, Any]:
    return {
        "status": row.status,
        "approval_number": row.approval_no or None,
        "written_on": row.write_date_on.isoformat(),
        "deadline_on": row.deadline_on.isoformat() if row.deadline_on else None,
        "supply": krw(row.supply_krw),
        "vat": krw(row.vat_krw),
    }


def _read_position(text: str) -> tuple[date, int]:
    parts = decode_cursor(text)
    if len(parts) != 2 or not isinstance(parts[0], str) or type(parts[1]) is not int or not 0 <= parts[1] < 2**63:
        raise bad_cursor()
    try:
        day = date.fromisoformat(parts[0])
    except ValueError:
        raise bad_cursor() from None
    return day, parts[1]
