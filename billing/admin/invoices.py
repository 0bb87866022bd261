"""Invoices: everything about them can be seen, nothing can be touched."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.admin import (
    EMPTY,
    CustomerFilter,
    MonthFilter,
    Operation,
    OperationForm,
    ReadOnlyAdmin,
    ReadOnlyInline,
    change_link,
    list_url,
)
from accounts.models import Customer
from billing.admin.asking import PartForm
from billing.admin.credit_notes import INVOICE_OPERATIONS
from billing.admin.deliveries import InvoiceCustomerFilter, InvoiceMonthFilter
from billing.formatting import dollars, won
from billing.models import (
    Allocation,
    CreditNote,
    Delivery,
    Invoice,
    InvoiceLine,
    InvoicePdf,
    InvoiceStatement,
    InvoiceVoid,
    LedgerTransaction,
    NumberSequence,
    TaxInvoice,
)
from billing.pdf import RenderingError
from billing.services.allocating import write_off_invoice
from billing.services.prepaying import pay_from_prepayment
from billing.services.printing import ensure_invoice_pdf
from usage.models import BillingPeriod, UsageRollup


class TaxStateFilter(admin.SimpleListFilter):
    title = gettext_lazy("tax invoice")
    parameter_name = "tax"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, Any]]:
        return list(TaxInvoice.Status.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(tax_invoice__status=self.value()) if self.value() else queryset


class StatementInline(ReadOnlyInline):
    model = InvoiceStatement
    fields = ("events", "digest", "created_at")


class VoidInline(ReadOnlyInline):
    model = InvoiceVoid
    fields = ("voided_on", "amendment_code", "reason", "actor", "voided_at")


class LineInline(ReadOnlyInline):
    model = InvoiceLine
    fields = (
        "position", "kind", "month", "model_name", "requests", "prompt_tokens", "cache_read_tokens", "completion_tokens",
        "cost_usd", "margin", "basis", "amount_krw", "discount_krw", "promotion_krw",
    )  # fmt: skip


def _pay_from_prepayment(invoice: Invoice, answers: dict[str, Any], actor: str) -> str:
    made = pay_from_prepayment(invoice=invoice, actor=actor, now=timezone.now())
    if not made:
        return _("Nothing was paid: no prepayment is left.")
    return _("%(won)s won paid.") % {"won": won(sum(one.amount_krw for one in made))}


def _write_off(invoice: Invoice, answers: dict[str, Any], actor: str) -> str:
    made = write_off_invoice(
        invoice=invoice,
        amount_krw=answers["amount_krw"],
        reason=answers["reason"],
        actor=actor,
        now=timezone.now(),
    )
    return _("%(won)s won given up.") % {"won": won(made.amount_krw)}


@admin.register(Invoice)
class InvoiceAdmin(ReadOnlyAdmin):
    list_display = (
        "number", "customer", "month", "status", "supply_krw", "vat_krw", "total_krw", "total_usd", "issued_on", "due_on",
        "tax_state",
    )  # fmt: skip
    list_display_links = ("number", "customer")
    list_filter = ("status", "currency", CustomerFilter, MonthFilter, TaxStateFilter)
    list_select_related = ("customer", "tax_invoice")
    search_fields = ("number", "customer__slug", "customer__name")
    ordering = ("-month", "-number")
    inlines = (
        VoidInline,
        StatementInline,
        LineInline,
    )
    operations = (
        *INVOICE_OPERATIONS,
        Operation(
            name="prepay",
            label=gettext_lazy("Pay from prepayment"),
            note=gettext_lazy("Pays what is due from the customer's prepayments, the oldest first."),
            form=OperationForm,
            applies=lambda invoice: invoice.status == Invoice.Status.ISSUED,
            run=_pay_from_prepayment,
        ),
        Operation(
            name="write_off",
            label=gettext_lazy("Write off"),
            note=gettext_lazy("Gives up what is due, such as a transfer fee. It is booked as a loss."),
            form=PartForm,
            applies=lambda invoice: invoice.status == Invoice.Status.ISSUED,
            run=_write_off,
        ),
    )
    fieldsets = (
        (None, {"fields": ("number", "customer", "month", "status", "billing_period", "language")}),
        (gettext_lazy("Dates"), {"fields": ("issued_at", "issued_on", "due_on")}),
        (
            gettext_lazy("Amounts"),
            {"fields": ("supply_krw", "vat_krw", "zero_rating", "total_krw", "allocated_krw", "due")},
        ),
        (gettext_lazy("In dollars"), {"fields": ("currency", "supply_usd", "vat_usd", "total_usd", "due_in_dollars")}),
        (
            gettext_lazy("How the won came about"),
            {"fields": ("cost_usd", "rule", "exchange_rate", "exchange_evidence", "margin", "rounding_rule")},
        ),
        (gettext_lazy("The document as issued"), {"fields": ("document",), "classes": ("collapse",)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Invoice]:
        return super().get_queryset(request).defer("document")

    def get_urls(self) -> list[URLPattern]:
        pdf = path("<int:invoice_id>/pdf/", self.admin_site.admin_view(self.pdf_view), name="billing_invoice_pdf")
        return [pdf, *super().get_urls()]

    def links(self, row: Invoice) -> list[tuple[str, str]]:
        if row.number is None:
            return []
        of_customer = {"customer": row.customer.slug}
        tax_invoice = getattr(row, "tax_invoice", None)
        tax_url = reverse("admin:billing_taxinvoice_change", args=[tax_invoice.pk]) if tax_invoice else None
        return [
            ("PDF", reverse("admin:billing_invoice_pdf", args=[row.pk])),
            *([(_("Tax invoice"), tax_url)] if tax_url else []),
            (_("Credit notes"), list_url(CreditNote, q=row.number)),
            (_("Amended tax invoices"), list_url(TaxInvoice, q=row.number)),
            (_("Allocations"), list_url(Allocation, q=row.number)),
            (_("Deliveries"), list_url(Delivery, q=row.number)),
            (_("Ledger"), list_url(LedgerTransaction, q=row.number)),
            (_("Usage of the month"), list_url(UsageRollup, **of_customer, billing_month=f"{row.month:%Y-%m}")),
        ]

    def pdf_view(self, request: HttpRequest, invoice_id: int) -> HttpResponse:
        """The very bytes that were mailed; made now if nothing has asked for them yet."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        invoice = get_object_or_404(Invoice, pk=invoice_id)
        if invoice.number is None:
            raise Http404
        try:
            pdf = ensure_invoice_pdf(invoice=invoice, now=timezone.now())
        except RenderingError as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(reverse("admin:billing_invoice_change", args=[invoice.pk]))
        name = f"{invoice.number}.pdf"
        response = HttpResponse(bytes(pdf.content), content_type="application/pdf")
        response["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=name)
        return response

    @admin.display(description=gettext_lazy("due (KRW)"))
    def due(self, row: Invoice) -> str:
        return won(row.due_krw)

    @admin.display(description=gettext_lazy("due (USD)"))
    def due_in_dollars(self, row: Invoice) -> str:
        return EMPTY if row.due_usd is None else dollars(row.due_usd)

    @admin.display(description=gettext_lazy("period"))
    def billing_period(self, row: Invoice) -> str:
        period = row.period
        return change_link(BillingPeriod, period.pk, f"{period.month:%Y-%m} {period.get_status_display()}")

    @admin.display(description=gettext_lazy("language"))
    def language(self, row: Invoice) -> str:
        return Customer.Locale(row.locale).label

    @admin.display(description=gettext_lazy("exchange rule"))
    def rule(self, row: Invoice) -> str:
        return str(Customer.ExchangeRule(row.exchange_rule).label)

    @admin.display(description=gettext_lazy("rounding"))
    def rounding_rule(self, row: Invoice) -> str:
        return str(Customer.Rounding(row.rounding).label)

    @admin.display(description=gettext_lazy("tax invoice"), ordering="tax_invoice__status")
    def tax_state(self, row: Invoice) -> str:
        tax_invoice = getattr(row, "tax_invoice", None)
        return tax_invoice.get_status_display() if tax_invoice else EMPTY


@admin.register(InvoicePdf)
class InvoicePdfAdmin(ReadOnlyAdmin):
    list_display = ("invoice", "sha256", "created_at", "download")
    list_filter = (InvoiceCustomerFilter, InvoiceMonthFilter)
    list_select_related = ("invoice",)
    search_fields = ("invoice__number", "sha256")
    ordering = ("-created_at", "-pk")
    fields = ("invoice", "sha256", "created_at", "download")

    def get_queryset(self, request: HttpRequest) -> QuerySet[InvoicePdf]:
        return super().get_queryset(request).defer("content")

    @admin.display(description=gettext_lazy("download"))
    def download(self, row: InvoicePdf) -> str:
        return format_html('<a href="{}">PDF</a>', reverse("admin:billing_invoice_pdf", args=[row.invoice_id]))


@admin.register(NumberSequence)
class NumberSequenceAdmin(ReadOnlyAdmin):
    list_display = ("series", "last_number")
    search_fields = ("series",)
    ordering = ("-series",)
