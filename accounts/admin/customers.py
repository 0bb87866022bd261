"""Customers: added through a service; terms are changed with a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _

from accounts.admin.inputs import RowsSelected
from accounts.admin.operating import OperationForm, OperatorAdmin, ServiceAddMixin
from accounts.admin.reading import ReadOnlyInline
from accounts.models import Customer, Membership, TaxProfile
from accounts.services import create_customer

if TYPE_CHECKING:
    from accounts.admin.reading import Text

#: (text, URL name of a list that has a `CustomerFilter`): what a customer's page leads to. Higher apps add their lists.
CUSTOMER_LINKS: list[tuple[Text, str]] = [(_("API keys"), "admin:accounts_apikey_changelist")]

TERMS = (
    "status",
    "locale",
    "exchange_rule",
    "fixed_rate_krw_per_usd",
    "invoice_currency",
    "rounding",
    "payment_due_days",
)


class TermsForm(forms.ModelForm):
    """The contract's terms; the rate belongs to the fixed rule and to no other, dollars to the rules of one rate."""

    class Meta:
        model = Customer
        fields = ("slug", "name", *TERMS)

    def clean(self) -> dict[str, Any]:
        terms = super().clean() or {}
        is_fixed = terms.get("exchange_rule") == Customer.ExchangeRule.FIXED
        rate = terms.get("fixed_rate_krw_per_usd")
        if is_fixed and not (rate and rate > 0):
            self.add_error("fixed_rate_krw_per_usd", _("The contract rate rule needs a rate above 0."))
        if not is_fixed and rate is not None:
            self.add_error("fixed_rate_krw_per_usd", _("Only the contract rate rule has a rate."))
        in_dollars = terms.get("invoice_currency") == Customer.Currency.USD
        if in_dollars and terms.get("exchange_rule") == Customer.ExchangeRule.DAILY:
            text = _("An invoice in dollars needs one rate for the month, not one for each day.")
            is_older = "invoice_currency" not in self.changed_data
            self.add_error("exchange_rule" if is_older else "invoice_currency", text)
        return terms


class NewCustomerForm(TermsForm, OperationForm):
    """A new customer. `TermsForm` reads, the service writes."""


class ChangedTermsForm(TermsForm):
    """Changed terms hold for every month that is not closed yet, so somebody says why."""

    reason = forms.CharField(label=_("Reason"), max_length=300, widget=forms.Textarea(attrs={"rows": 2}))


class MembershipInline(RowsSelected, admin.TabularInline):
    model = Membership
    extra = 0
    autocomplete_fields = ("user",)


class TaxProfileInline(ReadOnlyInline):
    model = TaxProfile
    fields = ("valid_from", "kind", "registration_no", "name", "ceo_name", "email", "email2", "created_by")
    show_change_link = True


@admin.register(Customer)
class CustomerAdmin(ServiceAddMixin, OperatorAdmin):
    form = ChangedTermsForm
    add_form = NewCustomerForm
    add_note = _("The slug stands in addresses and events and is never changed.")
    list_display = ("slug", "name", "status", "exchange_rule", "fixed_rate_krw_per_usd", "rounding", "created_at")
    list_filter = ("status", "exchange_rule", "invoice_currency", "locale")
    search_fields = ("slug", "name", "tax_profiles__registration_no")
    readonly_fields = ("slug", "created_at")
    fields = ("slug", "name", *TERMS, "created_at", "reason")
    inlines = (TaxProfileInline, MembershipInline)

    def add_row(self, answers: dict[str, Any], actor: str) -> Customer:
        return create_customer(actor=actor, **answers)

    def links(self, row: Customer) -> list[tuple[Text, str]]:
        new_profile = reverse("admin:accounts_taxprofile_add")
        lists = [(text, f"{reverse(name)}?{urlencode({'customer': row.slug})}") for text, name in CUSTOMER_LINKS]
        return [(_("New tax profile"), f"{new_profile}?{urlencode({'customer': row.pk})}"), *lists]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def construct_change_message(
        self, request: HttpRequest, form: forms.Form, formsets: Any, add: bool = False
    ) -> list[Any]:
        """Django's message with the values before and after, because these are terms of a contract."""
        values = {
            name: [_text(form.initial.get(name)), _text(form.cleaned_data.get(name))]
            for name in form.changed_data
            if name != "reason"
        }
        return [*super().construct_change_message(request, form, formsets, add), {"values": values}]


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
