"""Credit notes and price corrections: what takes won off issued invoices, and who agreed to it."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.contrib import admin
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.admin import CustomerFilter, Operation, OperationForm, ReadOnlyAdmin, ReadOnlyInline, ReasonForm, list_url
from accounts.admin.operating import ServiceAddMixin
from billing.formatting import won
from billing.models import CreditNote, CreditNoteLine, Invoice, PriceCorrection
from billing.selectors.corrections import correction_differences
from billing.services.correcting import approve_correction, propose_correction, withdraw_correction
from billing.services.crediting import creditable_krw, issue_credit_note, reissue_invoice, void_invoice
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

    def evidence(self) -> list[tuple[str, str]]:
        if self.row is None:
            return []
        return [(f"{line.position}  {line.model_name}", won(creditable_krw(line))) for line in self.row.lines.all()]

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
    void_invoice(invoice=invoice, reason=answers["reason"], actor=actor, now=timezone.now())
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
            "amended tax invoice has to be issued at the provider by hand."
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
            "month can be issued anew. A tax invoice that was issued has to be amended at the provider by hand."
        ),
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

    def links(self, row: CreditNote) -> list[tuple[str, str]]:
        return [(_("Invoices"), list_url(Invoice, customer=row.customer.slug))]


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
