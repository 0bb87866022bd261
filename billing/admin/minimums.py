"""Monthly minimums of contracts: agreeing on one, and ending it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.utils import timezone
from django.utils.translation import gettext_lazy

from accounts.admin import CustomerFilter, DateInput, ReasonForm, RowSelect
from accounts.models import Customer
from billing.admin.asking import WonField
from billing.admin.contracts import first_of_month
from billing.admin.ending import end_operation
from billing.admin.terms import TermAdmin
from billing.models import MonthlyMinimum
from billing.services.minimums import end_minimum, set_minimum


class MinimumForm(ReasonForm):
    customer = forms.ModelChoiceField(
        label=gettext_lazy("customer"),
        queryset=Customer.objects.all(),
        widget=RowSelect(MonthlyMinimum, "customer"),
    )
    amount_krw = WonField(
        label=gettext_lazy("won a month"), help_text=gettext_lazy("Supply value after discounts, before VAT.")
    )
    applies_without_usage = forms.BooleanField(
        label=gettext_lazy("also without usage"),
        required=False,
        initial=True,
        help_text=gettext_lazy("A month in which nothing was used is invoiced too."),
    )
    effective_from = forms.DateField(
        label=gettext_lazy("from"),
        widget=DateInput(),
        initial=first_of_month,
        help_text=gettext_lazy("A month that is covered in part owes it by days."),
    )
    effective_to = forms.DateField(
        label=gettext_lazy("to"),
        widget=DateInput(),
        required=False,
        help_text=gettext_lazy("The first day without it; empty: until it is ended."),
    )
    field_order = ("customer", "amount_krw", "applies_without_usage", "effective_from", "effective_to", "reason")


@admin.register(MonthlyMinimum)
class MonthlyMinimumAdmin(TermAdmin):
    add_form = MinimumForm
    add_note = gettext_lazy(
        "What a month is short of it after discounts stands on the invoice as a line of its own. Promotional credit pays "
        "usage and never this line. The minimum in force ends where this one begins."
    )
    list_display = (
        "customer", "amount_krw", "applies_without_usage", "effective_from", "effective_to", "actor", "created_at",
    )  # fmt: skip
    list_filter = (CustomerFilter, "applies_without_usage")
    list_select_related = ("customer",)
    search_fields = ("customer__slug", "customer__name")
    date_hierarchy = "effective_from"
    fields = (
        "customer", "amount_krw", "applies_without_usage", "effective_from", "effective_to", "reason", "actor", "created_at",
    )  # fmt: skip
    operations = (end_operation(end_minimum, term="minimum", help_text=gettext_lazy("The first day without it.")),)

    def add_row(self, answers: dict[str, Any], actor: str) -> MonthlyMinimum:
        return set_minimum(**answers, actor=actor, now=timezone.now())
