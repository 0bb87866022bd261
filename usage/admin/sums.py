"""Sums of usage, and the months that bill it."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Case, F, OuterRef, QuerySet, Subquery, When
from django.db.models import Model as DjangoModel
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from accounts.admin import EMPTY, CustomerFilter, MonthFilter, ReadOnlyAdmin
from accounts.models import ApiKey
from catalog.models import Model
from usage.admin.reading import BilledInFilter, BoundedPaginator
from usage.models import BillingPeriod, UsageApp, UsageHour, UsageRollup


def _name_of(model: type[DjangoModel], path: str, name: str) -> Subquery:
    """The name of a row that a plain number points to, fetched with the list."""
    return Subquery(model._default_manager.filter(pk=OuterRef(path)).values(name)[:1])


@admin.register(UsageApp)
class UsageAppAdmin(ReadOnlyAdmin):
    list_display = ("title", "referer", "customer")
    list_filter = (CustomerFilter,)
    list_select_related = ("customer",)
    ordering = ("customer", "title", "pk")
    search_fields = ("title", "referer")


@admin.register(UsageHour)
class UsageHourAdmin(ReadOnlyAdmin):
    list_display = (
        "hour_at",
        "customer",
        "requests",
        "prompt_tokens",
        "completion_tokens",
        "cost_usd",
        "billing_month",
    )
    list_filter = (CustomerFilter, BilledInFilter)
    list_select_related = ("customer",)
    ordering = ("-hour_at", "customer", "pk")
    paginator = BoundedPaginator
    show_full_result_count = False


@admin.register(UsageRollup)
class UsageRollupAdmin(ReadOnlyAdmin):
    list_display = (
        "day", "customer", "used_model", "app", "requests", "prompt_tokens", "cache_read_tokens", "completion_tokens",
        "cost_usd", "upstream_cost_usd", "billing_month",
    )  # fmt: skip
    list_filter = (CustomerFilter, BilledInFilter)
    list_select_related = ("customer",)
    ordering = ("-day", "customer", "pk")
    paginator = BoundedPaginator
    show_full_result_count = False
    fields = (
        "customer", "billing_month", "day", "api_key", "used_model", "app", "price_id", "requests", "prompt_tokens",
        "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "audio_input_tokens", "completion_tokens",
        "reasoning_tokens", "audio_output_tokens", "image_output_tokens", "images", "web_searches", "cost_usd",
        "upstream_cost_usd",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[UsageRollup]:
        names = {
            "model_name": _name_of(Model, "model_id", "model_id"),
            "key_name": _name_of(ApiKey, "api_key_id", "name"),
            "app_name": Subquery(
                UsageApp.objects.filter(pk=OuterRef("app_id")).values_list(
                    Case(When(title="", then=F("referer")), default=F("title"))
                )
            ),
        }
        rows: QuerySet[UsageRollup] = super().get_queryset(request).annotate(**names)
        return rows

    @admin.display(description=gettext_lazy("model"))
    def used_model(self, row: UsageRollup) -> str:
        return row.model_name or EMPTY  # type: ignore[attr-defined]

    @admin.display(description=gettext_lazy("app"))
    def app(self, row: UsageRollup) -> str:
        return row.app_name or EMPTY  # type: ignore[attr-defined]

    @admin.display(description=gettext_lazy("API key"))
    def api_key(self, row: UsageRollup) -> str:
        return row.key_name or EMPTY  # type: ignore[attr-defined]


@admin.register(BillingPeriod)
class BillingPeriodAdmin(ReadOnlyAdmin):
    list_display = ("month", "customer", "status", "outcome", "closed_at")
    list_filter = (CustomerFilter, MonthFilter, "status", "outcome")
    list_select_related = ("customer",)
    ordering = ("-month", "customer__slug")
