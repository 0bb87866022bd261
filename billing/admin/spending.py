"""What customers may still spend, and the terms they spend on."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.admin import EMPTY, CustomerFilter, Operation, ReadOnlyAdmin, ReadOnlyInline, ReasonForm
from billing.models import SpendingAccount, SpendingTerm
from billing.selectors.spending import available_krw
from billing.services.spending import refresh_spending, set_credit_terms
from catalog.models import Model


class TermsForm(ReasonForm):
    """Both terms of an account."""

    credit_limit_krw = forms.IntegerField(
        label=gettext_lazy("credit limit (KRW)"),
        required=False,
        min_value=0,
        help_text=gettext_lazy("Won with VAT that may be owed; empty: no limit, or 0 for a customer that pays ahead."),
    )
    is_prepaid = forms.BooleanField(label=gettext_lazy("pays ahead"), required=False)

    def __init__(self, *args: Any, row: Any = None, **options: Any) -> None:
        super().__init__(*args, row=row, **options)
        self.order_fields(["credit_limit_krw", "is_prepaid", "reason"])
        if row is not None:
            self.initial.update({"credit_limit_krw": row.credit_limit_krw, "is_prepaid": row.is_prepaid})


def _set_terms(account: SpendingAccount, answers: dict[str, Any], actor: str) -> str:
    set_credit_terms(
        customer=account.customer,
        credit_limit_krw=answers["credit_limit_krw"],
        is_prepaid=answers["is_prepaid"],
        reason=answers["reason"],
        actor=actor,
        now=timezone.now(),
    )
    return _("Terms set: they hold for the next call.")


def _recount(account: SpendingAccount, answers: dict[str, Any], actor: str) -> str:
    refresh_spending(customer_ids=[account.customer_id], now=timezone.now())
    return _("Recounted from the ledger and the usage.")


class TermInline(ReadOnlyInline):
    model = SpendingTerm
    fields = ("of_model", "basis", "factor_krw_per_usd")
    readonly_fields = fields

    @admin.display(description=gettext_lazy("model"))
    def of_model(self, term: SpendingTerm) -> str:
        return Model.objects.values_list("model_id", flat=True).get(pk=term.model_id)


@admin.register(SpendingAccount)
class SpendingAccountAdmin(ReadOnlyAdmin):
    list_display = (
        "customer",
        "is_prepaid",
        "credit_limit_krw",
        "prepaid_krw",
        "receivable_krw",
        "unbilled_krw",
        "held_krw",
        "available",
    )
    list_filter = (CustomerFilter, "is_prepaid")
    list_select_related = ("customer",)
    search_fields = ("customer__slug", "customer__name")
    ordering = ("customer__slug",)
    inlines = (TermInline,)
    operations = (
        Operation(
            name="terms",
            label=gettext_lazy("Set terms"),
            note=gettext_lazy("What the customer may owe. Calls under way go on; new ones are measured by it."),
            form=TermsForm,
            run=_set_terms,
        ),
        Operation(
            name="recount",
            label=gettext_lazy("Recount"),
            note=gettext_lazy("Counts the amounts anew from the ledger and the usage, with the rate of today."),
            is_bulk=True,
            run=_recount,
        ),
    )

    @admin.display(description=gettext_lazy("may still spend (KRW)"))
    def available(self, account: SpendingAccount) -> str:
        left = available_krw(account)
        return EMPTY if left is None else f"{left // 1:,}"
