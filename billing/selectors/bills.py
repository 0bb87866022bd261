"""What one customer owes for one month: the computation that preview, page and close share. Writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from accounts.models import Customer
from billing.documents import DailyExchange, DocumentLine, ExchangeEvidence
from billing.errors import NoExchangeRate, NoMarginRule
from billing.margins import Basis, Terms
from billing.models import InvoiceLine, PromotionalCredit
from billing.selectors.facts import MonthFacts, load_facts
from billing.selectors.promotions import offer_of
from billing.totals import CoveredUsage, Totals, invoice_totals, relieve, relieved
from catalog.money import ZERO, Rounding, exact_product, exact_sum
from usage.periods import BillingMonth
from usage.selectors import UsageSum


@dataclass(frozen=True)
class BillLine:
    """One model's usage of one KST month with its share of the supply, `promotion_krw` of it taken off by credit."""

    kind: str
    usage: UsageSum
    model_name: str
    terms: Terms
    base_krw: Decimal
    amount_krw: int
    promotion_krw: int = 0

    @property
    def sold_usd(self) -> Decimal:
        """The USD that its margin is reckoned on; `base_krw` is that in exact won."""
        return self.usage.bases.of(self.terms.basis)


@dataclass(frozen=True)
class BillPromotion:
    """So many won that one promotional credit takes off the supply."""

    credit: PromotionalCredit
    amount_krw: int


@dataclass(frozen=True)
class MonthBill:
    """A month's amounts with everything needed to recompute them. `totals` are those after promotional credit."""

    month: BillingMonth
    lines: tuple[BillLine, ...]
    promotions: tuple[BillPromotion, ...]
    cost_usd: Decimal
    exchange: ExchangeEvidence
    rounding: Rounding
    totals: Totals

    @property
    def margin(self) -> Decimal | None:
        """The margin of all lines; None where they differ."""
        margins = {line.terms.margin for line in self.lines}
        return margins.pop() if len(margins) == 1 else None

    @property
    def usage_krw(self) -> int:
        """The supply before promotional credit."""
        return self.totals.supply_krw + self.totals.promotion_krw

    @property
    def document_lines(self) -> tuple[DocumentLine, ...]:
        """The lines as an invoice has them: usage first, then what promotional credit takes off."""
        is_by_line = self.margin is None
        has_bases = self.exchange.rate is None and len({line.terms for line in self.lines}) > 1
        usage = tuple(
            _usage_line(position, line, is_by_line=is_by_line, has_bases=has_bases)
            for position, line in enumerate(self.lines, start=1)
        )
        behind = len(usage) + 1
        return usage + tuple(
            _promotion_line(position, promotion, month=self.month)
            for position, promotion in enumerate(self.promotions, start=behind)
        )


def month_bill(customer: Customer, month: BillingMonth, *, on: date | None = None) -> MonthBill | None:
    """The bill of one customer, as things stand: `compute_bill` with the facts of this moment (`load_facts`)."""
    return compute_bill(customer, load_facts([customer], month, on=on))


def compute_bill(customer: Customer, facts: MonthFacts) -> MonthBill | None:
    """The bill of everything that is billed in that month so far, or None without usage. Promotional credit is taken off.

    Raises NoExchangeRate or NoMarginRule: a missing rate is never 1.0 and a missing margin never 0.
    """
    sums, month, models = facts.sums[customer.pk], facts.month, facts.models
    if not sums:
        return None
    terms = _terms(customer, sums, facts)
    exchange = exchange_evidence(customer, sums, terms, facts)
    rounding = Rounding(customer.rounding)
    bases_krw = [_base_krw(line, one, exchange) for line, one in zip(sums, terms, strict=True)]
    totals = invoice_totals(bases_krw, margins=[one.margin for one in terms], rounding=rounding)
    promotions, relieved_krw = _promotions(facts.credits.get(customer.pk, ()), sums, terms, totals, exchange)
    totals = relieved(totals, sum(relieved_krw), rounding=rounding)
    lines = tuple(
        BillLine(
            kind=InvoiceLine.Kind.USAGE if line.month == month else InvoiceLine.Kind.SUPPLEMENTARY,
            usage=line,
            model_name=models[line.model_pk].name,
            terms=of_line,
            base_krw=base,
            amount_krw=amount,
            promotion_krw=promotion,
        )
        for line, of_line, base, amount, promotion in zip(
            sums, terms, bases_krw, totals.line_amounts_krw, relieved_krw, strict=True
        )
    )
    return MonthBill(
        month=month,
        lines=lines,
        promotions=promotions,
        cost_usd=exact_sum(line.total.cost_usd for line in sums),
        exchange=exchange,
        rounding=rounding,
        totals=totals,
    )


def _terms(customer: Customer, sums: list[UsageSum], facts: MonthFacts) -> list[Terms]:
    """On which terms each line sells, by the rules of the month's last day."""
    found = []
    for line in sums:
        model = facts.models[line.model_pk]
        terms = facts.margins.terms(customer.pk, model_id=model.model_id, provider=model.provider)
        if terms is None:
            message = f"no margin rule covers {model.model_id} on {facts.month.last_on} for {customer.slug}"
            raise NoMarginRule(message, field="margin")
        found.append(terms)
    return found


