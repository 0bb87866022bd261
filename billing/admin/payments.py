"""Deposits and what became of them. A deposit is written down once; everything else is an operation with a reason."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.admin import (
    EMPTY,
    CustomerFilter,
    Operation,
    OperationForm,
    ReadOnlyAdmin,
    ReadOnlyInline,
    ReasonForm,
    RowSelect,
    ServiceAddAdmin,
    list_url,
)
from accounts.models import Customer
from billing.admin.asking import RefundForm, WonField, moment_field
from billing.admin.contracts import PlainDecimalField
from billing.admin.deliveries import InvoiceCustomerFilter, InvoiceMonthFilter
from billing.dollars import KRW
from billing.formatting import won
from billing.models import (
    Allocation,
    AllocationReversal,
    LedgerTransaction,
    Payment,
    PaymentAssignment,
    PaymentReversal,
    Refund,
)
from billing.selectors.deposits import invoice_numbered
from billing.services.allocating import allocate_payment, reverse_allocation
from billing.services.paying import (
    assign_payment,
    match_payment,
    pay_invoice,
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
    amount_krw = WonField(label=gettext_lazy("amount (KRW)"), required=False)
    received_usd = PlainDecimalField(
        label=gettext_lazy("received (USD)"),
        required=False,
        help_text=gettext_lazy("Instead of won. Booked at the rate of the day on which they came."),
    )
    depositor_name = forms.CharField(label=gettext_lazy("depositor"), max_length=100, required=False)
    customer = forms.ModelChoiceField(
        label=gettext_lazy("customer"),
        queryset=Customer.objects.all(),
        required=False,
        help_text=gettext_lazy("Empty: nobody's until it is matched or assigned."),
        widget=RowSelect(Payment, "customer"),
    )
    invoice = forms.CharField(
        label=gettext_lazy("invoice no."),
        max_length=30,
        required=False,
        help_text=gettext_lazy("Pays this invoice at once, where it is known what the money is for."),
    )


class AssignForm(ReasonForm):
    customer = forms.ModelChoiceField(
        label=gettext_lazy("customer"),
        queryset=Customer.objects.all(),
        widget=RowSelect(Payment, "customer"),
    )
    field_order = ("customer", "reason")


class AllocateForm(OperationForm):
    """Which invoice, and how much of it."""

    invoice = forms.CharField(label=gettext_lazy("invoice no."), max_length=30)
    amount_krw = WonField(
        label=gettext_lazy("amount (KRW)"), required=False, help_text=gettext_lazy("Empty: as much as both have left.")
    )
    amount_usd = PlainDecimalField(
        label=gettext_lazy("amount (USD)"),
        required=False,
        help_text=gettext_lazy("Of dollars on an invoice in dollars. Empty: as many as both have left."),
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
    made = allocate_payment(
        payment=payment,
        invoice=invoice_numbered(answers["invoice"]),
        amount_krw=answers["amount_krw"],
        amount_usd=answers["amount_usd"],
        actor=actor,
        now=timezone.now(),
    )
    if made.allocated_usd is not None:
        return _("USD %(usd)s paid on %(invoice)s, %(won)s won of it.") % {
            "usd": f"{made.allocated_usd:,}", "invoice": made.invoice, "won": won(made.amount_krw),
        }  # fmt: skip
    return _("%(won)s won paid on %(invoice)s.") % {"won": won(made.amount_krw), "invoice": made.invoice}


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
        "received_at", "amount_krw", "received_usd", "depositor_name", "customer", "unapplied", "is_reversed",
        "reference", "actor",
    )  # fmt: skip
    list_filter = (CustomerFilter, ("customer", admin.EmptyFieldListFilter), "currency", "is_reversed")
    list_select_related = ("customer",)
    search_fields = ("reference", "depositor_name", "customer__slug", "customer__name")
    date_hierarchy = "received_at"
    fields = (
        "reference", "received_at", "amount_krw", "received_usd", "rate_krw_per_usd", "rate_on", "rate_source",
        "depositor_name", "customer", "unapplied", "unapplied_in_dollars", "allocated_krw", "allocated_usd",
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
            applies=lambda payment: payment.unapplied_krw > 0 and payment.currency == KRW,
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
        number = answers.pop("invoice")
        if number:
            return pay_invoice(invoice=invoice_numbered(number), **answers, actor=actor, now=timezone.now())
        return record_payment(**answers, actor=actor, now=timezone.now())

    def links(self, row: Payment) -> list[tuple[str, str]]:
        return [(_("Allocations"), list_url(Allocation, q=row.reference))]

    @admin.display(description=gettext_lazy("left (KRW)"))
    def unapplied(self, row: Payment) -> str:
        return won(row.unapplied_krw)

    @admin.display(description=gettext_lazy("left (USD)"))
    def unapplied_in_dollars(self, row: Payment) -> str:
        return EMPTY if row.unapplied_usd is None else f"{row.unapplied_usd:,}"


def _reverse_allocation(allocation: Allocation, answers: dict[str, Any], actor: str) -> str:
    reverse_allocation(allocation=allocation, reason=answers["reason"], actor=actor, now=timezone.now())
    return _("Taken back. The invoice is due again.")


class AllocationReversalInline(ReadOnlyInline):
    model = AllocationReversal
    fields = ("reason", "actor", "reversed_at")


@admin.register(Allocation)
class AllocationAdmin(ReadOnlyAdmin):
    list_display = (
        "allocated_at", "invoice", "source", "amount_krw", "allocated_usd", "exchange_krw", "payment", "prepayment",
        "taken_back", "actor",
    )  # fmt: skip
    list_filter = ("source", InvoiceCustomerFilter, InvoiceMonthFilter)
    list_select_related = ("invoice", "payment", "prepayment__customer", "reversal")
    search_fields = ("invoice__number", "payment__reference", "prepayment__payment__reference")
    date_hierarchy = "allocated_at"
    fields = (
        "invoice", "source", "payment", "prepayment", "amount_krw", "allocated_usd", "exchange_krw", "allocated_at",
        "reason", "actor", "ledger_transaction",
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
