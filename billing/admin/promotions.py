"""Promotional credit: granting it, looking at what became of it, taking back what is left."""

from __future__ import annotations

from datetime import date
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.admin import CustomerFilter, DateInput, Operation, ReadOnlyInline, ReasonForm, RowSelect
from accounts.models import Customer
from billing.admin.asking import PartForm, WonField
from billing.admin.contracts import today
from billing.admin.terms import TermAdmin
from billing.formatting import won
from billing.models import PromotionalCredit, PromotionalCreditMove
from billing.services.granting import grant_credit, void_credit


class GrantForm(ReasonForm):
    customer = forms.ModelChoiceField(
        label=gettext_lazy("customer"),
        queryset=Customer.objects.all(),
        widget=RowSelect(PromotionalCredit, "customer"),
    )
    name = forms.CharField(
        label=gettext_lazy("name on the invoice"), max_length=100, initial=gettext_lazy("First month free")
    )
    amount_krw = WonField(
        label=gettext_lazy("amount (KRW of supply)"), help_text=gettext_lazy("Taken off the supply value, before VAT.")
    )
    valid_from = forms.DateField(label=gettext_lazy("valid from"), widget=DateInput(), initial=today)
    expires_on = forms.DateField(
        label=gettext_lazy("last valid day"),
        widget=DateInput(),
        help_text=gettext_lazy("Usage up to the end of that day in Korea is covered."),
    )
    models = forms.CharField(
        label=gettext_lazy("models"),
        required=False,
        help_text=gettext_lazy("Ids, separated by commas; empty: every model."),
    )
    priority = forms.IntegerField(
        label=gettext_lazy("priority"),
        initial=0,
        min_value=0,
        max_value=32767,
        help_text=gettext_lazy("The lowest is used first; then the one that expires first."),
    )
    field_order = ("customer", "name", "amount_krw", "valid_from", "expires_on", "models", "priority", "reason")

    def clean_models(self) -> list[str] | None:
        return [name.strip() for name in self.cleaned_data["models"].split(",") if name.strip()] or None


def _void(credit: PromotionalCredit, answers: dict[str, Any], actor: str) -> str:
    void_credit(
        credit=credit,
        amount_krw=answers["amount_krw"],
        reason=answers["reason"],
        actor=actor,
        now=timezone.now(),
    )
    return _("%(won)s won are left.") % {"won": won(credit.remaining_krw)}


class MoveInline(ReadOnlyInline):
    model = PromotionalCreditMove
    fields = ("moved_at", "kind", "amount_krw", "invoice", "reason", "actor")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("invoice")


@admin.register(PromotionalCredit)
class PromotionalCreditAdmin(TermAdmin):
    add_form = GrantForm
    add_note = gettext_lazy("Free credit stands on the invoice as a line of its own and reduces supply and VAT.")
    list_display = (
        "customer", "name", "amount_krw", "remaining", "used_krw", "expired_krw", "voided_krw", "valid_from",
        "expires_on", "priority",
    )  # fmt: skip
    list_filter = (CustomerFilter,)
    list_select_related = ("customer",)
    search_fields = ("customer__slug", "customer__name", "name")
    date_hierarchy = "expires_on"
    fields = (
        "customer", "name", "amount_krw", "remaining", "used_krw", "expired_krw", "voided_krw", "valid_from",
        "expires_on", "models_covered", "priority", "reason", "actor", "granted_at",
    )  # fmt: skip
    inlines = (MoveInline,)
    operations = (
        Operation(
            name="void",
            label=gettext_lazy("Take back"),
            note=gettext_lazy("What an invoice has used stays used."),
            form=PartForm,
            applies=lambda credit: credit.remaining_krw > 0,
            run=_void,
        ),
    )

    def add_row(self, answers: dict[str, Any], actor: str) -> PromotionalCredit:
        return grant_credit(**answers, actor=actor, now=timezone.now())

    def days(self, row: PromotionalCredit) -> tuple[date, date | None]:
        return row.valid_from, row.expires_on

    @admin.display(description=gettext_lazy("left (KRW)"))
    def remaining(self, row: PromotionalCredit) -> str:
        return won(row.remaining_krw)
