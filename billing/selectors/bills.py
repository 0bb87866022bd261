"""What one customer owes for one month: the computation that preview, page and close share. Writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from accounts.models import Customer
from billing.documents import DailyExchange, DocumentLine, ExchangeEvidence, MinimumPart
from billing.dollars import USD, Dollars, in_dollars, line_dollars
from billing.errors import NoExchangeRate, NoMarginRule
from billing.margins import Basis, Terms
from billing.models import Discount, InvoiceLine, PromotionalCredit, ZeroRating, minimum_of, minimum_parts
from billing.selectors.facts import MonthFacts, load_facts
from billing.selectors.promotions import offer_of
from billing.selling import SoldLine, take_discounts
from billing.totals import CoveredUsage, Totals, adjusted, invoice_totals, relieve
from catalog.money import ZERO, Rounding, exact_product, exact_sum
from usage.periods import BillingMonth
from usage.selectors import UsageSum


@dataclass(frozen=True)
class BillLine:
    """One model's usage of one KST month with its share of the supply, and what of it discounts and credit take off."""

    kind: str
    usage: UsageSum
    model_name: str
    terms: Terms
    base_krw: Decimal
    amount_krw: int
    discount_krw: int = 0
    promotion_krw: int = 0

    @property
    def sold_usd(self) -> Decimal:
        """The USD that its margin is reckoned on; `base_krw` is that in exact won."""
        return self.usage.bases.of(self.terms.basis)


@dataclass(frozen=True)
class BillDiscount:
    """So many won that one discount takes off the supply; `base_krw` is the won of the usage that it is for."""

    discount: Discount
    base_krw: int
    amount_krw: int


@dataclass(frozen=True)
class BillPromotion:
    """So many won that one promotional credit takes off the supply."""

    credit: PromotionalCredit
    amount_krw: int


@dataclass(frozen=True)
class BillAdjustment:
    """A line behind the usage: what it is called, its won with their sign, and the row that it comes from."""

    kind: str
    name: str
    amount_krw: int
    share: Decimal | None = None
    base_krw: int = 0
    discount: Discount | None = None
    credit: PromotionalCredit | None = None

    @property
    def row_pk(self) -> int | None:
        """The key of that row."""
        row = self.discount or self.credit
        return None if row is None else row.pk


