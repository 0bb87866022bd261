"""Zero rating: recording the evidence, and withdrawing it."""

from __future__ import annotations

from datetime import date
from typing import Any

from django import forms
from django.contrib import admin
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.admin import CustomerFilter, DateInput, Operation, ReasonForm, RowSelect
from accounts.models import Customer
from billing.admin.contracts import first_of_month
from billing.admin.terms import TermAdmin
from billing.models import ZeroRating
from billing.services.zero_rating import record_zero_rating, withdraw_zero_rating


class ZeroRatingForm(ReasonForm):
    customer = forms.ModelChoiceField(
        label=gettext_lazy("customer"),
        queryset=Customer.objects.all(),
        widget=RowSelect(ZeroRating, "customer"),
    )
    article = forms.ChoiceField(label=gettext_lazy("article of the law"), choices=ZeroRating.Article.choices)
    clause = forms.CharField(
        label=gettext_lazy("clause"),
        max_length=100,
        required=False,
        help_text=gettext_lazy("Such as 시행령 제33조 제2항 제1호."),
    )
    reference = forms.CharField(
        label=gettext_lazy("evidence"),
        max_length=200,
        help_text=gettext_lazy("Which document proves it and where it is kept."),
    )
    sha256 = forms.CharField(
        label="SHA-256",
        max_length=64,
        min_length=64,
        help_text=gettext_lazy("Of the document's file: sha256sum prints it."),
        widget=forms.TextInput(attrs={"size": 68}),
    )
    accepted_by = forms.CharField(
        label=gettext_lazy("accepted by"),
        max_length=200,
        help_text=gettext_lazy("Who has looked at the document, such as the tax adviser."),
    )
    effective_from = forms.DateField(
        label=gettext_lazy("from"),
        widget=DateInput(),
        initial=first_of_month,
        help_text=gettext_lazy("The first day of a month: evidence holds for whole months."),
    )
    effective_to = forms.DateField(
        label=gettext_lazy("to"),
        widget=DateInput(),
        required=False,
        help_text=gettext_lazy("The first day of the first month without it; empty: until it is withdrawn."),
    )
    field_order = (
        "customer", "article", "clause", "reference", "sha256", "accepted_by", "effective_from", "effective_to", "reason",
    )  # fmt: skip


def _withdraw(zero_rating: ZeroRating, answers: dict[str, Any], actor: str) -> str:
    done = withdraw_zero_rating(zero_rating=zero_rating, reason=answers["reason"], actor=actor, now=timezone.now())
    end: date | None = done.effective_to
    return _("VAT is 10 %% again from %(day)s on.") % {"day": end.isoformat() if end else ""}


@admin.register(ZeroRating)
class ZeroRatingAdmin(TermAdmin):
    add_form = ZeroRatingForm
    add_note = gettext_lazy(
        "Invoices of these months carry no VAT and get a zero-rated tax invoice (영세율). Without such evidence VAT is "
        "always 10 %: an address abroad is none."
    )
    list_display = (
        "customer", "law", "reference", "accepted_by", "effective_from", "effective_to", "actor", "created_at",
    )  # fmt: skip
    list_filter = (CustomerFilter, "article")
    list_select_related = ("customer",)
    search_fields = ("customer__slug", "customer__name", "reference", "sha256")
    date_hierarchy = "effective_from"
    fields = (
        "customer", "article", "clause", "reference", "sha256", "accepted_by", "effective_from", "effective_to", "reason",
        "actor", "created_at",
    )  # fmt: skip
    operations = (
        Operation(
            name="withdraw",
            label=gettext_lazy("Withdraw"),
            note=gettext_lazy("VAT is 10 % again from next month on. Issued invoices stay as they are."),
            form=ReasonForm,
            run=_withdraw,
        ),
    )

    def add_row(self, answers: dict[str, Any], actor: str) -> ZeroRating:
        return record_zero_rating(**answers, actor=actor, now=timezone.now())

    @admin.display(description=gettext_lazy("article of the law"), ordering="article")
    def law(self, row: ZeroRating) -> str:
        return row.law
