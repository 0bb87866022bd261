"""What billed months would have come to under a corrected price, customer by customer. Writes nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from billing.documents import USAGE_KINDS, InvoiceDocument
from billing.margins import Basis
from billing.models import Invoice, InvoiceLine, PriceCorrection, invoice_reductions
from catalog.money import Rounding, allocate, exact_sum, round_won
from catalog.pricing import PriceSheet
from usage.models import UsageRollup
from usage.periods import BillingMonth
from usage.selectors.repricing import RepricedSum, repriced_events, repriced_sums


@dataclass(frozen=True)
class LineDifference:
    """One invoice line: the USD that it was sold on, as billed and as corrected. `difference_krw` is whole won of supply,
    negative where the customer was billed too much.
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

    The corrected supply is USD x rate / (1 - margin) by each line's own margin and basis, rounded once by the invoice's own
    policy, as the close does, less the invoice's own discounts and at least its monthly minimum; the won that it differs by
    are shared out to the lines by largest remainder.
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
                difference = _difference(in_force[customer_id], correction, sheet, rows)
                found += [difference] if difference.lines else []
    return found


def replaced_number(invoice: Invoice) -> str:
    """The number of the voided invoice that this one was issued instead of; empty where it is the month's first."""
    voided = Invoice.objects.filter(
        customer=invoice.customer_id, month=invoice.month, status=Invoice.Status.VOID, pk__lt=invoice.pk
    )
    return voided.order_by("-pk").values_list("number", flat=True).first() or ""


def _difference(
    invoice: Invoice, correction: PriceCorrection, sheet: PriceSheet, rows: list[RepricedSum]
) -> InvoiceDifference:
    assert invoice.document is not None  # a constraint gives every issued invoice one
    document = InvoiceDocument.from_json(invoice.document)
    usage = invoice.lines.filter(kind__in=USAGE_KINDS).order_by("position")
    by_key = {(line.month, line.model_id): line for line in usage}
    stated = {line: document.lines[line.position - 1] for line in by_key.values()}
    rates: dict[date | None, Fraction] = {day.used_on: Fraction(day.rate) for day in document.exchange.daily}
    lines: dict[InvoiceLine, list[RepricedSum]] = defaultdict(list)
    for row in _by_basis(invoice, correction, sheet, rows, by_key):
        if row.stored_usd != row.repriced_usd:
            lines[by_key[row.month.first_on, row.model_pk]].append(row)
    exact = [
        sum((_base(document, rates, row) for row in own), Fraction(0))
        / (1 - Fraction(document.margin_of(stated[line])))
        for line, own in lines.items()
    ]
    billed = sum(line.amount_krw for line in by_key.values())
    corrected = round_won(document.exact_supply_krw + sum(exact, Fraction(0)), Rounding(document.rounding))
    gross = allocate(corrected - billed, exact) if sum(exact, Fraction(0)) else [0] * len(exact)
    by_line = dict(zip((line.pk for line in lines), gross, strict=True))
    shares = _as_billed(invoice, document, list(by_key.values()), by_line)
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


def _as_billed(
    invoice: Invoice, document: InvoiceDocument, usage: list[InvoiceLine], gross_krw: dict[int, int]
) -> list[int]:
    """What is left of each line's difference (by its key) when the invoice's own discounts are taken off the corrected won
    and its monthly minimum is owed all the same.
    """
    corrected = [line.amount_krw + gross_krw.get(line.pk, 0) for line in usage]
    reductions = invoice_reductions(invoice, usage, corrected)
    after = sum(corrected) - sum(one.amount_krw for one in reductions)
    before = document.usage_krw - document.discount_krw
    difference = max(after, document.minimum_krw) - max(before, document.minimum_krw)
    won = list(gross_krw.values())
    return allocate(difference, [Fraction(part) for part in won]) if sum(won) else won


def _by_basis(
    invoice: Invoice,
    correction: PriceCorrection,
    sheet: PriceSheet,
    rows: list[RepricedSum],
    by_key: dict[tuple[date, int | None], InvoiceLine],
) -> Iterator[RepricedSum]:
    """The sums as they were sold: what lines reckon on upstreams' charges is looked at event by event."""
    others = {}
    for row in rows:
        line = by_key[row.month.first_on, row.model_pk]
        if line.basis == Basis.CATALOG:
            yield row
        else:
            others[row.month, row.model_pk] = Basis(line.basis)
    if not others:
        return
    month = BillingMonth(invoice.month.year, invoice.month.month)
    for event in repriced_events(month, sheet, customer_id=invoice.customer_id, price_id=correction.price_id):
        basis = others.get((event.month, event.model_pk))
        if basis is not None:
            yield RepricedSum(
                customer_id=invoice.customer_id,
                month=event.month,
                model_pk=event.model_pk,
                price_pk=correction.price_id,
                requests=1,
                stored_usd=basis.of(event.stored_usd, event.upstream_cost_usd),
                repriced_usd=basis.of(event.repriced_usd, event.upstream_cost_usd),
                day=event.day,
            )


def _base(document: InvoiceDocument, rates: dict[date | None, Fraction], row: RepricedSum) -> Fraction:
    """Exact won before margin of what a day's usage costs more (or less, then negative)."""
    rate = rates[row.day] if document.exchange.rate is None else Fraction(document.exchange.rate)
    return (Fraction(row.repriced_usd) - Fraction(row.stored_usd)) * rate
