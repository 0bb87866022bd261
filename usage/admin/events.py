"""Events as they arrived, and taking one back."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db import connection
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.admin import (
    EMPTY,
    CustomerFilter,
    MonthFilter,
    Operation,
    ReadOnlyAdmin,
    ReasonForm,
    change_link,
    list_url,
    plain_decimal,
)
from accounts.models import ApiKey
from catalog.models import Model, Price
from usage.admin.reading import REASONS, BoundedPaginator
from usage.models import BillingPeriod, QuarantinedEvent, UsageEvent, UsageRollup, WithdrawnEvent
from usage.periods import BillingMonth
from usage.services.replacing import exclude_priced_event

#: Without a customer, so many events are shown: those that were received last.
NEWEST_EVENTS = 1000


class OccurredInFilter(MonthFilter):
    """By the KST month in which events happened: the database then looks into that month's partition only."""

    title = gettext_lazy("KST month")

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        first_on = self.first_on()
        if first_on is None:
            return queryset
        month = BillingMonth(first_on.year, first_on.month)
        return queryset.filter(occurred_at__gte=month.start_at, occurred_at__lt=month.end_at)


class EventCustomerFilter(CustomerFilter):
    """By customer; without one, and without a search, the events that were received last."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.customer_id() is not None or request.GET.get("q"):
            return super().queryset(request, queryset)
        return queryset.filter(seq__gt=_last_seq() - NEWEST_EVENTS)


def _last_seq() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT last_value FROM usage_event_seq_seq")
        return int(cursor.fetchone()[0])


def _counts(event: UsageEvent) -> bool:
    """Whether the event is in the sums of a month that is still open."""
    of_event = {"customer_id": event.customer_id, "event_id": event.event_id}
    if WithdrawnEvent.objects.filter(**of_event).exists():
        return False
    if event.price_id is None and not QuarantinedEvent.objects.filter(**of_event, status="rated").exists():
        return False
    return not BillingPeriod.objects.filter(
        customer_id=event.customer_id, month=event.billing_month, status=BillingPeriod.Status.CLOSED
    ).exists()


def _exclude(event: UsageEvent, answers: dict[str, Any], actor: str) -> str:
    exclude_priced_event(
        customer_id=event.customer_id,
        event_id=event.event_id,
        reason=answers["reason"],
        actor=actor,
        now=timezone.now(),
    )
    return _("Excluded from billing.")


@admin.register(UsageEvent)
class UsageEventAdmin(ReadOnlyAdmin):
    list_display = (
        "occurred_at", "customer", "served_model", "prompt_tokens", "completion_tokens", "cost_usd", "billing_month",
        "event_id",
    )  # fmt: skip
    list_filter = (EventCustomerFilter, OccurredInFilter)
    list_select_related = ("customer",)
    ordering = ("-occurred_at", "-event_id")
    sortable_by = ()
    search_fields = ("event_id",)
    search_help_text = gettext_lazy(
        "The whole event id. Without a customer or an id, the list shows the 1,000 events that were received last."
    )
    paginator = BoundedPaginator
    show_full_result_count = False
    operations = (
        Operation(
            name="exclude",
            label=gettext_lazy("Exclude from billing"),
            note=gettext_lazy(
                "The event stays stored and its cost is taken out of the month, which is open. This can't be undone."
            ),
            form=ReasonForm,
            applies=_counts,
            run=_exclude,
        ),
    )
    fieldsets = (
        (None, {"fields": ("customer", "event_id", "occurred_at", "received_at", "billing_month", "api_key")}),
        (gettext_lazy("Price"), {"fields": ("rated_model", "rated_price", "cost_usd", "upstream_cost_usd", "decision")}),
        (
            gettext_lazy("What was measured"),
            {
                "fields": (
                    "requested_model", "served_model", "dialect", "prompt_tokens", "cache_read_tokens",
                    "cache_write_tokens", "cache_write_1h_tokens", "audio_input_tokens", "completion_tokens",
                    "reasoning_tokens", "audio_output_tokens", "image_output_tokens", "images", "web_searches", "flags",
                    "app_title", "app_referer", "usage",
                )
            },
        ),
    )  # fmt: skip

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[UsageEvent], search_term: str
    ) -> tuple[QuerySet[UsageEvent], bool]:
        """By exact id, through the key table, which knows when the event happened and so in which partition it is."""
        event_id = search_term.strip()
        if not event_id:
            return queryset, False
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT occurred_at FROM usage_event_key WHERE event_id = %s "
                "AND customer_id = ANY (ARRAY(SELECT id FROM accounts_customer))",  # so that the key's index serves
                [event_id.replace("\0", "")],
            )
            instants = [row[0] for row in cursor]
        return queryset.filter(event_id=event_id, occurred_at__in=instants), False

    def links(self, row: UsageEvent) -> list[tuple[str, str]]:
        same_month = {"customer": row.customer.slug, "billing_month": f"{row.billing_month:%Y-%m}"}
        return [(_("Usage of the month"), list_url(UsageRollup, **same_month))]

    @admin.display(description=gettext_lazy("API key"))
    def api_key(self, row: UsageEvent) -> str:
        key = ApiKey.objects.filter(pk=row.api_key_id or 0).first()
        return change_link(ApiKey, key.pk, str(key)) if key else EMPTY

    @admin.display(description=gettext_lazy("model"))
    def rated_model(self, row: UsageEvent) -> str:
        model = Model.objects.filter(pk=row.model_id or 0).first()
        return change_link(Model, model.pk, model.model_id) if model else EMPTY

    @admin.display(description=gettext_lazy("price"))
    def rated_price(self, row: UsageEvent) -> str:
        price = Price.objects.select_related("model").filter(pk=row.price_id or 0).first()
        return change_link(Price, price.pk, str(price)) if price else EMPTY

    @admin.display(description=gettext_lazy("decision"))
    def decision(self, row: UsageEvent) -> str:
        """What was decided about an event that could not be priced when it arrived, or that was taken back."""
        withdrawn = WithdrawnEvent.objects.filter(customer_id=row.customer_id, event_id=row.event_id).first()
        if withdrawn is not None:
            return change_link(WithdrawnEvent, withdrawn.pk, f"{_('Excluded from billing.')} {withdrawn.reason}")
        held = QuarantinedEvent.objects.filter(customer_id=row.customer_id, event_id=row.event_id).first()
        if held is None:
            return EMPTY
        cost = f" USD {plain_decimal(held.cost_usd)}" if held.cost_usd is not None else ""
        link = change_link(QuarantinedEvent, held.pk, str(REASONS.get(held.code, held.code)))
        return format_html("{}: {}{}", link, held.get_status_display(), cost)
