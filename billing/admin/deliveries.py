"""The outbox, and what came back of it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.admin import CustomerFilter, MonthFilter, Operation, ReadOnlyAdmin, ReadOnlyInline, ReasonForm, list_url
from billing.models import CreditNote, Delivery, DeliveryBounce, Invoice, TaxInvoice
from billing.selectors.bounces import is_resendable, subject_text
from billing.services.bouncing import resend_delivery
from billing.services.delivering import requeue_delivery

#: What of a delivery leads to its customer.
_OWNERS = ("invoice", "credit_note", "top_up_request", "tax_invoice__corrects")


class InvoiceCustomerFilter(CustomerFilter):
    customer_path = "invoice__customer"


class InvoiceMonthFilter(MonthFilter):
    month_path = "invoice__month"


class DeliveryCustomerFilter(CustomerFilter):
    """By whose document it is, whichever that is."""

    customer_path = ""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        pk = self.customer_id()
        if pk is None:
            return queryset
        mine = Q()
        for owner in _OWNERS:
            mine |= Q(**{f"{self.customer_path}{owner}__customer_id": pk})
        return queryset.filter(mine)


class BounceCustomerFilter(DeliveryCustomerFilter):
    customer_path = "delivery__"


class BouncedFilter(admin.SimpleListFilter):
    title = gettext_lazy("came back")
    parameter_name = "bounced"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, Any]]:
        return [("yes", _("came back"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        failed = DeliveryBounce.objects.filter(action=DeliveryBounce.Action.FAILED)
        return queryset.filter(pk__in=failed.values("delivery")) if self.value() else queryset


class ResendForm(ReasonForm):
    """Where to this time."""

    recipient = forms.EmailField(label=gettext_lazy("Mail address"), max_length=254)
    field_order = ("recipient", "reason")

    def evidence(self) -> list[tuple[str, str]]:
        bounces = self.row.bounces.all() if self.row else []
        return [(f"{bounce.recipient} {bounce.status_code}", bounce.diagnostic) for bounce in bounces]


def _requeue(delivery: Delivery, answers: dict[str, Any], actor: str) -> str:
    requeue_delivery(delivery=delivery, actor=actor, reason=answers["reason"], now=timezone.now())
    return _("Queued again: a worker takes it within a minute.")


def _resend(delivery: Delivery, answers: dict[str, Any], actor: str) -> str:
    made = resend_delivery(
        delivery=delivery,
        recipient=answers["recipient"],
        actor=actor,
        reason=answers["reason"],
        now=timezone.now(),
    )
    return _("Goes out again to %(address)s within a minute.") % {"address": made.recipient}


class BounceInline(ReadOnlyInline):
    model = DeliveryBounce
    fields = ("bounced_at", "action", "recipient", "status_code", "diagnostic", "source")


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    list_display = (
        "created_at", "kind", "subject", "recipient", "status", "attempts", "next_attempt_at", "done_at", "last_error",
    )  # fmt: skip
    list_filter = ("status", BouncedFilter, "kind", DeliveryCustomerFilter, InvoiceMonthFilter)
    list_select_related = ("invoice", "credit_note", "tax_invoice", "top_up_request__customer")
    search_fields = (
        "recipient", "invoice__number", "credit_note__number", "credit_note__invoice__number",
        "tax_invoice__corrects__number", "tax_invoice__provider_key",
    )  # fmt: skip
    inlines = (BounceInline,)
    operations = (
        Operation(
            name="requeue",
            label=gettext_lazy("Try again"),
            note=gettext_lazy("Starts over with a first attempt. What has left the house already is never sent again."),
            applies=lambda delivery: delivery.status == Delivery.Status.DEAD,
            is_bulk=True,
            run=_requeue,
        ),
        Operation(
            name="resend",
            label=gettext_lazy("Send to another address"),
            note=gettext_lazy(
                "Sends the same mail once more, to this address. Later mails go where the tax profile says: correct the "
                "address there too."
            ),
            form=ResendForm,
            applies=is_resendable,
            run=_resend,
        ),
    )

    @admin.display(description=gettext_lazy("about"))
    def subject(self, row: Delivery) -> str:
        return subject_text(row)

    def described(self, row: Delivery) -> str:
        return f"{row.get_kind_display()} · {subject_text(row)} → {row.recipient}"

    def links(self, row: Delivery) -> list[tuple[str, str]]:
        found = []
        if row.invoice:
            found.append((_("Invoice"), list_url(Invoice, q=row.invoice.number)))
        if row.credit_note:
            found.append((_("Credit notes"), list_url(CreditNote, q=row.credit_note.number)))
        if row.tax_invoice:
            found.append((_("Tax invoice"), list_url(TaxInvoice, q=row.tax_invoice.provider_key)))
        again = Delivery.objects.filter(resend_of=row).first()
        if again:
            found.append((_("Sent again"), reverse("admin:billing_delivery_change", args=[again.pk])))
        return found


@admin.register(DeliveryBounce)
class DeliveryBounceAdmin(ReadOnlyAdmin):
    list_display = (
        "bounced_at", "recipient", "action", "status_code", "diagnostic", "source", "reported_by", "delivery",
    )  # fmt: skip
    list_filter = ("action", "source", BounceCustomerFilter)
    list_select_related = ("delivery",)
    search_fields = ("recipient", "status_code", "diagnostic", "delivery__invoice__number")
    date_hierarchy = "bounced_at"
