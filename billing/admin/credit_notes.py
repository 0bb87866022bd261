"""Credit notes and price corrections: what takes won off issued invoices, and who agreed to it."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.admin import CustomerFilter, Operation, OperationForm, ReadOnlyAdmin, ReadOnlyInline, ReasonForm, list_url
from accounts.admin.operating import ServiceAddMixin
from billing.formatting import won
from billing.models import CreditNote, CreditNoteLine, CreditNotePdf, Delivery, Invoice, PriceCorrection, TaxInvoice
from billing.pdf import RenderingError
from billing.selectors.corrections import correction_differences
from billing.selectors.credit_notes import creditable_krw
from billing.services.correcting import approve_correction, propose_correction, withdraw_correction
from billing.services.crediting import issue_credit_note, reissue_invoice, void_invoice
from billing.services.printing import ensure_credit_note_pdf
from catalog.models import Price

_AMOUNT = re.compile(r"\s*(\d{1,4})\s*[:=]\s*([\d,]{1,15})\s*")
_IN_FORCE = frozenset({Invoice.Status.ISSUED, Invoice.Status.PAID})
SHOWN_DIFFERENCES = 50


class CreditForm(ReasonForm):
    """Which lines give back how much."""

    lines = forms.CharField(
        label=gettext_lazy("Lines"),
        widget=forms.Textarea(attrs={"rows": 3, "class": "vLargeTextField", "placeholder": "1: 500"}),
        help_text=gettext_lazy(
            "One line each: number of the invoice line, colon, won of supply. VAT follows by itself."
        ),
    )
    amendment_code = forms.ChoiceField(label=gettext_lazy("Reason code"), choices=CreditNote.Amendment.choices)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["reason"].help_text = _("The customer reads it.")

    def evidence(self) -> list[tuple[str, str]]:
        if self.row is None:
            return []
        return [
            (f"{line.position}  {line.model_name or line.get_kind_display()}", won(creditable_krw(line)))
            for line in self.row.lines.all()
        ]

    def clean_lines(self) -> dict[int, int]:
        amounts: dict[int, int] = {}
        for text in self.cleaned_data["lines"].splitlines():
            if not text.strip():
                continue
            found = _AMOUNT.fullmatch(text)
            if found is None or int(found[1]) in amounts:
                raise forms.ValidationError(_("%(text)s is not a line number and an amount.") % {"text": text[:60]})
            amounts[int(found[1])] = int(found[2].replace(",", ""))
        return amounts


class VoidForm(ReasonForm):
    """Why, for the tax office and for the customer."""

    amendment_code = forms.ChoiceField(
        label=gettext_lazy("Reason code"),
        choices=[one for one in CreditNote.Amendment.choices if one[0] != CreditNote.Amendment.SUPPLY_CHANGED],
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["reason"].help_text = _("The customer reads it.")


def _credit(invoice: Invoice, answers: dict[str, Any], actor: str) -> str:
    note = issue_credit_note(
        invoice=invoice,
        amounts_krw=answers["lines"],
        amendment_code=answers["amendment_code"],
        reason=answers["reason"],
        actor=actor,
        now=timezone.now(),
    )
    return _("Credit note %(number)s of %(total)s won is issued.") % {
        "number": note.number,
        "total": won(note.total_krw),
    }


def _void(invoice: Invoice, answers: dict[str, Any], actor: str) -> str:
    void_invoice(
        invoice=invoice,
        reason=answers["reason"],
        actor=actor,
        now=timezone.now(),
        amendment_code=answers["amendment_code"],
    )
    return _("%(number)s is void; what had paid it is free again.") % {"number": invoice.number}


def _reissue(invoice: Invoice, answers: dict[str, Any], actor: str) -> str:
    made = reissue_invoice(invoice=invoice, actor=actor, now=timezone.now())
    return _("%(number)s is issued instead.") % {"number": made.number}


INVOICE_OPERATIONS = (
    Operation(
        name="credit",
        label=gettext_lazy("Issue a credit note"),
        note=gettext_lazy(
            "Takes won off the invoice, with their VAT. What was paid beyond the rest is free on the payment again. The "
            "customer is mailed the credit note, and the amended tax invoice goes out by itself."
        ),
        form=CreditForm,
        applies=lambda invoice: invoice.status in _IN_FORCE,
        run=_credit,
    ),
    Operation(
        name="void",
        label=gettext_lazy("Void the invoice"),
        note=gettext_lazy(
            "Takes the invoice back whole: the books are reversed, payments become free, promotional credit returns. Its "
            "month can be issued anew. The customer is told, and a tax invoice that was issued is taken back by an amended "
            "one; with code 01 what is issued anew states it anew."
        ),
        form=VoidForm,
        applies=lambda invoice: invoice.status in _IN_FORCE,
        run=_void,
    ),
    Operation(
        name="reissue",
        label=gettext_lazy("Issue the month anew"),
        note=gettext_lazy("Bills the month again under a new number, by the terms and identities in force today."),
        form=OperationForm,
        applies=lambda invoice: invoice.status == Invoice.Status.VOID,
        run=_reissue,
    ),
)


class CreditNoteLineInline(ReadOnlyInline):
    model = CreditNoteLine
    fields = ("invoice_line", "amount_krw")


@admin.register(CreditNote)
class CreditNoteAdmin(ReadOnlyAdmin):
    list_display = (
        "number",
        "customer",
        "invoice",
        "supply_krw",
        "vat_krw",
        "total_krw",
        "amendment_code",
        "issued_on",
    )
    list_filter = (CustomerFilter, "amendment_code")
    list_select_related = ("customer", "invoice")
    search_fields = ("number", "invoice__number", "customer__slug", "reason")
    ordering = ("-issued_at", "-pk")
    inlines = (CreditNoteLineInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[CreditNote]:
        return super().get_queryset(request).defer("document")

    def get_urls(self) -> list[URLPattern]:
        pdf = path("<int:note_id>/pdf/", self.admin_site.admin_view(self.pdf_view), name="billing_creditnote_pdf")
        return [pdf, *super().get_urls()]

    def links(self, row: CreditNote) -> list[tuple[str, str]]:
        return [
            ("PDF", reverse("admin:billing_creditnote_pdf", args=[row.pk])),
            (_("Invoices"), list_url(Invoice, customer=row.customer.slug)),
            (_("Amended tax invoices"), list_url(TaxInvoice, q=row.number)),
            (_("Deliveries"), list_url(Delivery, q=row.number)),
        ]

    def pdf_view(self, request: HttpRequest, note_id: int) -> HttpResponse:
        """The very bytes that were mailed; made now if nothing has asked for them yet."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        note = get_object_or_404(CreditNote, pk=note_id)
        try:
            pdf = ensure_credit_note_pdf(note=note, now=timezone.now())
        except RenderingError as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(reverse("admin:billing_creditnote_change", args=[note.pk]))
        response = HttpResponse(bytes(pdf.content), content_type="application/pdf")
        response["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=f"{note.number}.pdf")
        return response


@admin.register(CreditNotePdf)
class CreditNotePdfAdmin(ReadOnlyAdmin):
    list_display = ("credit_note", "sha256", "created_at", "download")
    list_select_related = ("credit_note",)
    search_fields = ("credit_note__number", "sha256")
    ordering = ("-created_at", "-pk")
    fields = ("credit_note", "sha256", "created_at", "download")

    def get_queryset(self, request: HttpRequest) -> QuerySet[CreditNotePdf]:
        return super().get_queryset(request).defer("content")

    @admin.display(description=gettext_lazy("download"))
    def download(self, row: CreditNotePdf) -> str:
        return format_html('<a href="{}">PDF</a>', reverse("admin:billing_creditnote_pdf", args=[row.credit_note_id]))


class CorrectionForm(ReasonForm):
    """Which price, and what it should have been."""

    price_id = forms.IntegerField(
        label=gettext_lazy("price"), min_value=1, help_text=gettext_lazy("The number of the price row.")
    )
    components = forms.JSONField(
        label=gettext_lazy("components"), help_text=gettext_lazy("USD per unit, as in the price row.")
    )
    overrides = forms.JSONField(label=gettext_lazy("overrides"), required=False, initial=list)
    field_order = ("price_id", "components", "overrides", "reason")

    def clean_price_id(self) -> Price:
        price = Price.objects.filter(pk=self.cleaned_data["price_id"]).first()
        if price is None:
            raise forms.ValidationError(_("There is no such price."))
        return price

    def clean_components(self) -> dict[str, str]:
        components = self.cleaned_data["components"]
        if not isinstance(components, dict) or not all(isinstance(text, str) for text in components.values()):
            raise forms.ValidationError(_("An object of decimal texts is needed."))
        return components


class DifferenceForm(OperationForm):
    """Shows what approving would give back, invoice by invoice."""

    def evidence(self) -> list[tuple[str, str]]:
        differences = correction_differences(self.row)
        total = sum(min(0, line.difference_krw) for each in differences for line in each.lines)
        return [
            (_("supply (KRW)"), won(total)),
            *(
                (f"{each.invoice.number} {each.invoice.customer}", won(each.difference_krw))
                for each in differences[:SHOWN_DIFFERENCES]
            ),
        ]


def _approve(correction: PriceCorrection, answers: dict[str, Any], actor: str) -> str:
    notes = approve_correction(correction=correction, actor=actor, now=timezone.now())
    return _("%(count)d credit notes are issued.") % {"count": len(notes)}


def _withdraw(correction: PriceCorrection, answers: dict[str, Any], actor: str) -> str:
    withdraw_correction(correction=correction, actor=actor, reason=answers["reason"], now=timezone.now())
    return _("The correction is withdrawn.")


@admin.register(PriceCorrection)
class PriceCorrectionAdmin(ServiceAddMixin, ReadOnlyAdmin):
    list_display = ("price", "status", "reason", "proposed_by", "proposed_at", "decided_by", "decided_at")
    list_filter = ("status",)
    list_select_related = ("price",)
    search_fields = ("reason", "price__model__model_id")
    ordering = ("-proposed_at",)
    add_form = CorrectionForm
    add_note = gettext_lazy(
        "What a listed price should have been. The differences are shown before anything is issued, and somebody else "
        "approves them. What was billed too little is not charged afterwards."
    )
    operations = (
        Operation(
            name="approve",
            label=gettext_lazy("Approve and issue the credit notes"),
            note=gettext_lazy("Issues a credit note for every invoice that was billed too much."),
            form=DifferenceForm,
            applies=lambda row: row.status == PriceCorrection.Status.PROPOSED,
            run=_approve,
        ),
        Operation(
            name="withdraw",
            label=gettext_lazy("Withdraw"),
            note=gettext_lazy("Drops the proposal; nothing is issued."),
            applies=lambda row: row.status == PriceCorrection.Status.PROPOSED,
            run=_withdraw,
        ),
    )

    def add_row(self, answers: dict[str, Any], actor: str) -> PriceCorrection:
        return propose_correction(
            price=answers["price_id"],
            components=answers["components"],
            overrides=answers["overrides"] or [],
            reason=answers["reason"],
            actor=actor,
            now=timezone.now(),
        )
