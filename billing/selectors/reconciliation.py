"""The report for operators: our costs beside the upstream's charges, by Korean day and model, and what sold at a loss."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from fractions import Fraction
from typing import Any

from accounts.models import Customer
from billing.selectors.margins import sold_usage
from catalog.models import Model
from catalog.money import decimal_text
from usage.models import ActivityEstimate
from usage.periods import KST, BillingMonth
from usage.selectors.archives import require_all_events
from usage.selectors.estimates import overlapping_estimates
from usage.selectors.reconciliation import Finding, ModelReconciliation, findings, reconciliation, totals
from usage.selectors.upstream_days import UpstreamDayComparison, upstream_days

#: Generations that are listed one by one, the largest differences first.
LISTED_FINDINGS = 100


@dataclass(frozen=True)
class ReportRow:
    """One model on one Korean day; `loss_usd` is what it sold below the upstream's charges, None where it did not."""

    figures: ModelReconciliation
    loss_usd: Fraction | None

    @property
    def is_clean(self) -> bool:
        """Nothing to look at: whatever was compared agrees, nothing is missing, nothing sold at a loss."""
        one = self.figures
        return not (one.drifted or one.missing_here or one.missing_there or one.restated or self.loss_usd)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**self.figures.as_dict(), "negative_margin": self.loss_usd is not None}


@dataclass(frozen=True)
class ReconciliationReport:
    """What happened from `first` to `last` (Korean days), of all customers or of one."""

    first: date
    last: date
    customer: Customer | None
    rows: list[ReportRow]
    total: ModelReconciliation
    findings: list[Finding]
    days: list[UpstreamDayComparison]
    overlapping: list[ActivityEstimate]

    @property
    def is_clean(self) -> bool:
        """Whether nobody has to look at anything."""
        return all(row.is_clean for row in self.rows) and not self.overlapping

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: counts as numbers, USD as plain decimal text."""
        total = self.total.as_dict()
        del total["day"], total["model"]
        return {
            "first": self.first.isoformat(),
            "last": self.last.isoformat(),
            "customer": self.customer.slug if self.customer else None,
            "rows": [row.as_dict() for row in self.rows],
            "total": total,
            "negative_margin": sum(row.loss_usd is not None for row in self.rows),
            "findings": [finding.as_dict() for finding in self.findings],
            "upstream_days": [day.as_dict() for day in self.days],
            "overlapping_estimates": [
                {
                    "customer": one.customer.slug,
                    "utc_day": one.day.isoformat(),
                    "model": one.permaslug,
                    "charged_usd": decimal_text(one.charged_usd),
                }
                for one in self.overlapping
            ],
        }


def reconciliation_report(first: date, last: date, *, customer: Customer | None = None) -> ReconciliationReport:
    """The report of these Korean days, both included. Raises EventsArchived where events of that time stand in files."""
    start_at = datetime.combine(first, time(), KST)
    end_at = datetime.combine(last + timedelta(days=1), time(), KST)
    require_all_events(start_at=start_at, end_at=end_at)
    losses = negative_days(first, last, customer=customer)
    compared = reconciliation(start_at, end_at, customer=customer)
    return ReconciliationReport(
        first=first,
        last=last,
        customer=customer,
        rows=[ReportRow(one, losses.get((one.day, one.model_id))) for one in compared],
        total=totals(compared, day=first),
        findings=findings(start_at, end_at, customer=customer, limit=LISTED_FINDINGS),
        days=upstream_days(first, last) if customer is None else [],
        overlapping=[one for one in overlapping_estimates(customer) if first <= one.day <= last],
    )


def negative_days(first: date, last: date, *, customer: Customer | None = None) -> dict[tuple[date, str], Fraction]:
    """By (Korean day, model): USD by which it sold below what upstreams charged, exactly; only losses.

    Each customer's usage sells by the rules that bill the day's month, as in `model_margins`.
    """
    found: dict[tuple[date, int], Fraction] = {}
    for month in _months(first, last):
        days = max(first, month.first_on), min(last, month.last_on)
        for sold in sold_usage(month, *days, customer_pk=None if customer is None else customer.pk):
            loss = Fraction(sold.upstream_cost_usd) - sold.selling_usd
            found[sold.day, sold.model_pk] = found.get((sold.day, sold.model_pk), Fraction(0)) + loss
    ids = dict(Model.objects.filter(pk__in={pk for _, pk in found}).values_list("pk", "model_id"))
    return {(day, ids[pk]): loss for (day, pk), loss in found.items() if loss > 0}


def _months(first: date, last: date) -> Iterable[BillingMonth]:
    month = BillingMonth(first.year, first.month)
    while month.first_on <= last:
        yield month
        month = month.next()
