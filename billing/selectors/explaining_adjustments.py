"""The lines behind the usage, taken apart: a discount, what a month is short of its minimum, promotional credit.

Everything is read from what was frozen at issue (`Invoice.document`) and from the terms that its lines name, and reckoned by
the arithmetic that made the invoice. Steps before a rounding are exact fractions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction
from itertools import groupby

from django.db.models import Case, F, Sum, When

from billing.documents import DocumentLine, InvoiceDocument, MinimumPart
from billing.models import (
    Discount,
    Invoice,
    InvoiceLine,
    PromotionalCredit,
    PromotionalCreditMove,
    invoice_reductions,
)
from billing.selectors.bills import bases_by_day
from billing.selectors.promotions import offer_of
from billing.totals import CoveredUsage, Relief, RelievedDay, relieve
from catalog.money import Rounding, vat_won
from usage.periods import BillingMonth
from usage.selectors.sums import month_lines

_AS_SOLD: Mapping[int, Mapping[date | None, Fraction]] = {}


@dataclass(frozen=True)
class DiscountedLine:
    """What a discount takes off one usage line, exact and in whole won; `left_krw` is what those before it left."""

    line: DocumentLine
    left_krw: int
    exact_krw: Fraction
    amount_krw: int


@dataclass(frozen=True)
class DiscountExplanation:
    """How a discount's won came about: `taken_krw` = `cut_krw` + `rounding_krw`, and `parts` add up to it.

    `parts` are the usage lines that it is for, `base_krw` their won before any discount and `left_krw` after those that were
    taken before it (shares come before won a month, then the older one).
    """

    document: InvoiceDocument
    line: DocumentLine
    discount: Discount
    parts: tuple[DiscountedLine, ...]

    @property
    def base_krw(self) -> int:
        return self.line.base_krw

    @property
    def left_krw(self) -> int:
        return sum(part.left_krw for part in self.parts)

    @property
    def agreed_krw(self) -> Fraction:
        """What it would take off if enough were left: the share of `base_krw`, or the won a month."""
        if self.discount.share is not None:
            return Fraction(self.discount.share) * self.base_krw
        return Fraction(self.discount.amount_krw or 0)

    @property
    def exact_krw(self) -> Fraction:
        """What it takes off, before its one rounding."""
        return sum((part.exact_krw for part in self.parts), Fraction(0))

    @property
    def cut_krw(self) -> int:
        """That without its fraction."""
        return int(self.exact_krw)

    @property
    def taken_krw(self) -> int:
        return -self.line.amount_krw

    @property
    def rounding_krw(self) -> int:
        """0 or 1."""
        return self.taken_krw - self.cut_krw


@dataclass(frozen=True)
class MinimumExplanation:
    """How a shortfall came about: the minimum is made up of `parts` by days and rounded once (`minimum_krw` = `cut_krw` +
    `rounding_krw`); the line is that less what usage came to after discounts.
    """

    document: InvoiceDocument
    line: DocumentLine

    @property
    def days_of_month(self) -> int:
        return self.document.period_end_on.day

    @property
    def parts(self) -> tuple[tuple[MinimumPart, Fraction], ...]:
        """Each minimum that held on days of the month, with its exact won."""
        return tuple(
            (part, Fraction(part.amount_krw * part.days, self.days_of_month)) for part in self.document.minimums
        )

    @property
    def exact_krw(self) -> Fraction:
        """The month's minimum before its rounding."""
        return sum((exact for _, exact in self.parts), Fraction(0))

    @property
    def cut_krw(self) -> int:
        """That without its fraction."""
        return int(self.exact_krw)

    @property
    def minimum_krw(self) -> int:
        return self.document.minimum_krw

    @property
    def rounding_krw(self) -> int:
        """0 or 1."""
        return self.minimum_krw - self.cut_krw

    @property
    def left_krw(self) -> int:
        """What the usage came to after discounts."""
        return self.document.usage_krw - self.document.discount_krw


@dataclass(frozen=True)
class RelievedLine:
    """What a credit pays of one usage line: `left_krw` is what discounts and the credits before it left, `days` those of
    them that it covers.
    """

    line: DocumentLine
    left_krw: int
    days: tuple[RelievedDay, ...]

    @property
    def covered_krw(self) -> int:
        """The won of those days that were left."""
        return sum(day.left_krw for day in self.days)

    @property
    def amount_krw(self) -> int:
        return sum(day.amount_krw for day in self.days)


