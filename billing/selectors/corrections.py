"""What billed months would have come to under a corrected price, customer by customer. Writes nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction

from django.db.models import Exists, OuterRef, QuerySet

from billing.documents import USAGE_KINDS, InvoiceDocument
from billing.margins import Basis
from billing.models import Invoice, InvoiceLine, PriceCorrection, invoice_reductions
from billing.selectors.explaining_adjustments import invoice_reliefs
from catalog.money import Rounding, allocate, exact_sum, round_won
from catalog.pricing import PriceSheet
from usage.models import UsageRollup
from usage.periods import BillingMonth
from usage.selectors.repricing import RepricedSum, repriced_events, repriced_sums


@dataclass(frozen=True)
class LineDifference:
    """One invoice line: the USD that its usage at the price was sold on, as billed and as corrected (none where the line
    only shares a discount or credit with another). `difference_krw` is whole won of supply, negative where the customer was
    billed too much.
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


@dataclass(frozen=True)
class _Repriced:
    """A correction with what it makes of the usage at its price in one month, by customer."""

    correction: PriceCorrection
    sheet: PriceSheet
    rows: Mapping[int, list[RepricedSum]]


def correction_differences(correction: PriceCorrection) -> list[InvoiceDifference]:
    """The invoices in force that would have been others, by month and customer.

    The corrected supply is USD x rate / (1 - margin) by each line's own margin and basis, rounded once by the invoice's own
    policy, as the close does, less the invoice's own discounts, at least its monthly minimum, less its own credit; the won
    that it differs by are shared out to the lines by largest remainder. Corrections that were approved since the invoice was
    issued hold with it: what they gave back, at this price or another, is not given back again.
    """
    used = UsageRollup.objects.filter(price_id=correction.price_id).order_by("billing_month")
    found: list[InvoiceDifference] = []
    for first_on in used.values_list("billing_month", flat=True).distinct():
        found += _month_differences(correction, BillingMonth(first_on.year, first_on.month))
    return found


def _month_differences(correction: PriceCorrection, month: BillingMonth) -> Iterator[InvoiceDifference]:
    invoices = Invoice.objects.filter(month=month.first_on, status__in=(Invoice.Status.ISSUED, Invoice.Status.PAID))
    in_force = {invoice.customer_id: invoice for invoice in invoices.select_related("customer")}
    own = _repriced(correction, month)
    earlier = [_repriced(one, month) for one in _approved(correction, month)]
    for customer_id in sorted(own.rows.keys() & in_force.keys()):
        invoice = in_force[customer_id]
        lines = _left(invoice, [*(one for one in earlier if _gave(one, invoice)), own])
        if lines:
            yield InvoiceDifference(invoice, lines)


def _approved(correction: PriceCorrection, month: BillingMonth) -> QuerySet[PriceCorrection]:
    """The other corrections that a month may have been credited by, the first one first."""
    used = UsageRollup.objects.filter(billing_month=month.first_on, price_id=OuterRef("price"))
    approved = PriceCorrection.objects.filter(Exists(used), status=PriceCorrection.Status.APPROVED)
    return approved.exclude(pk=correction.pk).order_by("decided_at", "pk")


def _gave(earlier: _Repriced, invoice: Invoice) -> bool:
    """Whether an approved correction met this invoice: one from before it was issued gave nothing of it."""
    decided_at = earlier.correction.decided_at
    is_later = decided_at is not None and invoice.issued_at is not None and invoice.issued_at <= decided_at
    return is_later and invoice.customer_id in earlier.rows


def _repriced(correction: PriceCorrection, month: BillingMonth) -> _Repriced:
    sheet = PriceSheet.parse(correction.components, correction.overrides)
    by_customer: dict[int, list[RepricedSum]] = defaultdict(list)
    prices = {correction.price_id: sheet}
    for row in repriced_sums(month, corrections=prices, price_id=correction.price_id, by_day=True):
        by_customer[row.customer_id].append(row)
    return _Repriced(correction, sheet, by_customer)


def _left(invoice: Invoice, steps: Sequence[_Repriced]) -> tuple[LineDifference, ...]:
    """What the last of these corrections finds once those before it have given back what they found."""
    given_krw: dict[int, int] = defaultdict(int)
    in_force: dict[int, _Repriced] = {}
    left: tuple[LineDifference, ...] = ()
    for step in steps:
        for one in left:
            given_krw[one.line.pk] += max(-one.difference_krw, 0)
        in_force[step.correction.price_id] = step
        left = _not_given(_differences(invoice, list(in_force.values()), at=step), given_krw)
    return left


def _not_given(lines: list[LineDifference], given_krw: Mapping[int, int]) -> tuple[LineDifference, ...]:
    """The differences without what was given back. What one line got too much another gets less."""
    open_krw = [one.difference_krw + given_krw.get(one.line.pk, 0) for one in lines]
    if any(given_krw.values()):
        net = sum(one.difference_krw for one in lines) + sum(given_krw.values())
        weights = [Fraction(max(won, 0) if net > 0 else min(won, 0)) for won in open_krw]
        open_krw = allocate(net, weights) if net else [0] * len(lines)
    return tuple(replace(one, difference_krw=won) for one, won in zip(lines, open_krw, strict=True) if won)


def replaced_number(invoice: Invoice) -> str:
    """The number of the voided invoice that this one was issued instead of; empty where it is the month's first."""
    voided = Invoice.objects.filter(
        customer=invoice.customer_id, month=invoice.month, status=Invoice.Status.VOID, pk__lt=invoice.pk
    )
    return voided.order_by("-pk").values_list("number", flat=True).first() or ""


