"""The outbox."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.admin import CustomerFilter, MonthFilter, Operation, ReadOnlyAdmin, list_url
from billing.models import Delivery, Invoice
from billing.services.delivering import requeue_delivery


class InvoiceCustomerFilter(CustomerFilter):
    customer_path = "invoice__customer"


class InvoiceMonthFilter(MonthFilter):
    month_path = "invoice__month"


def _requeue(delivery: Delivery, answers: dict[str, Any], actor: str) -> str:
    requeue_delivery(delivery=delivery, actor=actor, reason=answers["reason"], now=timezone.now())
    return _("Queued again: a worker takes it within a minute.")


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    list_display = (
        "created_at", "kind", "invoice", "recipient", "status", "attempts", "next_attempt_at", "done_at", "last_error",
    )  # fmt: skip
    list_filter = ("status", "kind", InvoiceCustomerFilter, InvoiceMonthFilter)
    list_select_related = ("invoice",)
    search_fields = ("recipient", "invoice__number")
    operations = (
        Operation(
            name="requeue",
            label=gettext_lazy("Try again"),
            note=gettext_lazy("Starts over with a first attempt. What has left the house already is never sent again."),
            applies=lambda delivery: delivery.status == Delivery.Status.DEAD,
            is_bulk=True,
            run=_requeue,
        ),
    )

    def links(self, row: Delivery) -> list[tuple[str, str]]:
        return [(_("Invoice"), list_url(Invoice, q=row.invoice.number))] if row.invoice else []