@dataclass(frozen=True)
class PromotionExplanation:
    """How a credit's won came about: `taken_krw` is the smaller of `before_krw`, what was left of the grant, and
    `covered_krw`. `parts` are the usage lines with days that it covers, and add up to it.

    `supply_before_krw` is the invoice's supply before this credit; VAT is a tenth of the supply after all of them.
    """

    document: InvoiceDocument
    line: DocumentLine
    credit: PromotionalCredit
    before_krw: int
    parts: tuple[RelievedLine, ...]

    @property
    def taken_krw(self) -> int:
        return -self.line.amount_krw

    @property
    def after_krw(self) -> int:
        """What was left of the grant."""
        return self.before_krw - self.taken_krw

    @property
    def covered_krw(self) -> int:
        """What it could have paid."""
        return sum(part.covered_krw for part in self.parts)

    @property
    def days(self) -> tuple[RelievedDay, ...]:
        """The days of all lines together, in order, which is the order in which they are paid."""
        cells = sorted((cell for part in self.parts for cell in part.days), key=lambda cell: cell.day)
        return tuple(_together(day, list(same)) for day, same in groupby(cells, key=lambda cell: cell.day))

    @property
    def supply_before_krw(self) -> int:
        later = self.document.lines[self.line.position - 1 :]
        return self.document.supply_krw - sum(line.amount_krw for line in later)

    @property
    def supply_after_krw(self) -> int:
        return self.supply_before_krw - self.taken_krw

    @property
    def vat_before_krw(self) -> int:
        return self._vat(self.supply_before_krw)

    @property
    def vat_after_krw(self) -> int:
        return self._vat(self.supply_after_krw)

    @property
    def saved_vat_krw(self) -> int:
        """The VAT that is not owed because of this credit; those of all credits add up."""
        return self.vat_before_krw - self.vat_after_krw

    def _vat(self, supply_krw: int) -> int:
        return 0 if self.document.zero_rate else vat_won(supply_krw, Rounding(self.document.rounding))


AdjustmentExplanation = DiscountExplanation | MinimumExplanation | PromotionExplanation


def explain_adjustment(invoice: Invoice, line: InvoiceLine) -> AdjustmentExplanation:
    """The explanation of a line behind the usage of an issued invoice."""
    assert invoice.document is not None  # a constraint gives every issued invoice one
    document = InvoiceDocument.from_json(invoice.document)
    stated = document.lines[line.position - 1]
    if line.discount is not None:
        return _discount(invoice, document, stated, line.discount)
    if line.promotional_credit is not None:
        return _promotion(invoice, document, stated, line.promotional_credit)
    return MinimumExplanation(document, stated)


def _discount(
    invoice: Invoice, document: InvoiceDocument, stated: DocumentLine, discount: Discount
) -> DiscountExplanation:
    usage = list(invoice.lines.filter(model_id__isnull=False).order_by("position"))
    reduction = next(one for one in invoice_reductions(invoice, usage) if one.key == discount.pk)
    parts = tuple(
        DiscountedLine(line, taking.left_krw, taking.exact_krw, taking.amount_krw)
        for line, taking in zip(document.usage_lines, reduction.takings, strict=True)
        if taking is not None
    )
    return DiscountExplanation(document, stated, discount, parts)


def _promotion(
    invoice: Invoice, document: InvoiceDocument, stated: DocumentLine, credit: PromotionalCredit
) -> PromotionExplanation:
    lines = document.usage_lines
    left_krw = [line.amount_krw - line.discount_krw for line in lines]
    reliefs = invoice_reliefs(invoice, document, left_krw=left_krw)
    at = next(place for place, one in enumerate(reliefs) if one.key == credit.pk)
    left = [won - sum(one.by_line_krw[place] for one in reliefs[:at]) for place, won in enumerate(left_krw)]
    parts = tuple(
        RelievedLine(line, won, days) for line, won, days in zip(lines, left, reliefs[at].days, strict=True) if days
    )
    return PromotionExplanation(document, stated, credit, _before(invoice)[credit.pk], parts)


def invoice_reliefs(
    invoice: Invoice,
    document: InvoiceDocument,
    *,
    left_krw: Sequence[int],
    more_krw: Mapping[int, Mapping[date | None, Fraction]] = _AS_SOLD,
) -> list[Relief]:
    """What the credits on an invoice take off its usage lines, of which discounts left so many won.

    `more_krw` is what days of lines (by position) would have come to beyond what they did, in exact won before margin.
    """
    before = _before(invoice)
    if not before:
        return []
    rows = invoice.lines.filter(promotional_credit__isnull=False).select_related("promotional_credit")
    offers = [
        replace(offer_of(row.promotional_credit), remaining_krw=before[row.promotional_credit.pk])
        for row in rows.order_by("position")
        if row.promotional_credit is not None
    ]
    sums = {
        (str(one.month), one.model_id): one
        for one in month_lines(invoice.customer, BillingMonth(invoice.month.year, invoice.month.month))
    }
    covered = []
    for line, won in zip(document.usage_lines, left_krw, strict=True):
        days = bases_by_day(sums[line.month, line.model_id].basis_usd_by_day(line.basis), document.exchange)
        more = more_krw.get(line.position, {})
        covered.append(
            CoveredUsage(
                line.model_id, max(won, 0), {day: Fraction(base) + more.get(day, 0) for day, base in days.items()}
            )
        )
    return relieve(covered, offers)


def _before(invoice: Invoice) -> dict[int, int]:
    """What was left of each grant when the invoice used it: grants move with their customer held, one after the other."""
    kinds = PromotionalCreditMove.Kind
    signed = Case(When(kind=kinds.RETURNED, then=F("amount_krw")), default=-F("amount_krw"))
    found = {}
    for move in PromotionalCreditMove.objects.filter(invoice=invoice, kind=kinds.USED).select_related("credit"):
        earlier = PromotionalCreditMove.objects.filter(credit=move.credit_id, pk__lt=move.pk)
        found[move.credit_id] = move.credit.amount_krw + int(earlier.aggregate(won=Sum(signed))["won"] or 0)
    return found


def _together(day: date, cells: list[RelievedDay]) -> RelievedDay:
    return RelievedDay(day, sum(cell.left_krw for cell in cells), sum(cell.amount_krw for cell in cells))
