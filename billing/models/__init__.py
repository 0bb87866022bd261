"""What is owed. One module a noun; the ledger's rows are written by `billing.services.posting` alone."""

from billing.models.alerts import Alert
from billing.models.contracts import ExchangeRate, HolidayOverride, MarginRule
from billing.models.deliveries import Delivery
from billing.models.invoices import Invoice, InvoiceLine, InvoicePdf, NumberSequence
from billing.models.ledger import LedgerEntry, LedgerTransaction
from billing.models.runs import BillingRun, BillingRunItem
from billing.models.tax_invoices import SandboxTaxDocument, TaxInvoice, TaxInvoiceAttempt

__all__ = [
    "Alert",
    "BillingRun",
    "BillingRunItem",
    "Delivery",
    "ExchangeRate",
    "HolidayOverride",
    "Invoice",
    "InvoiceLine",
    "InvoicePdf",
    "LedgerEntry",
    "LedgerTransaction",
    "MarginRule",
    "NumberSequence",
    "SandboxTaxDocument",
    "TaxInvoice",
    "TaxInvoiceAttempt",
]
