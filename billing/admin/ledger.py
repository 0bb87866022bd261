"""The ledger, to look at."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet, Sum
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts.admin import EMPTY, CustomerFilter, ReadOnlyAdmin, ReadOnlyInline
from billing.formatting import won
from billing.models import LedgerEntry, LedgerTransaction


class EntryCustomerFilter(CustomerFilter):
    customer_path = "invoice__customer"


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
    date_hierarchy = "occurred_on"
    inlines = (EntryInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        debit = Sum("entries__amount", filter=Q(entries__amount__gt=0, entries__currency="KRW"))
        rows: QuerySet[Any] = super().get_queryset(request).annotate(debit=debit)
        return rows

    @admin.display(description=_("amount (KRW)"), ordering="debit")
    def debit_krw(self, row: Any) -> str:
        return EMPTY if row.debit is None else won(int(row.debit))
