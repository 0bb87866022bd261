"""Money received ahead, and when a customer hears that it runs low."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.admin import (
    CustomerFilter,
    Operation,
    OperationForm,
    ReadOnlyAdmin,
    ReadOnlyInline,
    RowSelect,
    ServiceAddAdmin,
    list_url,
)
from accounts.models import Customer
from billing.admin.asking import PartForm, RefundForm, WonField
from billing.formatting import won
from billing.models import Allocation, Prepayment, PrepaymentWithdrawal, TopUpRequest, TopUpSetting
from billing.services.prepaying import refund_prepayment, withdraw_prepayment
from billing.services.topping_up import set_top_up, stop_top_up


def _withdraw(prepayment: Prepayment, answers: dict[str, Any], actor: str) -> str:
    made = withdraw_prepayment(
        prepayment=prepayment,
        amount_krw=answers["amount_krw"],
        reason=answers["reason"],
        actor=actor,
        now=timezone.now(),
    )
    return _("%(won)s won are unapplied again.") % {"won": won(made.amount_krw)}


def _refund(prepayment: Prepayment, answers: dict[str, Any], actor: str) -> str:
    made = refund_prepayment(
        prepayment=prepayment,
        amount_krw=answers["amount_krw"],
        reference=answers["reference"],
        refunded_at=answers["refunded_at"],
        reason=answers["reason"],
        actor=actor,
    )
    return _("%(won)s won noted as sent back.") % {"won": won(made.amount_krw)}


class WithdrawalInline(ReadOnlyInline):
    model = PrepaymentWithdrawal
    fields = ("amount_krw", "reason", "actor", "withdrawn_at")


@admin.register(Prepayment)
class PrepaymentAdmin(ReadOnlyAdmin):
    list_display = (
        "created_at", "customer", "amount_krw", "remaining", "consumed_krw", "refunded_krw", "withdrawn_krw", "payment",
    )  # fmt: skip
    list_filter = (CustomerFilter,)
    list_select_related = ("customer", "payment")
    search_fields = ("customer__slug", "customer__name", "payment__reference")
    date_hierarchy = "created_at"
    fields = (
        "customer", "payment", "amount_krw", "remaining", "consumed_krw", "refunded_krw", "withdrawn_krw", "actor",
        "created_at",
    )  # fmt: skip
    inlines = (WithdrawalInline,)
    operations = (
        Operation(
            name="withdraw",
            label=gettext_lazy("Keep no longer"),
            note=gettext_lazy("Puts the won back among those of the deposit that pay nothing yet."),
            form=PartForm,
            applies=lambda prepayment: prepayment.remaining_krw > 0,
            run=_withdraw,
        ),
        Operation(
            name="refund",
            label=gettext_lazy("Note a refund"),
            note=gettext_lazy("Notes a transfer that sent the rest back. No money is moved here."),
            form=RefundForm,
            applies=lambda prepayment: prepayment.remaining_krw > 0,
            run=_refund,
        ),
    )

    def links(self, row: Prepayment) -> list[tuple[str, str]]:
        return [(_("Allocations"), list_url(Allocation, q=row.payment.reference))]

    @admin.display(description=gettext_lazy("left (KRW)"))
    def remaining(self, row: Prepayment) -> str:
        return won(row.remaining_krw)


class TopUpForm(OperationForm):
    customer = forms.ModelChoiceField(
        label=gettext_lazy("customer"),
        queryset=Customer.objects.all(),
        widget=RowSelect(TopUpSetting, "customer"),
    )
    threshold_krw = WonField(
        label=gettext_lazy("low below (KRW)"),
        help_text=gettext_lazy("Of the prepayment, less the usage that is not invoiced yet."),
    )
    amount_krw = WonField(
        label=gettext_lazy("deposit to ask for (KRW)"),
        required=False,
        help_text=gettext_lazy("Empty: the mail only tells."),
    )


def _stop(setting: TopUpSetting, answers: dict[str, Any], actor: str) -> str:
    stop_top_up(customer=setting.customer, actor=actor, now=timezone.now())
    return _("The customer is told no more.")


@admin.register(TopUpSetting)
class TopUpSettingAdmin(ServiceAddAdmin):
    add_form = TopUpForm
    add_note = gettext_lazy("Replaces what was set for the customer before. It is looked at every hour.")
    list_display = ("customer", "threshold_krw", "amount_krw", "actor", "updated_at")
    list_filter = (CustomerFilter,)
    list_select_related = ("customer",)
    search_fields = ("customer__slug", "customer__name")
    operations = (
        Operation(
            name="stop",
            label=gettext_lazy("Stop"),
            note=gettext_lazy("The customer hears no more of a low balance."),
            form=OperationForm,
            run=_stop,
        ),
    )

    def add_row(self, answers: dict[str, Any], actor: str) -> TopUpSetting:
        return set_top_up(**answers, actor=actor, now=timezone.now())


@admin.register(TopUpRequest)
class TopUpRequestAdmin(ReadOnlyAdmin):
    list_display = ("requested_at", "customer", "status", "amount_krw", "deposit_code", "answered_at")
    list_filter = ("status", CustomerFilter)
    list_select_related = ("customer",)
    search_fields = ("deposit_code", "customer__slug", "customer__name")
    date_hierarchy = "requested_at"
