"""What is owed. One module a noun; the ledger's rows are written by `billing.services.posting` alone."""

from billing.models.alerts import Alert
from billing.models.contracts import ExchangeRate, HolidayOverride, MarginRule
from billing.models.credit_notes import CreditNote, CreditNoteLine, CreditNotePdf, InvoiceVoid, PriceCorrection
from billing.models.deliveries import Delivery, DeliveryBounce
from billing.models.invoices import Invoice, InvoiceLine, InvoicePdf, InvoiceStatement, NumberSequence
from billing.models.ledger import LedgerEntry, LedgerTransaction
from billing.models.payments import (
    Allocation,
    AllocationReversal,
    Payment,
    PaymentAssignment,
    PaymentReversal,
    Refund,
)
from billing.models.prepayments import Prepayment, PrepaymentWithdrawal, TopUpRequest, TopUpSetting
from billing.models.promotions import PromotionalCredit, PromotionalCreditMove
from billing.models.runs import BillingDraft, BillingRun, BillingRunItem
from billing.models.spending import SpendingAccount, SpendingTerm
from billing.models.tax_invoices import SandboxTaxDocument, TaxInvoice, TaxInvoiceAttempt
from billing.models.terms import Discount, MonthlyMinimum, ZeroRating, invoice_reductions, minimum_of, minimum_parts
from billing.models.upstream import UpstreamAccrual, UpstreamPayment

__all__ = [
    "Alert",
    "Allocation",
    "AllocationReversal",
    "BillingDraft",
    "BillingRun",
    "BillingRunItem",
    "CreditNote",
    "CreditNoteLine",
    "CreditNotePdf",
    "Delivery",
    "DeliveryBounce",
    "Discount",
    "ExchangeRate",
    "HolidayOverride",
    "Invoice",
    "InvoiceLine",
    "InvoicePdf",
    "InvoiceStatement",
    "InvoiceVoid",
    "LedgerEntry",
    "LedgerTransaction",
    "MarginRule",
    "MonthlyMinimum",
    "NumberSequence",
    "Payment",
    "PaymentAssignment",
    "PaymentReversal",
    "Prepayment",
    "PrepaymentWithdrawal",
    "PriceCorrection",
    "PromotionalCredit",
    "PromotionalCreditMove",
    "Refund",
    "SandboxTaxDocument",
    "SpendingAccount",
    "SpendingTerm",
    "TaxInvoice",
    "TaxInvoiceAttempt",
    "TopUpRequest",
    "TopUpSetting",
    "UpstreamAccrual",
    "UpstreamPayment",
    "ZeroRating",
    "invoice_reductions",
    "minimum_of",
    "minimum_parts",
]
