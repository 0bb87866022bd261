"""Addresses of metering under /billing/v1/."""

from django.urls import path

from usage.api import UsageEvents, UsageEventsExport

app_name = "usage"
urlpatterns = [
    path("usage/events", UsageEvents.as_view(), name="events"),
    path("usage/events/export", UsageEventsExport.as_view(), name="export"),
]
