"""Deposits and what became of them. A deposit is written down once; everything else is an operation with a reason."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteSelect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.admin import (
    CustomerFilter,
    Operation,
    OperationForm,
    ReadOnlyAdmin,
    ReadOnlyInline,
    ReasonForm,
    ServiceAddAdmin,
    list_url,
)
from accounts.errors import NotFound
from accounts.models import Customer
from billing.admin.asking import RefundForm, WonField, moment_field
from billing.admin.deliveries import InvoiceCustomerFilter, InvoiceMonthFilter
from billing.formatting import won
from billing.models import (
    Allocation,
    AllocationReversal,
    Invoice,
    LedgerTransaction,
    Payment,
    PaymentAssignment,
    PaymentReversal,
    Refund,
)
from billing.services.allocating import allocate_payment, reverse_allocation
from billing.services.paying import (
    assign_payment,
    match_payment,
    record_payment,
    refund_payment,
    reverse_payment,
)
from billing.services.prepaying import set_aside


class PaymentForm(OperationForm):
    reference = forms.CharField(
        label=gettext_lazy("bank reference"),
        max_length=100,
        help_text=gettext_lazy("The bank's own id of the line: two equal deposits have two."),
    )
    received_at = moment_field(gettext_lazy("received"))
    amount_krw = WonField(label=gettext_lazy("amount (KRW)"))
    depositor_name = forms.CharField(label=gettext_lazy("depositor"), max_length=100, required=False)
    customer = forms.ModelChoiceField(
        label=gettext_lazy("customer"),
        queryset=Customer.objects.all(),
        required=False,
        help_text=gettext_lazy("Empty: nobody's until it is matched or assigned."),
        widget=AutocompleteSelect(Payment._meta.get_field("customer"), admin.site),
    )


class AssignForm(ReasonForm):
    customer = forms.ModelChoiceField(
        label=gettext_lazy("customer"),
        queryset=Customer.objects.all(),
        widget=AutocompleteSelect(Payment._meta.get_field("customer"), admin.site),
    )
    field_order = ("customer", "reason")


class AllocateForm(OperationForm):
    """Which invoice, and how much of it."""

    invoice = forms.CharField(label=gettext_lazy("invoice no."), max_length=30)
    amount_krw = WonField(
        label=gettext_lazy("amount (KRW)"), required=False, help_text=gettext_lazy("Empty: as much as both have left.")
    )


class SetAsideForm(OperationForm):
    amount_krw = WonField(
        label=gettext_lazy("amount (KRW)"), required=False, help_text=gettext_lazy("Empty: all that is left.")
    )


def _match(payment: Payment, answers: dict[str, Any], actor: str) -> str:
    made = match_payment(payment=payment, actor=actor, now=timezone.now())
    if not made:
        return _("Nothing was paid: the depositor's name names no open invoice that fits.")
    return _("Paid: %(invoices)s.") % {"invoices": ", ".join(str(one.invoice) for one in made)}


def _assign(payment: Payment, answers: dict[str, Any], actor: str) -> str:
    row = assign_payment(
        payment=payment, customer=answers["customer"], reason=answers["reason"], actor=actor, now=timezone.now()
    )
    return _("Assigned to %(customer)s.") % {"customer": row.customer}


def _allocate(payment: Payment, answers: dict[str, Any], actor: str) -> str:
    invoice = Invoice.objects.filter(number=answers["invoice"].strip()).select_related("customer").first()
    if invoice is None:
        raise NotFound(f"there is no invoice {answers['invoice']}", field="invoice")
    made = allocate_payment(
        payment=payment, invoice=invoice, amount_krw=answers["amount_krw"], actor=actor, now=timezone.now()
    )
    return _("%(won)s won paid on %(invoice)s.") % {"won": won(made.amount_krw), "invoice": invoice}


def _set_aside(payment: Payment, answers: dict[str, Any], actor: str) -> str:
    made = set_aside(payment=payment, amount_krw=answers["amount_krw"], actor=actor, now=timezone.now())
    return _("%(won)s won are kept for invoices to come.") % {"won": won(made.amount_krw)}


def _refund(payment: Payment, answers: dict[str, Any], actor: str) -> str:
    made = refund_payment(
        payment=payment,
        amount_krw=answers["amount_krw"],
        reference=answers["reference"],
        refunded_at=answers["refunded_at"],
        reason=answers["reason"],
        actor=actor,
    )
    return _("%(won)s won noted as sent back.") % {"won": won(made.amount_krw)}


def _reverse(payment: Payment, answers: dict[str, Any], actor: str) -> str:
    reverse_payment(payment=payment, reason=answers["reason"], actor=actor, now=timezone.now())
    return _("Taken back. What it had paid is due again.")


class AssignmentInline(ReadOnlyInline):
    model = PaymentAssignment
    fields = ("customer", "reason", "actor", "assigned_at")


class ReversalInline(ReadOnlyInline):
    model = PaymentReversal
    fields = ("reason", "actor", "reversed_at")


@admin.register(Payment)
class PaymentAdmin(ServiceAddAdmin):
    add_form = PaymentForm
    add_note = gettext_lazy("One line of the bank account. It is matched and allocated afterwards.")
    list_display = (
        "received_at", "amount_krw", "depositor_name", "customer", "unapplied", "is_reversed", "reference", "actor",
    )  # fmt: skip
    list_filter = (CustomerFilter, ("customer", admin.EmptyFieldListFilter), "is_reversed")
    list_select_related = ("customer",)
    search_fields = ("reference", "depositor_name", "customer__slug", "customer__name")
    date_hierarchy = "received_at"
    fields = (
        "reference", "received_at", "amount_krw", "depositor_name", "customer", "unapplied", "allocated_krw",
        "prepaid_krw", "refunded_krw", "is_reversed", "actor", "created_at",
    )  # fmt: skip
    inlines = (AssignmentInline, ReversalInline)
    operations = (
        Operation(
            name="match",
            label=gettext_lazy("Match by the deposit code"),
            note=gettext_lazy(
                "Pays the invoices that the depositor's name names, or keeps it as the top-up asked for."
            ),
            form=OperationForm,
            applies=lambda payment: payment.unapplied_krw > 0,
            is_bulk=True,
            run=_match,
        ),
        Operation(
            name="assign",
            label=gettext_lazy("Assign to a customer"),
            note=gettext_lazy("Says whose the deposit is; once."),
            form=AssignForm,
            applies=lambda payment: payment.customer_id is None and payment.unapplied_krw > 0,
            run=_assign,
        ),
        Operation(
            name="allocate",
            label=gettext_lazy("Pay an invoice"),
            note=gettext_lazy("Pays an invoice of the same customer from what is left of the deposit."),
            form=AllocateForm,
            applies=lambda payment: payment.customer_id is not None and payment.unapplied_krw > 0,
            run=_allocate,
        ),
        Operation(
            name="set_aside",
            label=gettext_lazy("Keep as prepayment"),
            note=gettext_lazy("Pays invoices to come by itself, the oldest prepayment first."),
            form=SetAsideForm,
            applies=lambda payment: payment.customer_id is not None and payment.unapplied_krw > 0,
            run=_set_aside,
        ),
        Operation(
            name="refund",
            label=gettext_lazy("Note a refund"),
            note=gettext_lazy("Notes a transfer that sent unapplied won back. No money is moved here."),
            form=RefundForm,
            applies=lambda payment: payment.unapplied_krw > 0,
            run=_refund,
        ),
        Operation(
            name="reverse",
            label=gettext_lazy("Take back"),
            note=gettext_lazy(
                "The deposit was none: returned, or written down by mistake. Its invoices are due again."
            ),
            applies=lambda payment: not payment.is_reversed and not payment.refunded_krw,
            run=_reverse,
        ),
    )

    def add_row(self, answers: dict[str, Any], actor: str) -> Payment:
        return record_payment(**answers, actor=actor, now=timezone.now())

    def links(self, row: Payment) -> list[tuple[str, str]]:
        return [(_("Allocations"), list_url(Allocation, q=row.reference))]

    @admin.display(description=gettext_lazy("left (KRW)"))
    def unapplied(self, row: Payment) -> str:
        return won(row.unapplied_krw)


def _reverse_allocation(allocation: Allocation, answers: dict[str, Any], actor: str) -> str:
    reverse_allocation(allocation=allocation, reason=answers["reason"], actor=actor, now=timezone.now())
    return _("Taken back. The invoice is due again.")


class AllocationReversalInline(ReadOnlyInline):
    model = AllocationReversal
    fields = ("reason", "actor", "reversed_at")


@admin.register(Allocation)
class AllocationAdmin(ReadOnlyAdmin):
    list_display = ("allocated_at", "invoice", "source", "amount_krw", "payment", "prepayment", "taken_back", "actor")
    list_filter = ("source", InvoiceCustomerFilter, InvoiceMonthFilter)
    list_select_related = ("invoice", "payment", "prepayment__customer", "reversal")
    search_fields = ("invoice__number", "payment__reference", "prepayment__payment__reference")
    date_hierarchy = "allocated_at"
    fields = (
        "invoice", "source", "payment", "prepayment", "amount_krw", "allocated_at", "reason", "actor",
        "ledger_transaction",
    )  # fmt: skip
    inlines = (AllocationReversalInline,)
    operations = (
        Operation(
            name="reverse",
            label=gettext_lazy("Take back"),
            note=gettext_lazy("The invoice is due again, and the money free."),
            applies=lambda allocation: (
                allocation.source != Allocation.Source.CREDIT_NOTE and not hasattr(allocation, "reversal")
            ),
            run=_reverse_allocation,
        ),
    )

    def links(self, row: Allocation) -> list[tuple[str, str]]:
        return [(_("Ledger"), list_url(LedgerTransaction, q=row.invoice.number or ""))]

    @admin.display(description=gettext_lazy("taken back"), boolean=True)
    def taken_back(self, row: Allocation) -> bool:
        return hasattr(row, "reversal")


@admin.register(Refund)
class RefundAdmin(ReadOnlyAdmin):
    list_display = ("refunded_at", "amount_krw", "payment", "prepayment", "reference", "reason", "actor")
    list_select_related = ("payment", "prepayment__customer")
    search_fields = ("reference", "payment__reference", "prepayment__payment__reference")
    date_hierarchy = "refunded_at"
