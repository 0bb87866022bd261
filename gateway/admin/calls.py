"""Calls as they were: looked at, never edited."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _

from accounts.admin import CustomerFilter, ReadOnlyAdmin, ReadOnlyInline, list_url
from gateway.models import CallAttempt, GatewayCall, KeyMeter
from usage.models import UsageEvent


class AttemptInline(ReadOnlyInline):
    model = CallAttempt
    fields = (
        "number", "upstream", "key", "started_at", "first_byte_at", "status", "error_code", "upstream_generation_id",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[CallAttempt]:
        return super().get_queryset(request).select_related("upstream", "key__upstream")


@admin.register(GatewayCall)
class GatewayCallAdmin(ReadOnlyAdmin):
    list_display = (
        "started_at",
        "call_id",
        "customer",
        "status",
        "route",
        "requested_model",
        "served_model",
        "hold_krw",
        "cost_usd",
        "is_billed",
        "flags",
    )
    list_filter = (CustomerFilter, "status", "route", "is_stream", "is_billed")
    list_select_related = ("customer",)
    search_fields = ("call_id__exact", "upstream_generation_id__exact", "idempotency_key__exact")
    date_hierarchy = "started_at"
    inlines = (AttemptInline,)

    def get_fields(self, request: HttpRequest, obj: GatewayCall | None = None) -> list[Any]:
        return [name for name in super().get_fields(request, obj) if name != "attempts"]  # the inline's rows

    def links(self, row: GatewayCall) -> list[tuple[str, str]]:
        return [(_("Event"), list_url(UsageEvent, q=row.event_id))] if row.event_id else []


@admin.register(KeyMeter)
class KeyMeterAdmin(ReadOnlyAdmin):
    list_display = ("api_key", "minute_at", "requests", "tokens", "open_calls", "month", "spent_usd", "held_usd")
    list_select_related = ("api_key",)
    search_fields = ("api_key__prefix", "api_key__name")
