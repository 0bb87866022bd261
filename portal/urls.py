"""Addresses of the customer pages. Whatever belongs to a customer stands under `/c/<slug>/`."""

from django.contrib.auth.views import LogoutView
from django.urls import include, path
from django.views.i18n import set_language

from portal.views.consumption import UsagePage
from portal.views.dashboard import DashboardPage
from portal.views.invoices import InvoicePage, InvoicePdfPage, InvoicesPage
from portal.views.keys import KeysPage, RevokeKeyPage
from portal.views.sessions import LoginView, home

app_name = "portal"

customer_pages = [
    path("", DashboardPage.as_view(), name="dashboard"),
    path("usage/", UsagePage.as_view(), name="usage"),
    path("keys/", KeysPage.as_view(), name="keys"),
    path("keys/<int:key_id>/revoke/", RevokeKeyPage.as_view(), name="revoke_key"),
    path("invoices/", InvoicesPage.as_view(), name="invoices"),
    path("invoices/<slug:number>.pdf", InvoicePdfPage.as_view(), name="invoice_pdf"),
    path("invoices/<slug:number>/", InvoicePage.as_view(), name="invoice"),
]

urlpatterns = [
    path("", home, name="home"),
    path("login/", LoginView.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("language/", set_language, name="set_language"),
    path("c/<slug:slug>/", include(customer_pages)),
]
