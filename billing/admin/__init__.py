"""The operators' side of billing, one module a noun. Whatever is issued, posted or sent is looked at and never edited."""

from billing.admin import (
    alerts,
    contracts,
    credit_notes,
    deliveries,
    invoices,
    ledger,
    payments,
    prepayments,
    price_changes,
    promotions,
    reconciliation,
    runs,
    spending,
    tax_invoices,
    upstream,
)

__all__ = [
    "alerts",
    "contracts",
    "credit_notes",
    "deliveries",
    "invoices",
    "ledger",
    "payments",
    "prepayments",
    "price_changes",
    "promotions",
    "reconciliation",
    "runs",
    "spending",
    "tax_invoices",
    "upstream",
]
