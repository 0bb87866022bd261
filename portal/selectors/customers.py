"""What the pages ask: always of one customer, never of all."""

from __future__ import annotations

from django.db.models import F, QuerySet
from django.db.models.functions import TruncMonth

from accounts.models import ApiKey, Customer
from billing.models import Allocation, Invoice
from usage.models import UsageRollup
from usage.periods import BillingMonth


def months_with_usage(customer: Customer) -> list[BillingMonth]:
    """The KST months in which the customer used anything that has a price, newest first."""
    days = UsageRollup.objects.filter(customer=customer).annotate(month=TruncMonth("day"))
    firsts = days.order_by("-month").values_list("month", flat=True).distinct()
    return [BillingMonth(first.year, first.month) for first in firsts]


def issued_invoices(customer: Customer) -> QuerySet[Invoice]:
    """The customer's invoices, newest first. Drafts are ours alone."""
    invoices = Invoice.objects.filter(customer=customer).exclude(status=Invoice.Status.DRAFT)
    return invoices.select_related("tax_invoice").order_by("-month", "-number")


def standing_settlements(invoice: Invoice) -> list[tuple[str, int]]:
    """What settled the invoice and was not taken back, the oldest first: its source and won."""
    standing = Allocation.objects.filter(invoice=invoice, reversal__isnull=True).order_by("pk")
    return list(standing.values_list("source", "amount_krw"))


def api_keys_of(customer: Customer) -> QuerySet[ApiKey]:
    """The customer's keys: those that were not revoked first, newest first."""
    return ApiKey.objects.filter(customer=customer).order_by(
        F("revoked_at").desc(nulls_first=True), "-created_at", "-pk"
    )
