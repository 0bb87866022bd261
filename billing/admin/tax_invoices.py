"""Tax invoices: how far each one got, and what a person can do about one that is stuck."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.admin import CustomerFilter, Operation, ReadOnlyAdmin, ReadOnlyInline
from accounts.errors import DomainError, NotFound
from billing.adapters.registry import tax_provider
from billing.models import Delivery, SandboxTaxDocument, TaxInvoice, TaxInvoiceAttempt
from billing.services.delivering import issue_tax_invoice_late, requeue_delivery
from usage.periods import KST

_SETTLED = (TaxInvoice.Status.ISSUED, TaxInvoice.Status.FAILED, TaxInvoice.Status.WITHDRAWN)


class BilledCustomerFilter(CustomerFilter):
    """By the customer of the invoice that it is of or that it corrects."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        pk = self.customer_id()
        mine = Q(invoice__customer_id=pk) | Q(corrects__customer_id=pk)
        return queryset if pk is None else queryset.filter(mine)


def _delivery_of(tax_invoice: TaxInvoice) -> Delivery | None:
    of_invoice = Q(kind=Delivery.Kind.TAX_INVOICE, invoice__isnull=False, invoice=tax_invoice.invoice)
    return Delivery.objects.filter(of_invoice | Q(tax_invoice=tax_invoice)).first()


def _needed_delivery(tax_invoice: TaxInvoice) -> Delivery:
    delivery = _delivery_of(tax_invoice)
    if delivery is None:
        raise NotFound("this tax invoice has no delivery")
    return delivery


def _is_overdue(tax_invoice: TaxInvoice) -> bool:
    deadline_on = tax_invoice.deadline_on
    is_late = deadline_on is not None and timezone.now().astimezone(KST).date() > deadline_on
    return is_late and tax_invoice.status not in _SETTLED and _delivery_of(tax_invoice) is not None


def _is_given_up(tax_invoice: TaxInvoice) -> bool:
    delivery = _delivery_of(tax_invoice)
    return delivery is not None and delivery.status == Delivery.Status.DEAD and not _is_overdue(tax_invoice)


def _retry(tax_invoice: TaxInvoice, answers: dict[str, Any], actor: str) -> str:
    delivery = _needed_delivery(tax_invoice)
    requeue_delivery(delivery=delivery, actor=actor, reason=answers["reason"], now=timezone.now())
    return _("Queued again: a worker takes it within a minute.")


def _send_late(tax_invoice: TaxInvoice, answers: dict[str, Any], actor: str) -> str:
    sent = issue_tax_invoice_late(
        delivery=_needed_delivery(tax_invoice),
        actor=actor,
        reason=answers["reason"],
        now=timezone.now(),
        provider=tax_provider(),
    )
    if sent.status != TaxInvoice.Status.ISSUED:
        raise DomainError(f"{sent.error_code}: {sent.error_message}")
    return _("Issued late: approval no. %(number)s.") % {"number": sent.approval_no}


class AttemptInline(ReadOnlyInline):
    model = TaxInvoiceAttempt
    fields = ("started_at", "finished_at", "outcome", "detail")


@admin.register(TaxInvoice)
class TaxInvoiceAdmin(ReadOnlyAdmin):
    list_display = (
        "provider_key", "invoice", "corrects", "amendment_code", "write_date_on", "deadline_on", "status", "nts_status",
        "supply_krw", "vat_krw", "total_krw", "approval_no", "error_code",
    )  # fmt: skip
    list_filter = ("status", "nts_status", "amendment_code", "deadline_on", BilledCustomerFilter)
    list_select_related = ("invoice", "corrects")
    search_fields = ("provider_key", "approval_no", "invoice__number", "corrects__number", "credit_note__number")
    date_hierarchy = "write_date_on"
    inlines = (AttemptInline,)
    fieldsets = (
        (None, {"fields": ("invoice", "provider_key", "write_date_on", "deadline_on")}),
        (gettext_lazy("Amendment"), {"fields": ("amendment_code", "amends", "corrects", "credit_note")}),
        (
            gettext_lazy("State"),
            {"fields": ("status", "nts_status", "approval_no", "issued_at", "error_code", "error_message")},
        ),
        (
            gettext_lazy("Content"),
            {
                "fields": (
                    "type_code", "purpose_code", "buyer_type_code", "supply_krw", "vat_krw", "total_krw", "remark",
                    "supplier", "buyer", "lines",
                )
            },
        ),
    )  # fmt: skip
    operations = (
        Operation(
            name="retry",
            label=gettext_lazy("Try again"),
            note=gettext_lazy(
                "The provider is asked first whether it has this document already, so it is never issued twice."
            ),
            applies=_is_given_up,
            is_bulk=True,
            run=_retry,
        ),
        Operation(
            name="send-late",
            label=gettext_lazy("Issue late"),
            note=gettext_lazy(
                "The deadline has passed. Issuing now costs the supplier a penalty (지연발급 가산세); your name and reason "
                "are kept with the decision."
            ),
            applies=_is_overdue,
            run=_send_late,
        ),
    )


@admin.register(SandboxTaxDocument)
class SandboxTaxDocumentAdmin(ReadOnlyAdmin):
    list_display = ("key", "approval_no", "accepted_at")
    search_fields = ("key", "approval_no")
    ordering = ("-accepted_at", "-pk")
