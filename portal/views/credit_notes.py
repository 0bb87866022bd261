"""차감 청구서: one credit note and its PDF; they are listed beside the invoices."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.http import content_disposition_header

from billing.mail import note_attachment_name
from billing.notes import CreditNoteDocument
from billing.selectors.credit_notes import credit_notes_of
from billing.services.printing import ensure_credit_note_pdf
from portal.views.tenancy import CustomerPage


class CreditNotePage(CustomerPage):
    """One credit note as it was issued: everything but the tax office's answers comes from the frozen document."""

    section = "invoices"

    def get(self, request: HttpRequest, number: str) -> HttpResponse:
        note = get_object_or_404(credit_notes_of(self.customer), number=number)
        document = CreditNoteDocument.from_json(note.document)
        context = {
            "note": note,
            "document": document,
            "tax_invoices": note.tax_invoices.order_by("pk"),
            "is_sandbox": settings.TAX_PROVIDER == "sandbox",
            "has_before": any(line.before_krw for line in document.lines),
        }
        return self.render("credit_note.html", context)


class CreditNotePdfPage(CustomerPage):
    """The very bytes that were mailed; made now if nothing has asked for them yet."""

    section = "invoices"

    def get(self, request: HttpRequest, number: str) -> HttpResponse:
        note = get_object_or_404(credit_notes_of(self.customer), number=number)
        pdf = ensure_credit_note_pdf(note=note, now=self.now)
        name = note_attachment_name(CreditNoteDocument.from_json(note.document))
        response = HttpResponse(bytes(pdf.content), content_type="application/pdf")
        response["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=name)
        return response
