"""Addresses of the REST API under /billing/v1/."""

from django.urls import include, path

from billing.api import ApiSchema

app_name = "billing"
urlpatterns = [
    path("schema", ApiSchema.as_view(), name="schema"),
    path("", include("usage.urls")),
]
