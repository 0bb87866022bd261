"""The operators' side of metering. Events are millions, so their list never counts, sorts or searches a whole month."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db import connection
from django.db.models import Model as DjangoModel
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.admin import (
    CUSTOMER_LINKS,
    EMPTY,
    CustomerFilter,
    MonthFilter,
    Operation,
    OperationForm,
    ReadOnlyAdmin,
    ReasonForm,
    change_link,
    list_url,
    plain_decimal,
)
from accounts.models import ApiKey
from catalog.models import Model, Price
from usage.models import BillingPeriod, QuarantinedEvent, UsageEvent, UsageRollup
from usage.periods import BillingMonth
from usage.services.quarantine import exclude_quarantined, rate_quarantined
from usage.services.rating import (
    IMPLAUSIBLE_COST,
    QUARANTINED_PRICE,
    UNKNOWN_MODEL,
    UNPRICED,
    UNPRICED_COMPONENT,
    VARIABLE_PRICE,
)

#: Without a customer, so many events are shown: those that were received last.
NEWEST_EVENTS = 1000
#: A list is counted up to here and not beyond; nobody leafs through more pages.
COUNTED_ROWS = 10_000

CUSTOMER_LINKS += [
    (gettext_lazy("Usage"), "admin:usage_usagerollup_changelist"),
    (gettext_lazy("Events"), "admin:usage_usageevent_changelist"),
    (gettext_lazy("Quarantine"), "admin:usage_quarantinedevent_changelist"),
    (gettext_lazy("Periods"), "admin:usage_billingperiod_changelist"),
]


class BoundedPaginator(Paginator):
    """Counts up to a bound, so that a list of millions costs no more than one of thousands."""

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        return len(rows.order_by().values_list("pk")[:COUNTED_ROWS])

    @property
    def is_cut(self) -> bool:
        """Whether there are more rows than were counted."""
        return self.count == COUNTED_ROWS


class BilledInFilter(MonthFilter):
    title = gettext_lazy("billed in")
    parameter_name = month_path = "billing_month"


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


def _name_of(model: type[DjangoModel], path: str, name: str) -> Subquery:
    """The name of a row that a plain number points to, fetched with the list."""
    return Subquery(model._default_manager.filter(pk=OuterRef(path)).values(name)[:1])


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
        """What was decided about an event that could not be priced when it arrived."""
        held = QuarantinedEvent.objects.filter(customer_id=row.customer_id, event_id=row.event_id).first()
        if held is None:
            return EMPTY
        cost = f" USD {plain_decimal(held.cost_usd)}" if held.cost_usd is not None else ""
        link = change_link(QuarantinedEvent, held.pk, str(REASONS.get(held.code, held.code)))
        return format_html("{}: {}{}", link, held.get_status_display(), cost)


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


#: Codes of `usage.services.rating` in words.
REASONS = {
    UNKNOWN_MODEL: gettext_lazy("unknown model"),
    UNPRICED: gettext_lazy("no price at that time"),
    VARIABLE_PRICE: gettext_lazy("router without a price of its own"),
    QUARANTINED_PRICE: gettext_lazy("price not decided"),
    UNPRICED_COMPONENT: gettext_lazy("no price for a part of the usage"),
    IMPLAUSIBLE_COST: gettext_lazy("implausible cost"),
}


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


@admin.register(UsageRollup)
class UsageRollupAdmin(ReadOnlyAdmin):
    list_display = (
        "day", "customer", "used_model", "requests", "prompt_tokens", "cache_read_tokens", "completion_tokens", "cost_usd",
        "upstream_cost_usd", "billing_month",
    )  # fmt: skip
    list_filter = (CustomerFilter, BilledInFilter)
    list_select_related = ("customer",)
    ordering = ("-day", "customer", "pk")
    paginator = BoundedPaginator
    show_full_result_count = False
    fields = (
        "customer", "billing_month", "day", "api_key", "used_model", "price_id", "requests", "prompt_tokens",
        "cache_read_tokens", "cache_write_tokens", "completion_tokens", "reasoning_tokens", "web_searches", "cost_usd",
        "upstream_cost_usd",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[UsageRollup]:
        names = {
            "model_name": _name_of(Model, "model_id", "model_id"),
            "key_name": _name_of(ApiKey, "api_key_id", "name"),
        }
        rows: QuerySet[UsageRollup] = super().get_queryset(request).annotate(**names)
        return rows

    @admin.display(description=gettext_lazy("model"))
    def used_model(self, row: UsageRollup) -> str:
        return row.model_name or EMPTY  # type: ignore[attr-defined]

    @admin.display(description=gettext_lazy("API key"))
    def api_key(self, row: UsageRollup) -> str:
        return row.key_name or EMPTY  # type: ignore[attr-defined]


@admin.register(BillingPeriod)
class BillingPeriodAdmin(ReadOnlyAdmin):
    list_display = ("month", "customer", "status", "outcome", "closed_at")
    list_filter = (CustomerFilter, MonthFilter, "status", "outcome")
    list_select_related = ("customer",)
    ordering = ("-month", "customer__slug")
