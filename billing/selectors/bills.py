"""What one customer owes for one month: the computation that preview, page and close share. Writes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from accounts.models import Customer
from billing.documents import DailyExchange, ExchangeEvidence
from billing.errors import NoExchangeRate, NoMarginRule
from billing.models import InvoiceLine
from billing.selectors.exchange import rate_in_force
from billing.selectors.margins import margin_in_force
from billing.totals import Totals, invoice_totals
from catalog.models import Model
from catalog.money import ZERO, Rounding, exact_product, exact_sum
from usage.periods import BillingMonth
from usage.selectors import UsageSum, month_lines


@dataclass(frozen=True)
class BillLine:
    """One model's usage of one KST month with its share of the supply."""

    kind: str
    usage: UsageSum
    model_name: str
    amount_krw: int


@dataclass(frozen=True)
class MonthBill:
    """A month's amounts with everything needed to recompute them. `totals` is None when there was no usage."""

    month: BillingMonth
    lines: tuple[BillLine, ...]
    cost_usd: Decimal
    exchange: ExchangeEvidence
    margin: Decimal
    rounding: Rounding
    totals: Totals


def month_bill(customer: Customer, month: BillingMonth, *, on: date | None = None) -> MonthBill | None:
    """The bill of everything that is billed in that month so far, or None without usage.

    For a month that still runs, `on` is today: its last day has no rate yet, so the last one published so far stands in.
    Raises NoExchangeRate or NoMarginRule: a missing rate is never 1.0 and a missing margin never 0.
    """
    sums = month_lines(customer, month)
    if not sums:
        return None
    rule = margin_in_force(customer, on=month.last_on)
    if rule is None:
        raise NoMarginRule(f"no margin rule covers {month.last_on} for {customer.slug}", field="margin")
    exchange = exchange_evidence(customer, _cost_by_day(sums), on=min(on or month.last_on, month.last_on))
    rounding = Rounding(customer.rounding)
    totals = invoice_totals([_base_krw(line, exchange) for line in sums], margin=rule.margin, rounding=rounding)
    names = dict(Model.objects.filter(pk__in={line.model_pk for line in sums}).values_list("pk", "name"))
    lines = tuple(
        BillLine(
            kind=InvoiceLine.Kind.USAGE if line.month == month else InvoiceLine.Kind.SUPPLEMENTARY,
            usage=line,
            model_name=names[line.model_pk],
            amount_krw=amount,
        )
        for line, amount in zip(sums, totals.line_amounts_krw, strict=True)
    )
    return MonthBill(
        month=month,
        lines=lines,
        cost_usd=exact_sum(line.total.cost_usd for line in sums),
        exchange=exchange,
        margin=rule.margin,
        rounding=rounding,
        totals=totals,
    )


def exchange_evidence(customer: Customer, cost_by_day: dict[date, Decimal], *, on: date) -> ExchangeEvidence:
    """The rate, or under the daily rule the rates, by which a month's dollars become won (DESIGN section 5).

    `on` is the day that the month_end rule looks back from: the month's last.
    """
    if customer.exchange_rule == Customer.ExchangeRule.FIXED:
        return ExchangeEvidence(rule="fixed", rate=customer.fixed_rate_krw_per_usd, source="contract", source_date=None)
    if customer.exchange_rule == Customer.ExchangeRule.DAILY:
        days = []
        for day, cost in sorted(cost_by_day.items()):
            published = rate_in_force(on=day)
            if published is None:
                raise NoExchangeRate(f"no exchange rate was published on or up to 14 days before {day}", field="rate")
            days.append(DailyExchange(used_on=day, cost_usd=cost, rate=published.rate, source_date=published.rate_on))
            source = published.source
        return ExchangeEvidence(rule="daily", rate=None, source=source, source_date=None, daily=tuple(days))
    published = rate_in_force(on=on)
    if published is None:
        raise NoExchangeRate(f"no exchange rate was published on or up to 14 days before {on}", field="rate")
    return ExchangeEvidence(
        rule="month_end", rate=published.rate, source=published.source, source_date=published.rate_on
    )


def _base_krw(line: UsageSum, exchange: ExchangeEvidence) -> Decimal:
    """Exact won of a line before margin."""
    if exchange.rate is not None:
        return exact_product(line.total.cost_usd, exchange.rate)
    rates = {day.used_on: day.rate for day in exchange.daily}
    return exact_sum(exact_product(cost, rates[day]) for day, cost in line.cost_usd_by_day.items())


def _cost_by_day(sums: list[UsageSum]) -> dict[date, Decimal]:
    by_day: dict[date, Decimal] = {}
    for line in sums:
        for day, cost in line.cost_usd_by_day.items():
            by_day[day] = exact_sum((by_day.get(day, ZERO), cost))
    return by_day
