"""Events that wait for a price."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.admin import (
    EMPTY,
    CustomerFilter,
    Operation,
    OperationForm,
    ReadOnlyAdmin,
    ReasonForm,
    change_link,
    plain_decimal,
)
from catalog.models import Price
from usage.admin.reading import REASONS, BilledInFilter, BoundedPaginator
from usage.models import QuarantinedEvent, UsageEvent
from usage.services.quarantine import exclude_quarantined, rate_quarantined


def _rate_again(event: QuarantinedEvent, answers: dict[str, Any], actor: str) -> str:
    done = rate_quarantined(customer=event.customer, actor=actor, now=timezone.now())
    sentence = ngettext(
        "%(slug)s: %(rated)d of %(examined)d waiting event priced, USD %(cost)s.",
        "%(slug)s: %(rated)d of %(examined)d waiting events priced, USD %(cost)s.",
        done.examined,
    )
    return sentence % {
        "slug": event.customer.slug,
        "rated": done.rated,
        "examined": done.examined,
        "cost": plain_decimal(done.cost_usd),
    }


def _exclude(event: QuarantinedEvent, answers: dict[str, Any], actor: str) -> str:
    exclude_quarantined(event=event, actor=actor, reason=answers["reason"], now=timezone.now())
    return _("Excluded from billing.")


class ReasonFilter(admin.SimpleListFilter):
    title = gettext_lazy("why")
    parameter_name = "code"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(REASONS.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(code=self.value()) if self.value() else queryset


def _is_open(event: QuarantinedEvent) -> bool:
    return event.status == QuarantinedEvent.Status.OPEN


@admin.register(QuarantinedEvent)
class QuarantinedEventAdmin(ReadOnlyAdmin):
    list_display = (
        "occurred_at",
        "customer",
        "served_model",
        "why",
        "status",
        "cost_usd",
        "billing_month",
        "event_id",
    )
    list_filter = ("status", CustomerFilter, BilledInFilter, ReasonFilter)
    list_select_related = ("customer",)
    search_fields = ("=event_id", "served_model", "detail")
    paginator = BoundedPaginator
    show_full_result_count = False
    operations = (
        Operation(
            name="rate",
            label=gettext_lazy("Price again"),
            note=gettext_lazy(
                "Prices every waiting event of the customer whose model has a price by now, each at the price in force "
                "when it happened. The others go on waiting."
            ),
            form=OperationForm,
            applies=_is_open,
            is_bulk=True,
            distinct=lambda event: event.customer_id,
            run=_rate_again,
        ),
        Operation(
            name="exclude",
            label=gettext_lazy("Exclude from billing"),
            note=gettext_lazy("The event stays stored and is never billed. This can't be undone."),
            form=ReasonForm,
            applies=_is_open,
            is_bulk=True,
            run=_exclude,
        ),
    )

    fields = (
        "customer", "event", "occurred_at", "billing_month", "served_model", "why", "detail", "status", "cost_usd",
        "rated_price", "created_at", "resolved_at", "resolved_by", "resolution",
    )  # fmt: skip

    def described(self, row: QuarantinedEvent) -> str:
        return f"{row.customer}, {row.event_id}, {row.served_model}: {self.why(row)}"

    @admin.display(description=gettext_lazy("why"), ordering="code")
    def why(self, row: QuarantinedEvent) -> str:
        return str(REASONS.get(row.code, row.code))

    @admin.display(description=gettext_lazy("event"))
    def event(self, row: QuarantinedEvent) -> str:
        event = UsageEvent.objects.filter(
            customer_id=row.customer_id, occurred_at=row.occurred_at, event_id=row.event_id
        ).first()
        return change_link(UsageEvent, event.pk, event.event_id) if event else row.event_id

    @admin.display(description=gettext_lazy("price"))
    def rated_price(self, row: QuarantinedEvent) -> str:
        price = Price.objects.select_related("model").filter(pk=row.price_id or 0).first()
        return change_link(Price, price.pk, str(price)) if price else EMPTY
