"""The operators' side of billing, one module a noun. Whatever is issued, posted or sent is looked at and never edited."""

from billing.admin import contracts, deliveries, invoices, ledger, runs, tax_invoices

__all__ = ["contracts", "deliveries", "invoices", "ledger", "runs", "tax_invoices"]
