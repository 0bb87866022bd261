"""Tax identities, the customers' and our own: a change is a new version from a day on."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.forms.models import fields_for_model
from django.utils.translation import gettext_lazy as _

from accounts.admin.filters import CustomerFilter
from accounts.admin.inputs import DateInput, RowSelect
from accounts.admin.operating import OperationForm, ServiceAddAdmin
from accounts.identifiers import format_brn
from accounts.models import BusinessIdentity, Customer, SellerProfile, TaxProfile
from accounts.services import add_seller_profile, add_tax_profile

PARTY = ("registration_no", "name", "ceo_name", "address", "business_type", "business_class", "email")


class IdentityForm(OperationForm):
    """Asks for the fields of an identity model; its rules are checked by the service, which names the field."""

    model: type[BusinessIdentity]
    asked: tuple[str, ...]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields.update(fields_for_model(self.model, fields=self.asked, widgets={"valid_from": DateInput()}))


class TaxProfileForm(IdentityForm):
    model = TaxProfile
    asked = ("kind", "valid_from", *PARTY, "email2", "foreign_id")

    customer = forms.ModelChoiceField(
        label=_("customer"),
        queryset=Customer.objects.all(),
        widget=RowSelect(TaxProfile, "customer"),
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # A foreign company has none, and the service puts the tax form's own number there.
        self.fields["registration_no"].required = False

    def clean(self) -> dict[str, Any]:
        answers = super().clean() or {}
        is_foreign = answers.get("kind") == TaxProfile.Kind.FOREIGN
        if is_foreign and not answers.get("foreign_id"):
            self.add_error("foreign_id", _("A foreign company is named by its own registration or passport number."))
        if not is_foreign and answers.get("foreign_id"):
            self.add_error("foreign_id", _("Only a foreign company has this."))
        return answers


class SellerProfileForm(IdentityForm):
    model = SellerProfile
    asked = ("valid_from", *PARTY, "phone", "bank_name", "bank_account_no", "bank_account_holder", "bank_account_usd")


@admin.display(description=_("business registration no."), ordering="registration_no")
def registration_no(row: Any) -> str:
    """The usual 3-2-5 digits; a foreign company's own number."""
    if getattr(row, "kind", "") == TaxProfile.Kind.FOREIGN:
        return str(row.foreign_id)
    return format_brn(row.registration_no)


@admin.register(TaxProfile)
class TaxProfileAdmin(ServiceAddAdmin):
    add_form = TaxProfileForm
    add_note = _("Invoices issued earlier keep the version they were issued with.")
    list_display = ("customer", "valid_from", "kind", registration_no, "name", "ceo_name", "email", "created_by")
    list_filter = (CustomerFilter, "kind")
    list_select_related = ("customer",)
    search_fields = ("customer__slug", "name", "registration_no", "foreign_id", "email")
    ordering = ("customer__slug", "-valid_from")

    def add_row(self, answers: dict[str, Any], actor: str) -> TaxProfile:
        return add_tax_profile(actor=actor, **answers)


@admin.register(SellerProfile)
class SellerProfileAdmin(ServiceAddAdmin):
    add_form = SellerProfileForm
    add_note = _("The supplier and the bank account of every invoice issued from that day on.")
    list_display = ("name", registration_no, "valid_from", "bank_name", "bank_account_no", "created_by")

    def add_row(self, answers: dict[str, Any], actor: str) -> SellerProfile:
        return add_seller_profile(actor=actor, **answers)