def _differences(invoice: Invoice, corrected: Sequence[_Repriced], *, at: _Repriced) -> list[LineDifference]:
    """What each line should have been otherwise under all of these corrections; its USD are those `at` one of them."""
    assert invoice.document is not None  # a constraint gives every issued invoice one
    document = InvoiceDocument.from_json(invoice.document)
    usage = invoice.lines.filter(kind__in=USAGE_KINDS).order_by("position")
    by_key = {(line.month, line.model_id): line for line in usage}
    stated = {line: document.lines[line.position - 1] for line in by_key.values()}
    rates: dict[date | None, Fraction] = {day.used_on: Fraction(day.rate) for day in document.exchange.daily}
    lines: dict[InvoiceLine, list[RepricedSum]] = defaultdict(list)
    for one in corrected:
        for row in _by_basis(invoice, one, by_key):
            if row.stored_usd != row.repriced_usd:
                lines[by_key[row.month.first_on, row.model_pk]].append(row)
    more_krw = {line: _base_by_day(document, rates, own) for line, own in lines.items()}
    exact = [
        sum(by_day.values(), Fraction(0)) / (1 - Fraction(document.margin_of(stated[line])))
        for line, by_day in more_krw.items()
    ]
    usage_lines = list(by_key.values())
    billed = sum(line.amount_krw for line in usage_lines)
    corrected_krw = round_won(document.exact_supply_krw + sum(exact, Fraction(0)), Rounding(document.rounding))
    gross = allocate(corrected_krw - billed, exact) if sum(exact, Fraction(0)) else [0] * len(exact)
    by_line = dict(zip((line.pk for line in lines), gross, strict=True))
    amounts = [line.amount_krw + by_line.get(line.pk, 0) for line in usage_lines]
    by_position = {line.position: by_day for line, by_day in more_krw.items()}
    shares = _as_billed(invoice, document, usage_lines, amounts, by_position)
    found = []
    for line, share in zip(usage_lines, shares, strict=True):
        own = [row for row in lines.get(line, ()) if row.price_pk == at.correction.price_id]
        stored, repriced = exact_sum(row.stored_usd for row in own), exact_sum(row.repriced_usd for row in own)
        found.append(LineDifference(line, stored, repriced, share))
    return found


def _as_billed(
    invoice: Invoice,
    document: InvoiceDocument,
    usage: list[InvoiceLine],
    corrected_krw: list[int],
    more_krw: Mapping[int, Mapping[date | None, Fraction]],
) -> list[int]:
    """What each line differs by when the invoice's own discounts and credit are taken off the corrected won and its monthly
    minimum is owed all the same. A discount or credit that a line needs less of is taken off the others.
    """
    reductions = invoice_reductions(invoice, usage, corrected_krw)
    left = [won - sum(one.by_line_krw[at] for one in reductions) for at, won in enumerate(corrected_krw)]
    short = max(document.minimum_krw - sum(left), 0)
    for relief in invoice_reliefs(invoice, document, left_krw=left, more_krw=more_krw):
        left = [won - taken for won, taken in zip(left, relief.by_line_krw, strict=True)]
    moved = [
        won - line.amount_krw + line.discount_krw + line.promotion_krw for won, line in zip(left, usage, strict=True)
    ]
    difference = sum(moved) + short - document.shortfall_krw
    return allocate(difference, [Fraction(won) for won in moved]) if sum(moved) else moved


def _by_basis(
    invoice: Invoice, corrected: _Repriced, by_key: dict[tuple[date, int | None], InvoiceLine]
) -> Iterator[RepricedSum]:
    """The sums as they were sold: what lines reckon on upstreams' charges is looked at event by event."""
    price_pk = corrected.correction.price_id
    others = {}
    for row in corrected.rows[invoice.customer_id]:
        line = by_key[row.month.first_on, row.model_pk]
        if line.basis == Basis.CATALOG:
            yield row
        else:
            others[row.month, row.model_pk] = Basis(line.basis)
    if not others:
        return
    month = BillingMonth(invoice.month.year, invoice.month.month)
    for event in repriced_events(month, corrected.sheet, customer_id=invoice.customer_id, price_id=price_pk):
        basis = others.get((event.month, event.model_pk))
        if basis is not None:
            yield RepricedSum(
                customer_id=invoice.customer_id,
                month=event.month,
                model_pk=event.model_pk,
                price_pk=price_pk,
                requests=1,
                stored_usd=basis.of(event.stored_usd, event.upstream_cost_usd),
                repriced_usd=basis.of(event.repriced_usd, event.upstream_cost_usd),
                day=event.day,
            )


def _base_by_day(
    document: InvoiceDocument, rates: dict[date | None, Fraction], rows: list[RepricedSum]
) -> dict[date | None, Fraction]:
    """Exact won before margin of what a line's usage costs more, by day."""
    by_day: dict[date | None, Fraction] = defaultdict(Fraction)
    for row in rows:
        by_day[row.day] += _base(document, rates, row)
    return by_day


def _base(document: InvoiceDocument, rates: dict[date | None, Fraction], row: RepricedSum) -> Fraction:
    """Exact won before margin of what a day's usage costs more (or less, then negative)."""
    rate = rates[row.day] if document.exchange.rate is None else Fraction(document.exchange.rate)
    return (Fraction(row.repriced_usd) - Fraction(row.stored_usd)) * rate
