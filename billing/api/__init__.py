"""The REST API under /billing/v1/: usage, quotes and prices, invoices, balances, and its description of itself."""

from billing.api.balances import AccountStatement, AccountStatementCsv, BalanceNow
from billing.api.credit_notes import CreditNotePdfFile, CreditNotes, OneCreditNote
from billing.api.explain import ExplainedLine
from billing.api.invoices import InvoiceCsvFile, InvoicePdfFile, InvoicePreview, Invoices, OneInvoice
from billing.api.prices import Prices
from billing.api.quotes import Quotes
from billing.api.schema import ApiSchema
from billing.api.statements import InvoiceStatementFile
from billing.api.usage import Usage

__all__ = [
    "AccountStatement",
    "AccountStatementCsv",
    "ApiSchema",
    "BalanceNow",
    "CreditNotePdfFile",
    "CreditNotes",
    "ExplainedLine",
    "InvoiceCsvFile",
    "InvoicePdfFile",
    "InvoicePreview",
    "InvoiceStatementFile",
    "Invoices",
    "OneCreditNote",
    "OneInvoice",
    "Prices",
    "Quotes",
    "Usage",
]
