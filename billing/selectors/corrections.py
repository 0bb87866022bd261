"""What billed months would have come to under a corrected price, customer by customer. Writes nothing."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from billing.documents import InvoiceDocument
from billing.models import Invoice, InvoiceLine, PriceCorrection
from catalog.money import Rounding, allocate, exact_sum, round_won
from catalog.pricing import PriceSheet
from usage.models import UsageRollup
from usage.periods import BillingMonth
from usage.selectors.repricing import RepricedSum, repriced_sums


@dataclass(frozen=True)
class LineDifference:
    """One invoice line: USD as billed and as corrected. `difference_krw` is whole won of supply, negative where the
    customer was billed too much.
    """

    line: InvoiceLine
    stored_usd: Decimal
    corrected_usd: Decimal
    difference_krw: int


@dataclass(frozen=True)
class InvoiceDifference:
    """One invoice that holds usage at the corrected price."""

    invoice: Invoice
    lines: tuple[LineDifference, ...]

    @property
    def difference_krw(self) -> int:
        return sum(line.difference_krw for line in self.lines)


def correction_differences(correction: PriceCorrection) -> list[InvoiceDifference]:
    """The invoices in force that would have been others, by month and customer.

    The corrected supply is USD x rate / (1 - margin), rounded once by the invoice's own policy, as the close does; the won
    that it differs by are shared out to the lines by largest remainder.
    """
    sheet = PriceSheet.parse(correction.components, correction.overrides)
    used = UsageRollup.objects.filter(price_id=correction.price_id).order_by("billing_month")
    found: list[InvoiceDifference] = []
    for first_on in used.values_list("billing_month", flat=True).distinct():
        month = BillingMonth(first_on.year, first_on.month)
        invoices = Invoice.objects.filter(month=first_on, status__in=(Invoice.Status.ISSUED, Invoice.Status.PAID))
        in_force = {invoice.customer_id: invoice for invoice in invoices.select_related("customer")}
        by_customer: dict[int, list[RepricedSum]] = defaultdict(list)
        prices = {correction.price_id: sheet}
        for row in repriced_sums(month, corrections=prices, price_id=correction.price_id, by_day=True):
            by_customer[row.customer_id].append(row)
        for customer_id, rows in sorted(by_customer.items()):
            if customer_id in in_force:
                difference = _difference(in_force[customer_id], rows)
                found += [difference] if difference.lines else []
    return found


def _difference(invoice: Invoice, rows: list[RepricedSum]) -> InvoiceDifference:
    assert invoice.document is not None  # a constraint gives every issued invoice one
    document = InvoiceDocument.from_json(invoice.document)
    rates: dict[date | None, Fraction] = {day.used_on: Fraction(day.rate) for day in document.exchange.daily}
    lines: dict[InvoiceLine, list[RepricedSum]] = defaultdict(list)
    by_key = {(line.month, line.model_id): line for line in invoice.lines.exclude(kind=InvoiceLine.Kind.PROMOTION)}
    for row in rows:
        if row.stored_usd != row.repriced_usd:
            lines[by_key[row.month.first_on, row.model_pk]].append(row)
    factor = 1 / (1 - Fraction(document.margin))
    exact = [factor * sum((_base(document, rates, row) for row in own), Fraction(0)) for own in lines.values()]
    billed = sum(line.amount_krw for line in by_key.values())
    corrected = round_won(document.exact_supply_krw + sum(exact, Fraction(0)), Rounding(document.rounding))
    shares = allocate(corrected - billed, exact) if sum(exact, Fraction(0)) else [0] * len(exact)
    return InvoiceDifference(
        invoice,
        tuple(
            LineDifference(
                line,
                exact_sum(row.stored_usd for row in own),
                exact_sum(row.repriced_usd for row in own),
                share,
            )
            for (line, own), share in zip(lines.items(), shares, strict=True)
            if share
        ),
    )


def _base(document: InvoiceDocument, rates: dict[date | None, Fraction], row: RepricedSum) -> Fraction:
    """Exact won before margin of what a day's usage costs more (or less, then negative)."""
    rate = rates[row.day] if document.exchange.rate is None else Fraction(document.exchange.rate)
    return (Fraction(row.repriced_usd) - Fraction(row.stored_usd)) * rate
