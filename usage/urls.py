"""Addresses of metering under /billing/v1/."""

from django.urls import path

from usage.api import UsageEvents

app_name = "usage"
urlpatterns = [path("usage/events", UsageEvents.as_view(), name="events")]
