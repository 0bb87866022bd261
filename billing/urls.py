"""Addresses of the REST API under /billing/v1/."""

from django.urls import include, path

from billing.api import ApiSchema, Prices, Quotes, Usage

app_name = "billing"
urlpatterns = [
    path("schema", ApiSchema.as_view(), name="schema"),
    path("quote", Quotes.as_view(), name="quote"),
    path("prices", Prices.as_view(), name="prices"),
    path("usage", Usage.as_view(), name="usage"),
    path("", include("usage.urls")),
]
