"""What a run in steps shows for approval: drafts, what is odd about them, and how far the run is. Writes nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Any

from django.db.models import Count, Sum

from accounts.models import Customer
from billing.errors import ChangedSinceApproval, NotApproved, StepNotPossible
from billing.models import BillingDraft, BillingRun, BillingRunItem, Delivery, Invoice
from billing.selectors.bills import MonthBill
from catalog.money import decimal_text
from usage.models import UsageRollup
from usage.periods import BillingMonth
from usage.selectors import Bases

#: A change against last month that somebody should look at.
NOTABLE_CHANGE = Fraction(30, 100)


class Stage(StrEnum):
    """The step that a run waits for."""

    RATES = "rates"
    DRAFTS = "drafts"
    APPROVAL = "approval"
    ISSUE = "issue"
    DONE = "done"


@dataclass(frozen=True)
class RunStatus:
    """A run at a glance. Counts are customers; `deliveries` are mails and tax invoices by their status."""

    stage: Stage
    counts: dict[str, int]
    drafted: int
    anomalies: dict[str, int]
    supply_krw: int
    vat_krw: int
    total_krw: int
    deliveries: dict[str, int]


def run_in_steps(month: BillingMonth) -> BillingRun:
    """The run of a month that was begun in steps. Raises StepNotPossible where there is none."""
    run = BillingRun.objects.filter(month=month.first_on, is_stepwise=True).first()
    if run is None:
        raise StepNotPossible(f"the close of {month} was not begun in steps: confirm its rates first", field="month")
    return run


def bill_digest(bill: MonthBill | None) -> str:
    """SHA-256 over every figure of a bill; empty where there is nothing to bill."""
    if bill is None:
        return ""
    content: list[Any] = [
        [str(bill.month), decimal_text(bill.cost_usd), bill.rounding.value],
        [bill.totals.supply_krw, bill.totals.vat_krw, bill.totals.total_krw],
        [bill.exchange.rule, str(bill.exchange.rate), bill.exchange.source, str(bill.exchange.source_date)],
        [[str(day.used_on), str(day.rate), str(day.source_date)] for day in bill.exchange.daily],
        [
            [
                line.kind,
                str(line.usage.month),
                line.usage.model_id,
                decimal_text(line.usage.total.cost_usd),
                decimal_text(line.sold_usd),
                decimal_text(line.terms.margin),
                line.terms.basis.value,
                line.amount_krw,
            ]
            for line in bill.lines
        ],
        *([_adjustment_figures(bill)] if bill.adjustments else []),
        *([_minimum_figures(bill)] if bill.minimums else []),
        *([["zero_rating", bill.zero_rating.pk]] if bill.zero_rating else []),
        # The dollars themselves follow from the won and the rate.
        *([["currency", bill.currency]] if bill.dollars else []),
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _adjustment_figures(bill: MonthBill) -> list[list[Any]]:
    """The lines behind the usage: what is taken off or added, by which row, and of what."""
    return [[one.kind, one.name, one.amount_krw, str(one.share), one.base_krw, one.row_pk] for one in bill.adjustments]


def _minimum_figures(bill: MonthBill) -> list[Any]:
    """The monthly minimum also where the usage reaches it."""
    return [bill.minimum_krw, *([part.amount_krw, str(part.first_on), str(part.last_on)] for part in bill.minimums)]


def drafted_digests(items: Collection[BillingRunItem]) -> dict[int, str]:
    """The digests of the items' drafts, by item; whoever has no draft is left out."""
    return dict(BillingDraft.objects.filter(item__in=items).values_list("item_id", "digest"))


