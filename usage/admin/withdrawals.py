"""Events that were taken back."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy

from accounts.admin import CustomerFilter, ReadOnlyAdmin, change_link
from usage.admin.reading import BilledInFilter, BoundedPaginator
from usage.models import UsageEvent, WithdrawnEvent


@admin.register(WithdrawnEvent)
class WithdrawnEventAdmin(ReadOnlyAdmin):
    list_display = (
        "withdrawn_at", "customer", "event_id", "replaced_by", "cost_usd", "billing_month", "reason", "withdrawn_by",
    )  # fmt: skip
    list_filter = (CustomerFilter, BilledInFilter)
    list_select_related = ("customer",)
    search_fields = ("=event_id", "=replaced_by")
    paginator = BoundedPaginator
    show_full_result_count = False
    fields = (
        "customer", "event", "occurred_at", "billing_month", "cost_usd", "replacement", "reason", "withdrawn_by",
        "withdrawn_at",
    )  # fmt: skip

    @admin.display(description=gettext_lazy("event"))
    def event(self, row: WithdrawnEvent) -> str:
        return _event_link(row, row.event_id)

    @admin.display(description=gettext_lazy("replaced by"))
    def replacement(self, row: WithdrawnEvent) -> str:
        return _event_link(row, row.replaced_by)


def _event_link(row: WithdrawnEvent, event_id: str) -> str:
    event = UsageEvent.objects.filter(customer_id=row.customer_id, event_id=event_id).first() if event_id else None
    return change_link(UsageEvent, event.pk, event.event_id) if event else event_id
