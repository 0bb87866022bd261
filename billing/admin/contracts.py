"""Exchange rates, margins, holidays: the terms by which usage becomes won."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.admin import (
    CUSTOMER_LINKS,
    CustomerFilter,
    DateInput,
    OperationForm,
    OperatorAdmin,
    ReasonForm,
    RowSelect,
    ServiceAddAdmin,
)
from accounts.models import Customer
from billing.admin.terms import TermAdmin
from billing.formatting import percent_text
from billing.margins import Basis
from billing.models import ExchangeRate, HolidayOverride, MarginRule
from billing.services.exchange import set_rate
from billing.services.margins import set_margin
from catalog.models import Model, Provider
from catalog.money import parse_decimal
from usage.periods import KST

CUSTOMER_LINKS += [
    (_("Margin rules"), "admin:billing_marginrule_changelist"),
    (_("Discounts"), "admin:billing_discount_changelist"),
    (_("Monthly minimums"), "admin:billing_monthlyminimum_changelist"),
    (_("Zero ratings"), "admin:billing_zerorating_changelist"),
    (_("Invoices"), "admin:billing_invoice_changelist"),
    (_("Deliveries"), "admin:billing_delivery_changelist"),
    (_("Payments"), "admin:billing_payment_changelist"),
    (_("Prepayments"), "admin:billing_prepayment_changelist"),
    (_("Promotional credits"), "admin:billing_promotionalcredit_changelist"),
    (_("Ledger"), "admin:billing_ledgertransaction_changelist"),
]


class PlainDecimalField(forms.CharField):
    """A decimal as it is written in the house: ASCII digits and one point. 1,443.20 or 1e3 is asked again, not guessed."""

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        if not text:
            return None
        try:
            return parse_decimal(text, field=str(self.label))
        except ValueError:
            raise forms.ValidationError(
                _("Enter a plain number such as 1443.20: digits and one point, no separators.")
            ) from None


def today() -> Any:
    """The day in Korea."""
    return timezone.now().astimezone(KST).date()


def first_of_month() -> Any:
    """The first day of the running month in Korea."""
    return today().replace(day=1)


class RateForm(ReasonForm):
    """Fields are named as the service names them in its refusals."""

    date = forms.DateField(label=_("published for"), widget=DateInput(), initial=today)
    rate = PlainDecimalField(label=_("KRW per USD"), help_text=_("As published, such as 1443.20."))
    source = forms.CharField(
        label=_("source"), max_length=100, help_text=_("Who published it, such as 서울외국환중개.")
    )
    field_order = ("date", "rate", "source", "reason")


@admin.register(ExchangeRate)
class ExchangeRateAdmin(ServiceAddAdmin):
    add_form = RateForm
    add_note = _("A newer row for the same day corrects an older one; invoices issued earlier keep their rate.")
    list_display = ("rate_on", "rate", "source", "reason", "actor", "created_at")
    list_filter = ("source",)
    search_fields = ("source", "reason", "actor")
    date_hierarchy = "rate_on"

    def add_row(self, answers: dict[str, Any], actor: str) -> ExchangeRate:
        return set_rate(
            rate_on=answers["date"],
            rate=answers["rate"],
            source=answers["source"],
            reason=answers["reason"],
            actor=actor,
            now=timezone.now(),
        )


class MarginForm(OperationForm):
    customer = forms.ModelChoiceField(
        label=_("customer"),
        queryset=Customer.objects.all(),
        required=False,
        help_text=_("Empty: everybody without a rule of their own."),
        widget=RowSelect(MarginRule, "customer"),
    )
    provider = forms.ModelChoiceField(
        label=_("provider"),
        queryset=Provider.objects.all(),
        required=False,
        help_text=_("At most one of provider, model family and model; none of them: everything."),
        widget=RowSelect(MarginRule, "provider"),
    )
    family = forms.CharField(
        label=_("model family"),
        required=False,
        max_length=200,
        help_text=_("How the ids of its models begin, such as anthropic/claude-."),
    )
    model = forms.ModelChoiceField(
        label=_("model"),
        queryset=Model.objects.all(),
        required=False,
        widget=RowSelect(MarginRule, "model"),
    )
    margin = PlainDecimalField(label=_("margin"), help_text=_("Share of the selling price: 0.15 is 15 %."))
    basis = forms.ChoiceField(
        label=_("reckoned on"),
        choices=[("", _("as the rule before, at first our list price")), *MarginRule.Basis.choices],
        required=False,
    )
    effective_from = forms.DateField(label=_("from"), widget=DateInput(), initial=today)


@admin.register(MarginRule)
class MarginRuleAdmin(TermAdmin):
    add_form = MarginForm
    add_note = _(
        "The rules in force on a month's last day hold for the whole month. The most specific one wins: a customer's own "
        "before everybody's, then model, model family, provider, everything. The open rule ends where this begins."
    )
    list_display = ("whose", "about", "percent", "basis", "effective_from", "effective_to", "created_by", "created_at")
    list_filter = (CustomerFilter, "basis")
    list_select_related = ("customer", "provider", "model")
    search_fields = ("family", "provider__slug", "model__model_id")

    def add_row(self, answers: dict[str, Any], actor: str) -> MarginRule:
        return set_margin(
            customer=answers["customer"],
            provider=answers["provider"],
            family=answers["family"],
            model=answers["model"],
            margin=answers["margin"],
            basis=Basis(answers["basis"]) if answers["basis"] else None,
            effective_from=answers["effective_from"],
            actor=actor,
        )

    @admin.display(description=_("customer"), ordering="customer__slug")
    def whose(self, rule: MarginRule) -> str:
        return rule.customer.slug if rule.customer else str(_("everybody else"))

    @admin.display(description=_("for"))
    def about(self, rule: MarginRule) -> str:
        return str(rule.provider or rule.family or rule.model or _("everything"))

    @admin.display(description=_("margin"), ordering="margin")
    def percent(self, rule: MarginRule) -> str:
        return f"{percent_text(rule.margin)} %"


@admin.register(HolidayOverride)
class HolidayOverrideAdmin(OperatorAdmin):
    """The one fact of billing that is edited: it moves deadlines of tax invoices that are still to be recorded."""

    list_display = ("day", "is_holiday", "note")
    list_filter = ("is_holiday",)
    search_fields = ("note",)
    date_hierarchy = "day"