def require_approval(item: BillingRunItem, bill: MonthBill | None, digest: str | None) -> None:
    """Raise unless this very bill was approved; `digest` is that of the item's draft, None where it has none."""
    if item.run.approved_at is None:
        raise NotApproved("the drafts of this month were not approved yet", field="month")
    if digest != bill_digest(bill):
        raise ChangedSinceApproval(
            f"the bill of {item.customer.slug} changed after its draft was approved: draft and approve it again",
            field="customer",
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the drafts of some customers are held against, by customer: the supply of last month's invoice, left out where
    none was issued, and the usage of which upstreams named a charge: model, what it may be sold on, and that charge.
    """

    previous_supply_krw: Mapping[int, int]
    charged: Mapping[int, list[tuple[int, Bases, Decimal]]]


def load_comparison(customers: Collection[Customer], month: BillingMonth) -> Comparison:
    """The comparison for drafts of a month. Usage of a day, key, app and price without a charge is not in it."""
    issued = Invoice.objects.filter(customer__in=customers, month=month.previous().first_on)
    issued = issued.exclude(status__in=(Invoice.Status.DRAFT, Invoice.Status.VOID))
    rows = UsageRollup.objects.filter(
        customer__in=customers, billing_month=month.first_on, upstream_cost_usd__gt=0
    ).order_by()
    sums = rows.values_list("customer_id", "model_id").annotate(
        Sum("cost_usd"), Sum("upstream_basis_usd"), Sum("higher_basis_usd"), Sum("upstream_cost_usd")
    )
    charged: dict[int, list[tuple[int, Bases, Decimal]]] = {}
    for customer_id, model_pk, cost, upstream, higher, charge in sums:
        charged.setdefault(customer_id, []).append((model_pk, Bases(cost, upstream, higher), charge))
    return Comparison(dict(issued.values_list("customer_id", "supply_krw")), charged)


def anomalies_of(customer: Customer, bill: MonthBill | None, comparison: Comparison) -> list[str]:
    """What somebody should look at before this bill goes out (`BillingDraft.Anomaly`)."""
    supply_krw = 0 if bill is None else bill.totals.supply_krw
    previous = comparison.previous_supply_krw.get(customer.pk)
    found: list[str] = []
    if previous:
        change = Fraction(supply_krw - previous, previous)
        if supply_krw == 0:
            found.append(BillingDraft.Anomaly.ZERO)
        elif change > NOTABLE_CHANGE:
            found.append(BillingDraft.Anomaly.RISE)
        elif change < -NOTABLE_CHANGE:
            found.append(BillingDraft.Anomaly.FALL)
    if bill is not None and _is_sold_below_cost(bill, comparison.charged.get(customer.pk, ())):
        found.append(BillingDraft.Anomaly.NEGATIVE_MARGIN)
    return found


def run_status(run: BillingRun) -> RunStatus:
    """How far a run is."""
    counts = dict.fromkeys(BillingRunItem.Status.values, 0)
    counts |= dict(run.items.order_by().values_list("status").annotate(Count("pk")))
    drafts = BillingDraft.objects.filter(item__run=run)
    sums = drafts.aggregate(*(Sum(name) for name in ("supply_krw", "vat_krw", "total_krw")))
    anomalies: dict[str, int] = {}
    for found in drafts.exclude(anomalies=[]).values_list("anomalies", flat=True):
        for anomaly in found:
            anomalies[anomaly] = anomalies.get(anomaly, 0) + 1
    deliveries = Delivery.objects.filter(invoice__month=run.month).order_by().values_list("status")
    pending = run.items.filter(status=BillingRunItem.Status.PENDING)
    return RunStatus(
        stage=_stage(run, pending=counts[BillingRunItem.Status.PENDING], undrafted=pending.filter(draft=None).count()),
        counts=counts,
        drafted=drafts.count(),
        anomalies=dict(sorted(anomalies.items())),
        supply_krw=sums["supply_krw__sum"] or 0,
        vat_krw=sums["vat_krw__sum"] or 0,
        total_krw=sums["total_krw__sum"] or 0,
        deliveries=dict(deliveries.annotate(Count("pk"))),
    )


def _stage(run: BillingRun, *, pending: int, undrafted: int) -> Stage:
    if not pending:
        return Stage.DONE
    if not run.is_stepwise or run.approved_at is not None:
        return Stage.ISSUE
    if run.rates_confirmed_at is None:
        return Stage.RATES
    return Stage.DRAFTS if run.drafted_at is None or undrafted else Stage.APPROVAL


def _is_sold_below_cost(bill: MonthBill, charged: Iterable[tuple[int, Bases, Decimal]]) -> bool:
    terms = {line.usage.model_pk: line.terms for line in bill.lines}
    kept = 1 - Fraction(bill.totals.discount_krw, bill.totals.usage_krw or 1)
    left = Fraction(0)
    for model_pk, bases, charge in charged:
        left += kept * terms[model_pk].selling(bases.of(terms[model_pk].basis)) - Fraction(charge)
    return left < 0
