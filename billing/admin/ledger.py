"""The ledger: to look at, and by the month as a file for an accountant."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.admin import EMPTY, CustomerFilter, ReadOnlyAdmin, ReadOnlyInline, list_url
from billing.admin.runs import MonthForm
from billing.formatting import won
from billing.models import LedgerEntry, LedgerTransaction
from billing.selectors.journal import journal_csv
from usage.periods import BillingMonth


class EntryCustomerFilter(CustomerFilter):
    """Transactions with an entry of that customer."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        pk = self.customer_id()
        if pk is None:
            return queryset
        return queryset.filter(pk__in=LedgerEntry.objects.filter(customer_id=pk).values("transaction_id"))


class EntryInline(ReadOnlyInline):
    model = LedgerEntry
    fields = ("account", "customer", "currency", "amount")

    def get_queryset(self, request: HttpRequest) -> QuerySet[LedgerEntry]:
        return super().get_queryset(request).select_related("customer")


@admin.register(LedgerTransaction)
class LedgerTransactionAdmin(ReadOnlyAdmin):
    list_display = ("occurred_on", "kind", "invoice", "memo", "debit_krw", "created_at")
    list_filter = ("kind", EntryCustomerFilter)
    list_select_related = ("invoice",)
    search_fields = ("memo", "invoice__number")
    fields = ("occurred_on", "kind", "invoice", "reverses", "memo", "actor", "created_at")
    date_hierarchy = "occurred_on"
    inlines = (EntryInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        debit = Sum("entries__amount", filter=Q(entries__amount__gt=0, entries__currency="KRW"))
        rows: QuerySet[Any] = super().get_queryset(request).annotate(debit=debit)
        return rows

    def get_urls(self) -> list[URLPattern]:
        journal = path("journal/", self.admin_site.admin_view(self.journal_view), name="billing_ledger_journal")
        return [journal, *super().get_urls()]

    def list_links(self, request: HttpRequest) -> list[tuple[Any, str]]:
        return [(_("Journal as CSV"), reverse("admin:billing_ledger_journal"))]

    def journal_view(self, request: HttpRequest) -> HttpResponse:
        """Asks for a month, and with one answers with its file."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        last_month = BillingMonth.of(timezone.now()).previous()
        form = MonthForm(request.POST or None, initial={"month": str(last_month)})
        if form.is_valid():
            month = form.cleaned_data["month"]
            response = HttpResponse(journal_csv(month).encode(), content_type="text/csv; charset=utf-8")
            response["Content-Disposition"] = f'attachment; filename="journal-{month}.csv"'
            return response
        note = _("Every won entry of a month: date, account, debit, credit, memo. Excel opens it as it is.")
        cancel_url = list_url(LedgerTransaction)
        return self.form_page(request, form, title=_("Journal as CSV"), note=note, cancel_url=cancel_url)

    @admin.display(description=_("amount (KRW)"), ordering="debit")
    def debit_krw(self, row: Any) -> str:
        return EMPTY if row.debit is None else won(int(row.debit))
