"""Addresses of billing: `urlpatterns` under /billing/v1/, `openrouter_patterns` under /v1/ and /api/v1/."""

from django.urls import include, path

from billing.api import (
    AccountStatement,
    AccountStatementCsv,
    ApiSchema,
    BalanceNow,
    CreditNotePdfFile,
    CreditNotes,
    ExplainedLine,
    InvoiceCsvFile,
    InvoicePdfFile,
    InvoicePreview,
    Invoices,
    InvoiceStatementFile,
    OneCreditNote,
    OneInvoice,
    Prices,
    Quotes,
    Usage,
)
from billing.api.credits import credits_of_customer

app_name = "billing"
urlpatterns = [
    path("schema", ApiSchema.as_view(), name="schema"),
    path("quote", Quotes.as_view(), name="quote"),
    path("prices", Prices.as_view(), name="prices"),
    path("usage", Usage.as_view(), name="usage"),
    path("balance", BalanceNow.as_view(), name="balance"),
    path("statement", AccountStatement.as_view(), name="statement"),
    path("statement/csv", AccountStatementCsv.as_view(), name="statement_csv"),
    path("invoices", Invoices.as_view(), name="invoices"),
    path("invoices/preview", InvoicePreview.as_view(), name="invoice_preview"),
    path("invoices/<str:number>", OneInvoice.as_view(), name="invoice"),
    path("invoices/<str:number>/pdf", InvoicePdfFile.as_view(), name="invoice_pdf"),
    path("invoices/<str:number>/csv", InvoiceCsvFile.as_view(), name="invoice_csv"),
    path("invoices/<str:number>/statement", InvoiceStatementFile.as_view(), name="invoice_statement"),
    path("invoices/<str:number>/lines/<int:position>/explain", ExplainedLine.as_view(), name="explained_line"),
    path("credit-notes", CreditNotes.as_view(), name="credit_notes"),
    path("credit-notes/<str:number>", OneCreditNote.as_view(), name="credit_note"),
    path("credit-notes/<str:number>/pdf", CreditNotePdfFile.as_view(), name="credit_note_pdf"),
    path("", include("usage.urls")),
]
openrouter_patterns = [path("credits", credits_of_customer)]
