"""Addresses of the pages for people. Whatever belongs to a customer stands under `/c/<slug>/`; `/models` is public."""

from django.contrib.auth.views import LogoutView
from django.urls import include, path
from django.views.i18n import set_language

from portal.views.balance import BalancePage, StatementCsvPage
from portal.views.consumption import UsagePage
from portal.views.credit_notes import CreditNotePage, CreditNotePdfPage
from portal.views.dashboard import DashboardPage
from portal.views.explanation import InvoiceLinePage, InvoiceStatementPage
from portal.views.invoices import InvoicePage, InvoicePdfPage, InvoicesPage
from portal.views.keys import KeysPage, RevokeKeyPage
from portal.views.sessions import LoginView, home, stop_guessing
from portal.views.storefront import models_page
from portal.views.storefront_model import model_page, models_page_with_slash

app_name = "portal"

customer_pages = [
    path("", DashboardPage.as_view(), name="dashboard"),
    path("usage/", UsagePage.as_view(), name="usage"),
    path("keys/", KeysPage.as_view(), name="keys"),
    path("keys/<int:key_id>/revoke/", RevokeKeyPage.as_view(), name="revoke_key"),
    path("balance/", BalancePage.as_view(), name="balance"),
    path("balance/statement.csv", StatementCsvPage.as_view(), name="statement_csv"),
    path("invoices/", InvoicesPage.as_view(), name="invoices"),
    path("invoices/<slug:number>.pdf", InvoicePdfPage.as_view(), name="invoice_pdf"),
    path("invoices/<slug:number>.ndjson", InvoiceStatementPage.as_view(), name="invoice_statement"),
    path("invoices/<slug:number>/lines/<int:position>/", InvoiceLinePage.as_view(), name="invoice_line"),
    path("invoices/<slug:number>/", InvoicePage.as_view(), name="invoice"),
    path("credit-notes/<slug:number>.pdf", CreditNotePdfPage.as_view(), name="credit_note_pdf"),
    path("credit-notes/<slug:number>/", CreditNotePage.as_view(), name="credit_note"),
]

urlpatterns = [
    path("", home, name="home"),
    path("login/", stop_guessing(LoginView.as_view()), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("language/", set_language, name="set_language"),
    path("models", models_page, name="models"),
    path("models/", models_page_with_slash),
    path("models/<path:name>", model_page, name="model"),
    path("c/<slug:slug>/", include(customer_pages)),
]
