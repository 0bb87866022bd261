"""One line of an issued invoice, taken apart: the events, the prices they carry, the margin, the rate, the rounding.

Everything is read from what was frozen at issue (`Invoice.document`) and from the sums that it was made of; the steps
are exact fractions, so that whoever follows them meets the same won.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from django.db.models import QuerySet, Sum

from billing.documents import DocumentLine, InvoiceDocument
from billing.margins import Basis
from billing.models import Invoice, InvoiceLine, invoice_reductions
from catalog.models import Price
from usage.models import UsageEvent, UsageRollup
from usage.models.rollups import SUMMED
from usage.periods import KST, BillingMonth
from usage.selectors import Consumption
from usage.selectors.events import EventScope, EventStatus, events_of
from usage.selectors.sums import consumption_of


@dataclass(frozen=True)
class PriceShare:
    """What a line's events under one price version add up to."""

    price: Price
    total: Consumption


@dataclass(frozen=True)
class DayShare:
    """A line's share of one KST day under the daily rule: the USD that are sold x that day's rate = exact won before
    margin.
    """

    used_on: date
    cost_usd: Decimal
    rate: Decimal
    source_date: date

    @property
    def base_krw(self) -> Fraction:
        return Fraction(self.cost_usd) * Fraction(self.rate)


@dataclass(frozen=True)
class DiscountShare:
    """What one discount, whose own line stands at `position`, takes off a line."""

    position: int
    name: str
    amount_krw: int


@dataclass(frozen=True)
class LineExplanation:
    """How a line's won came about. `amount_krw` = `cut_krw` + `rounding_krw`.

    `base_krw` is exact won before margin, `exact_krw` after it; `cut_krw` is that without its fraction. The won that are
    missing from the invoice's supply go, one each, to the lines with the largest fractions: `rounding_krw` is 0 or 1.
    """

    document: InvoiceDocument
    line: DocumentLine
    prices: tuple[PriceShare, ...]
    days: tuple[DayShare, ...]
    base_krw: Fraction
    exact_krw: Fraction
    cut_krw: int
    rounding_krw: int
    discounts: tuple[DiscountShare, ...]

    @property
    def left_krw(self) -> int:
        """What is billed of the line when discounts and promotional credit are taken off."""
        return self.line.amount_krw - self.line.discount_krw - self.line.promotion_krw

    @property
    def margin(self) -> Decimal:
        """The line's own."""
        return self.document.margin_of(self.line)

    def sold_usd(self, event: UsageEvent, cost_usd: Decimal) -> Decimal:
        """What an event of that cost is sold on."""
        return Basis(self.line.basis).of(cost_usd, event.upstream_cost_usd)

    def charge_krw(self, event: UsageEvent, cost_usd: Decimal | None) -> Fraction:
        """An event's exact share of the line: what it is sold on, at the line's rate (or its day's) and margin."""
        if cost_usd is None:
            return Fraction(0)
        rate = self.document.exchange.rate
        if rate is None:
            used_on = event.occurred_at.astimezone(KST).date()
            rate = next(day.rate for day in self.days if day.used_on == used_on)
        return Fraction(self.sold_usd(event, cost_usd)) * Fraction(rate) / (1 - Fraction(self.margin))


def explain_line(invoice: Invoice, line: InvoiceLine) -> LineExplanation:
    """The explanation of a usage line of an issued invoice."""
    assert invoice.document is not None  # a constraint gives every issued invoice one
    assert line.model_id is not None  # so does one to every usage line
    document = InvoiceDocument.from_json(invoice.document)
    rollups = UsageRollup.objects.filter(
        customer_id=invoice.customer_id,
        billing_month=invoice.month,
        day__range=(line.month, _month(line).last_on),
        model_id=line.model_id,
    )
    stated = document.lines[line.position - 1]
    days = _days(document, stated, rollups)
    base = _base(document, stated, days)
    exact = base / (1 - Fraction(document.margin_of(stated)))
    cut = exact.numerator // exact.denominator
    return LineExplanation(
        document=document,
        line=stated,
        prices=_prices(rollups),
        days=days,
        base_krw=base,
        exact_krw=exact,
        cut_krw=cut,
        rounding_krw=stated.amount_krw - cut,
        discounts=_discounts(invoice, line),
    )


def _discounts(invoice: Invoice, line: InvoiceLine) -> tuple[DiscountShare, ...]:
    if not line.discount_krw:
        return ()
    lines = list(invoice.lines.order_by("position"))
    usage = [one for one in lines if one.model_id is not None]
    own = {one.discount_id: one for one in lines if one.discount_id is not None}
    at = usage.index(line)
    return tuple(
        DiscountShare(own[one.key].position, own[one.key].model_name, one.by_line_krw[at])
        for one in invoice_reductions(invoice, usage)
        if one.by_line_krw[at]
    )


def events_of_line(invoice: Invoice, line: InvoiceLine) -> QuerySet[UsageEvent]:
    """The priced events that a line bills, newest first."""
    month = _month(line)
    return events_of(
        invoice.customer,
        EventScope(
            start_at=month.start_at,
            end_at=month.end_at,
            billing_month=BillingMonth(invoice.month.year, invoice.month.month),
            model_pk=line.model_id,
            status=EventStatus.PRICED,
        ),
    )


def _month(line: InvoiceLine) -> BillingMonth:
    return BillingMonth(line.month.year, line.month.month)


def _prices(rollups: QuerySet[UsageRollup]) -> tuple[PriceShare, ...]:
    totals = {f"total_{name}": Sum(name) for name in SUMMED}
    sums = {pk: consumption_of(values) for pk, *values in rollups.order_by().values_list("price_id").annotate(**totals)}
    prices = Price.objects.filter(pk__in=sums).order_by("effective_from", "pk")
    return tuple(PriceShare(price, sums[price.pk]) for price in prices)


def _days(document: InvoiceDocument, line: DocumentLine, rollups: QuerySet[UsageRollup]) -> tuple[DayShare, ...]:
    """The line by day, where days have rates of their own."""
    if document.exchange.rate is not None:
        return ()
    rates = {day.used_on: day for day in document.exchange.daily}
    sold = "cost_usd" if line.basis == Basis.CATALOG else f"{line.basis}_basis_usd"
    costs = rollups.order_by("day").values_list("day").annotate(total_sold_usd=Sum(sold))
    return tuple(DayShare(day, cost, rates[day].rate, rates[day].source_date) for day, cost in costs)


def _base(document: InvoiceDocument, line: DocumentLine, days: Sequence[DayShare]) -> Fraction:
    if document.exchange.rate is not None:
        return Fraction(line.sold_usd) * Fraction(document.exchange.rate)
    return sum((day.base_krw for day in days), Fraction(0))
