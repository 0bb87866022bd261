"""Two years as somebody with a calculator would keep them: fractions, one loop a question, nothing of our code's.

Only what happened is told to it (events, rates, terms, deposits); what must follow it works out by itself.
"""

from __future__ import annotations

from calendar import monthrange
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from fractions import Fraction
from math import floor

SEOUL = timezone(timedelta(hours=9))
Month = tuple[int, int]


def month_of(day: date) -> Month:
    return day.year, day.month


def after(month: Month) -> Month:
    year, number = month
    return (year + 1, 1) if number == 12 else (year, number + 1)


def last_day(month: Month) -> date:
    return date(*month, monthrange(*month)[1])


def at(day: date, hour: int, minute: int = 0, second: int = 0) -> datetime:
    """Korean wall time."""
    return datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=SEOUL)


def rounded(won: Fraction, rule: str) -> int:
    return floor(won + Fraction(1, 2)) if rule == "half_up" else floor(won)


@dataclass
class Event:
    """So many tokens; `billed_in` is the month on whose invoice they must stand."""

    model: str
    tokens: int
    moment: datetime
    billed_in: Month


@dataclass
class Bill:
    """One invoice: won, and what became of it."""

    number: str
    month: Month
    lines: dict[tuple[Month, str], int]
    supply: int
    vat: int
    paid: int = 0
    written_off: int = 0
    notes: list[tuple[int, int]] = field(default_factory=list)
    is_void: bool = False

    @property
    def total(self) -> int:
        return self.supply + self.vat

    @property
    def credited(self) -> int:
        return sum(supply + vat for supply, vat in self.notes)

    @property
    def due(self) -> int:
        return 0 if self.is_void else self.total - self.paid - self.written_off - self.credited


@dataclass
class Account:
    """One customer: terms, what was used, what was billed, whose money is where."""

    rule: str
    rounding: str
    margins: list[tuple[Month, Fraction]]
    fixed: Fraction | None = None
    events: list[Event] = field(default_factory=list)
    bills: list[Bill] = field(default_factory=list)
    prepaid: int = 0
    unapplied: int = 0

    @property
    def receivable(self) -> int:
        return sum(bill.due for bill in self.bills)

    def margin(self, month: Month) -> Fraction:
        return [margin for since, margin in self.margins if since <= month][-1]

    def pay(self, bill: Bill, won: int) -> None:
        bill.paid += won

    def pay_ahead(self, won: int) -> None:
        self.prepaid += won

    def credit(self, bill: Bill, supply: int) -> tuple[int, int]:
        """Take supply off a bill: (supply, VAT) of the note. What was paid too much by it is free again."""
        left = bill.supply - sum(note for note, _ in bill.notes) - supply
        vat = bill.vat - sum(vat for _, vat in bill.notes) - rounded(Fraction(left, 10), self.rounding)
        bill.notes.append((supply, vat))
        too_much = max(0, -bill.due)
        bill.paid -= too_much
        self.unapplied += too_much
        return supply, vat

    def void(self, bill: Bill) -> None:
        bill.is_void = True
        self.unapplied += bill.paid
        bill.paid = 0


@dataclass
class Years:
    """The whole house."""

    prices: dict[str, list[tuple[datetime, Fraction]]] = field(default_factory=lambda: defaultdict(list))
    rates: dict[date, Fraction] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    numbers: dict[Month, int] = field(default_factory=lambda: defaultdict(int))

    def cost(self, event: Event) -> Fraction:
        price = [price for since, price in self.prices[event.model] if since <= event.moment][-1]
        return price * event.tokens

    def rate(self, account: Account, day: date) -> Fraction:
        """Won per dollar on a day: the last one published."""
        if account.fixed is not None:
            return account.fixed
        return self.rates[max(published for published in self.rates if published <= day)]

    def bill(self, name: str, month: Month) -> Bill | None:
        """Issue what a customer owes for a month; a prepayment pays what it can."""
        account = self.accounts[name]
        used = [event for event in account.events if event.billed_in == month]
        if not used:
            return None
        exact: dict[tuple[Month, str], Fraction] = defaultdict(Fraction)
        for event in used:
            day = event.moment.astimezone(SEOUL).date()
            rate = self.rate(account, day if account.rule == "daily" else last_day(month))
            exact[month_of(day), event.model] += self.cost(event) * rate / (1 - account.margin(month))
        supply = rounded(sum(exact.values(), Fraction(0)), account.rounding)
        lines = {line: floor(won) for line, won in exact.items()}
        short = supply - sum(lines.values())
        for line in sorted(exact, key=lambda line: exact[line] - floor(exact[line]), reverse=True)[:short]:
            lines[line] += 1
        self.numbers[month] += 1
        number = f"INV-{month[0]}{month[1]:02d}-{self.numbers[month]:04d}"
        bill = Bill(number, month, lines, supply, rounded(Fraction(supply, 10), account.rounding))
        bill.paid = min(account.prepaid, bill.total)
        account.prepaid -= bill.paid
        account.bills.append(bill)
        return bill
