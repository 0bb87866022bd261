"""Addresses of the REST API under /billing/v1/."""

from django.urls import URLPattern

app_name = "billing"
urlpatterns: list[URLPattern] = []
