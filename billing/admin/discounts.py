"""Discounts of contracts: agreeing on one, and ending it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.admin import CustomerFilter, DateInput, ReasonForm, RowSelect
from accounts.models import Customer
from billing.admin.asking import WonField
from billing.admin.contracts import PlainDecimalField, first_of_month
from billing.admin.ending import end_operation
from billing.admin.terms import TermAdmin
from billing.formatting import percent_text, won
from billing.models import Discount
from billing.services.discounting import add_discount, end_discount
from catalog.models import Provider


class DiscountForm(ReasonForm):
    customer = forms.ModelChoiceField(
        label=gettext_lazy("customer"),
        queryset=Customer.objects.all(),
        widget=RowSelect(Discount, "customer"),
    )
    name = forms.CharField(label=gettext_lazy("name on the invoice"), max_length=100)
    share = PlainDecimalField(
        label=gettext_lazy("share of the supply"),
        required=False,
        help_text=gettext_lazy("0.1 is a tenth off the supply value, before VAT. Either this or won a month."),
    )
    amount_krw = WonField(
        label=gettext_lazy("won a month"),
        required=False,
        help_text=gettext_lazy("Taken off the supply value, before VAT; never below zero."),
    )
    provider = forms.ModelChoiceField(
        label=gettext_lazy("provider"),
        queryset=Provider.objects.all(),
        required=False,
        help_text=gettext_lazy("Only usage of this provider's models."),
    )
    models = forms.CharField(
        label=gettext_lazy("models"),
        required=False,
        help_text=gettext_lazy("Ids, separated by commas; empty: every model."),
    )
    effective_from = forms.DateField(
        label=gettext_lazy("from"),
        widget=DateInput(),
        initial=first_of_month,
        help_text=gettext_lazy("The first day of a month: a discount holds for whole months."),
    )
    effective_to = forms.DateField(
        label=gettext_lazy("to"),
        widget=DateInput(),
        required=False,
        help_text=gettext_lazy("The first day of the first month without it; empty: until it is ended."),
    )
    field_order = (
        "customer", "name", "share", "amount_krw", "provider", "models", "effective_from", "effective_to", "reason",
    )  # fmt: skip

    def clean_models(self) -> list[str] | None:
        return [name.strip() for name in self.cleaned_data["models"].split(",") if name.strip()] or None


@admin.register(Discount)
class DiscountAdmin(TermAdmin):
    add_form = DiscountForm
    add_note = gettext_lazy(
        "A discount stands on the invoice as a line of its own and reduces supply and VAT. Shares are all of the usage "
        "before any discount; won a month come after them."
    )
    list_display = ("customer", "name", "size", "limit", "effective_from", "effective_to", "actor", "created_at")
    list_filter = (CustomerFilter,)
    list_select_related = ("customer", "provider")
    search_fields = ("customer__slug", "customer__name", "name")
    date_hierarchy = "effective_from"
    fields = (
        "customer", "name", "size", "limit", "effective_from", "effective_to", "reason", "actor", "created_at",
    )  # fmt: skip
    operations = (
        end_operation(
            end_discount, term="discount", help_text=gettext_lazy("The first day of the first month without it.")
        ),
    )

    def add_row(self, answers: dict[str, Any], actor: str) -> Discount:
        return add_discount(**answers, actor=actor, now=timezone.now())

    @admin.display(description=gettext_lazy("discount"))
    def size(self, row: Discount) -> str:
        if row.share is not None:
            return f"{percent_text(row.share)} %"
        return _("%(won)s won a month") % {"won": won(row.amount_krw or 0)}

    @admin.display(description=gettext_lazy("of"))
    def limit(self, row: Discount) -> str:
        if row.provider is not None:
            return row.provider.slug
        return _("every model") if row.models_covered is None else ", ".join(row.models_covered)