def exchange_evidence(
    customer: Customer, sums: list[UsageSum], terms: list[Terms], facts: MonthFacts
) -> ExchangeEvidence:
    """The rate, or under the daily rule the rates, by which a month's dollars become won (DESIGN section 5)."""
    if customer.exchange_rule == Customer.ExchangeRule.FIXED:
        return ExchangeEvidence(rule="fixed", rate=customer.fixed_rate_krw_per_usd, source="contract", source_date=None)
    if customer.exchange_rule == Customer.ExchangeRule.DAILY:
        days = []
        for day, cost in sorted(_usd_by_day(sums, terms).items()):
            published = facts.rates.in_force(day)
            if published is None:
                raise NoExchangeRate(f"no exchange rate was published on or up to 14 days before {day}", field="rate")
            days.append(DailyExchange(used_on=day, cost_usd=cost, rate=published.rate, source_date=published.rate_on))
            source = published.source
        return ExchangeEvidence(rule="daily", rate=None, source=source, source_date=None, daily=tuple(days))
    published = facts.rates.in_force(facts.on)
    if published is None:
        raise NoExchangeRate(f"no exchange rate was published on or up to 14 days before {facts.on}", field="rate")
    return ExchangeEvidence(
        rule="month_end", rate=published.rate, source=published.source, source_date=published.rate_on
    )


def _promotions(
    usable: Sequence[PromotionalCredit],
    sums: list[UsageSum],
    terms: list[Terms],
    totals: Totals,
    exchange: ExchangeEvidence,
) -> tuple[tuple[BillPromotion, ...], list[int]]:
    """What promotional credit takes off, by grant and by line."""
    by_line_krw = [0] * len(sums)
    grants = {credit.pk: credit for credit in usable}
    if not grants:
        return (), by_line_krw
    usage = [
        CoveredUsage(line.model_id, amount, _bases_by_day(line.basis_usd_by_day(one.basis), exchange))
        for line, one, amount in zip(sums, terms, totals.line_amounts_krw, strict=True)
    ]
    reliefs = relieve(usage, [offer_of(credit) for credit in grants.values()])
    for relief in reliefs:
        by_line_krw = [before + won for before, won in zip(by_line_krw, relief.by_line_krw, strict=True)]
    return tuple(BillPromotion(grants[relief.key], relief.amount_krw) for relief in reliefs), by_line_krw


def _usage_line(position: int, line: BillLine, *, is_by_line: bool, has_bases: bool) -> DocumentLine:
    usage = line.usage
    return DocumentLine(
        position=position,
        kind=line.kind,
        model_id=usage.model_id,
        model_name=line.model_name,
        month=str(usage.month),
        requests=usage.total.requests,
        prompt_tokens=usage.total.prompt_tokens,
        cache_read_tokens=usage.total.cache_read_tokens,
        completion_tokens=usage.total.completion_tokens,
        cost_usd=usage.total.cost_usd,
        amount_krw=line.amount_krw,
        margin=line.terms.margin if is_by_line else None,
        basis=line.terms.basis.value,
        basis_usd=None if line.terms.basis is Basis.CATALOG else line.sold_usd,
        before_margin_krw=line.base_krw if has_bases else None,
        promotion_krw=line.promotion_krw,
    )


def _promotion_line(position: int, promotion: BillPromotion, *, month: BillingMonth) -> DocumentLine:
    return DocumentLine(
        position=position,
        kind=InvoiceLine.Kind.PROMOTION,
        model_id="",
        model_name=promotion.credit.name,
        month=str(month),
        requests=0,
        prompt_tokens=0,
        cache_read_tokens=0,
        completion_tokens=0,
        cost_usd=ZERO,
        amount_krw=-promotion.amount_krw,
    )


def _base_krw(line: UsageSum, terms: Terms, exchange: ExchangeEvidence) -> Decimal:
    """Exact won of a line before margin."""
    if exchange.rate is not None:
        return exact_product(line.bases.of(terms.basis), exchange.rate)
    return exact_sum(_bases_by_day(line.basis_usd_by_day(terms.basis), exchange).values())


def _bases_by_day(usd_by_day: Mapping[date, Decimal], exchange: ExchangeEvidence) -> dict[date, Decimal]:
    """The same, day by day."""
    rates = {day.used_on: day.rate for day in exchange.daily}
    return {day: exact_product(usd, exchange.rate or rates[day]) for day, usd in usd_by_day.items()}


def _usd_by_day(sums: list[UsageSum], terms: list[Terms]) -> dict[date, Decimal]:
    by_day: dict[date, Decimal] = {}
    for line, one in zip(sums, terms, strict=True):
        for day, usd in line.basis_usd_by_day(one.basis).items():
            by_day[day] = exact_sum((by_day.get(day, ZERO), usd))
    return by_day
