"""Addresses of metering: `urlpatterns` under /billing/v1/, `openrouter_patterns` under /v1/ and /api/v1/."""

from django.urls import path

from usage.api import UsageApps, UsageEvents, UsageEventsExport, openrouter
from usage.api.litellm import LiteLLMCalls

app_name = "usage"
urlpatterns = [
    path("usage/apps", UsageApps.as_view(), name="apps"),
    path("usage/events", UsageEvents.as_view(), name="events"),
    path("usage/events/export", UsageEventsExport.as_view(), name="export"),
    path("usage/litellm", LiteLLMCalls.as_view(), name="litellm"),
]
openrouter_patterns = [
    path("activity", openrouter.daily_activity),
    path("key", openrouter.own_key),
]
