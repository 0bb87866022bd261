"""The REST API under /billing/v1/: usage, quotes and prices, invoices, and its description of itself."""

from billing.api.explain import ExplainedLine
from billing.api.invoices import InvoiceCsvFile, InvoicePdfFile, InvoicePreview, Invoices, OneInvoice
from billing.api.prices import Prices
from billing.api.quotes import Quotes
from billing.api.schema import ApiSchema
from billing.api.statements import InvoiceStatementFile
from billing.api.usage import Usage

__all__ = [
    "ApiSchema",
    "ExplainedLine",
    "InvoiceCsvFile",
    "InvoicePdfFile",
    "InvoicePreview",
    "InvoiceStatementFile",
    "Invoices",
    "OneInvoice",
    "Prices",
    "Quotes",
    "Usage",
]