@dataclass(frozen=True)
class MonthBill:
    """A month's amounts with everything needed to recompute them. `totals` are those after everything behind the usage."""

    month: BillingMonth
    lines: tuple[BillLine, ...]
    discounts: tuple[BillDiscount, ...]
    minimums: tuple[MinimumPart, ...]
    minimum_krw: int
    zero_rating: ZeroRating | None
    promotions: tuple[BillPromotion, ...]
    cost_usd: Decimal
    exchange: ExchangeEvidence
    rounding: Rounding
    #: What its amounts are read in: "KRW" or "USD".
    currency: str
    totals: Totals

    @property
    def dollars(self) -> Dollars | None:
        """The amounts in dollars, at the one rate; None where the invoice is in won."""
        if self.currency != USD:
            return None
        assert self.exchange.rate is not None  # a constraint holds such a contract to a rule of one rate
        totals = self.totals
        return in_dollars(supply_krw=totals.supply_krw, vat_krw=totals.vat_krw, rate_krw_per_usd=self.exchange.rate)

    @property
    def margin(self) -> Decimal | None:
        """The margin of all lines; None where they differ."""
        margins = {line.terms.margin for line in self.lines}
        return margins.pop() if len(margins) == 1 else None

    @property
    def usage_krw(self) -> int:
        """The supply of the usage, before anything was taken off."""
        return self.totals.usage_krw

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing to invoice: usage of less than one won, and no minimum."""
        return self.totals.usage_krw == 0 and self.totals.shortfall_krw == 0

    @property
    def adjustments(self) -> tuple[BillAdjustment, ...]:
        """What is reckoned after the usage, in its order."""
        kinds, short = InvoiceLine.Kind, self.totals.shortfall_krw
        return (
            *(
                BillAdjustment(
                    kinds.DISCOUNT, one.discount.name, -one.amount_krw, one.discount.share, one.base_krw, one.discount
                )
                for one in self.discounts
            ),
            *([BillAdjustment(kinds.MINIMUM, "", short, base_krw=self.minimum_krw)] if short else []),
            *(
                BillAdjustment(kinds.PROMOTION, one.credit.name, -one.amount_krw, credit=one.credit)
                for one in self.promotions
            ),
        )

    @property
    def document_lines(self) -> tuple[DocumentLine, ...]:
        """The lines as an invoice has them: usage first, then what is reckoned after it."""
        is_by_line = self.margin is None
        has_bases = self.exchange.rate is None and len({line.terms for line in self.lines}) > 1
        usage = tuple(
            _usage_line(position, line, is_by_line=is_by_line, has_bases=has_bases)
            for position, line in enumerate(self.lines, start=1)
        )
        lines = usage + tuple(
            _adjustment_line(position, adjustment, month=self.month)
            for position, adjustment in enumerate(self.adjustments, start=len(usage) + 1)
        )
        dollars, rate = self.dollars, self.exchange.rate
        if dollars is None or rate is None:
            return lines
        won = [line.amount_krw for line in lines]
        in_usd = line_dollars(won, rate_krw_per_usd=rate, supply_usd=dollars.supply_usd)
        return tuple(replace(line, amount_usd=usd) for line, usd in zip(lines, in_usd, strict=True))


def month_bill(customer: Customer, month: BillingMonth, *, on: date | None = None) -> MonthBill | None:
    """The bill of one customer, as things stand: `compute_bill` with the facts of this moment (`load_facts`)."""
    return compute_bill(customer, load_facts([customer], month, on=on))


def compute_bill(customer: Customer, facts: MonthFacts) -> MonthBill | None:
    """The bill of everything that is billed in that month so far, or None without usage and without a minimum that holds
    even then.

    Discounts are taken off first; the monthly minimum looks at what they leave; promotional credit is taken off the usage.

    Raises NoExchangeRate or NoMarginRule: a missing rate is never 1.0 and a missing margin never 0.
    """
    sums, month, models = facts.sums[customer.pk], facts.month, facts.models
    minimums = minimum_parts(facts.minimums.get(customer.pk, ()), month, has_usage=bool(sums))
    if not sums and not minimums:
        return None
    terms = _terms(customer, sums, facts)
    exchange = exchange_evidence(customer, sums, terms, facts)
    rounding = Rounding(customer.rounding)
    bases_krw = [_base_krw(line, one, exchange) for line, one in zip(sums, terms, strict=True)]
    totals = invoice_totals(bases_krw, margins=[one.margin for one in terms], rounding=rounding)
    discounts, reduced_krw = _discounts(facts.discounts.get(customer.pk, ()), sums, totals, facts, rounding)
    left_krw = [amount - taken for amount, taken in zip(totals.line_amounts_krw, reduced_krw, strict=True)]
    promotions, relieved_krw = _promotions(facts.credits.get(customer.pk, ()), sums, terms, left_krw, exchange)
    minimum_krw = minimum_of(minimums, month, rounding)
    zero_rating = facts.zero_ratings.get(customer.pk)
    totals = adjusted(
        totals,
        discount_krw=sum(reduced_krw),
        minimum_krw=minimum_krw,
        promotion_krw=sum(relieved_krw),
        rounding=rounding,
        is_zero_rated=zero_rating is not None,
    )
    lines = tuple(
        BillLine(
            kind=InvoiceLine.Kind.USAGE if line.month == month else InvoiceLine.Kind.SUPPLEMENTARY,
            usage=line,
            model_name=models[line.model_pk].name,
            terms=of_line,
            base_krw=base,
            amount_krw=amount,
            discount_krw=discount,
            promotion_krw=promotion,
        )
        for line, of_line, base, amount, discount, promotion in zip(
            sums, terms, bases_krw, totals.line_amounts_krw, reduced_krw, relieved_krw, strict=True
        )
    )
    return MonthBill(
        month=month,
        lines=lines,
        discounts=discounts,
        minimums=minimums,
        minimum_krw=minimum_krw,
        zero_rating=zero_rating,
        promotions=promotions,
        cost_usd=exact_sum(line.total.cost_usd for line in sums),
        exchange=exchange,
        rounding=rounding,
        currency=customer.invoice_currency,
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
        days, source = [], ""
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


def _discounts(
    agreed: Sequence[Discount], sums: list[UsageSum], totals: Totals, facts: MonthFacts, rounding: Rounding
) -> tuple[tuple[BillDiscount, ...], list[int]]:
    """What discounts take off, by discount and by line."""
    by_line_krw = [0] * len(sums)
    if not agreed:
        return (), by_line_krw
    rows = {discount.pk: discount for discount in agreed}
    sold = [
        SoldLine(line.model_id, facts.models[line.model_pk].provider, line.month.first_on, amount)
        for line, amount in zip(sums, totals.line_amounts_krw, strict=True)
    ]
    reductions = take_discounts(sold, [row.term for row in agreed], month_on=facts.month.first_on, rounding=rounding)
    for reduction in reductions:
        by_line_krw = [before + won for before, won in zip(by_line_krw, reduction.by_line_krw, strict=True)]
    return tuple(BillDiscount(rows[one.key], one.base_krw, one.amount_krw) for one in reductions), by_line_krw


def _promotions(
    usable: Sequence[PromotionalCredit],
    sums: list[UsageSum],
    terms: list[Terms],
    left_krw: list[int],
    exchange: ExchangeEvidence,
) -> tuple[tuple[BillPromotion, ...], list[int]]:
    """What promotional credit takes off what discounts left of the lines, by grant and by line."""
    by_line_krw = [0] * len(sums)
    grants = {credit.pk: credit for credit in usable}
    if not grants:
        return (), by_line_krw
    usage = [
        CoveredUsage(line.model_id, amount, bases_by_day(line.basis_usd_by_day(one.basis), exchange))
        for line, one, amount in zip(sums, terms, left_krw, strict=True)
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
        discount_krw=line.discount_krw,
    )


def _adjustment_line(position: int, adjustment: BillAdjustment, *, month: BillingMonth) -> DocumentLine:
    return DocumentLine(
        position=position,
        kind=adjustment.kind,
        model_id="",
        model_name=adjustment.name,
        month=str(month),
        requests=0,
        prompt_tokens=0,
        cache_read_tokens=0,
        completion_tokens=0,
        cost_usd=ZERO,
        amount_krw=adjustment.amount_krw,
        share=adjustment.share,
        base_krw=adjustment.base_krw,
    )


def _base_krw(line: UsageSum, terms: Terms, exchange: ExchangeEvidence) -> Decimal:
    """Exact won of a line before margin."""
    if exchange.rate is not None:
        return exact_product(line.bases.of(terms.basis), exchange.rate)
    return exact_sum(bases_by_day(line.basis_usd_by_day(terms.basis), exchange).values())


def bases_by_day(usd_by_day: Mapping[date, Decimal], exchange: ExchangeEvidence) -> dict[date, Decimal]:
    """What was sold on each day in exact won before margin."""
    rates = {day.used_on: day.rate for day in exchange.daily}
    return {day: exact_product(usd, exchange.rate or rates[day]) for day, usd in usd_by_day.items()}


def _usd_by_day(sums: list[UsageSum], terms: list[Terms]) -> dict[date, Decimal]:
    by_day: dict[date, Decimal] = {}
    for line, one in zip(sums, terms, strict=True):
        for day, usd in line.basis_usd_by_day(one.basis).items():
            by_day[day] = exact_sum((by_day.get(day, ZERO), usd))
    return by_day
