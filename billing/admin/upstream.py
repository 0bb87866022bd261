"""What upstreams cost in won, and what paying them took."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.utils import timezone
from django.utils.translation import gettext_lazy

from accounts.admin import MonthFilter, OperationForm, ServiceAddAdmin
from accounts.errors import NotReady
from billing.admin.asking import WonField, moment_field
from billing.admin.contracts import PlainDecimalField
from billing.admin.runs import MonthForm
from billing.models import UpstreamAccrual, UpstreamPayment
from billing.services.costing import accrue_upstream_cost, record_upstream_payment


@admin.register(UpstreamAccrual)
class UpstreamAccrualAdmin(ServiceAddAdmin):
    add_form = MonthForm
    add_note = gettext_lazy("Books the month's upstream cost, or what has come to it since, at its last day's rate.")
    list_display = ("month", "cost_usd", "rate", "cost_krw", "actor", "created_at")
    list_filter = (MonthFilter,)

    def add_row(self, answers: dict[str, Any], actor: str) -> UpstreamAccrual:
        made = accrue_upstream_cost(month=answers["month"], actor=actor, now=timezone.now())
        if made is None:
            raise NotReady("nothing has come to that month's cost since it was booked", field="month")
        return made


class UpstreamPaymentForm(OperationForm):
    reference = forms.CharField(label=gettext_lazy("bank reference"), max_length=100)
    payee = forms.CharField(label=gettext_lazy("paid to"), max_length=100)
    paid_at = moment_field(gettext_lazy("paid"))
    amount_usd = PlainDecimalField(label=gettext_lazy("amount (USD)"))
    amount_krw = WonField(label=gettext_lazy("won taken from the bank"))


@admin.register(UpstreamPayment)
class UpstreamPaymentAdmin(ServiceAddAdmin):
    add_form = UpstreamPaymentForm
    add_note = gettext_lazy("Dollars paid, or bought ahead, with the won that the bank really took for them.")
    list_display = ("paid_at", "payee", "amount_usd", "amount_krw", "reference", "actor")
    search_fields = ("payee", "reference")
    date_hierarchy = "paid_at"

    def add_row(self, answers: dict[str, Any], actor: str) -> UpstreamPayment:
        return record_upstream_payment(**answers, actor=actor, now=timezone.now())
