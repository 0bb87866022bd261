"""Storing exchange rates: what a person enters and what a publisher is asked for. Rows are only ever added."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Protocol

from django.db import connection, transaction

from accounts.errors import InvalidInput
from accounts.services import record_audit
from billing.adapters.eximbank import parse_grouped
from billing.models import ExchangeRate
from billing.selectors.exchange import newest_rate_for
from catalog.money import decimal_text
from usage.periods import KST

LOWEST_RATE, HIGHEST_RATE = Decimal(100), Decimal(10000)
#: More days than this in one call would eat a publisher's daily allowance.
MOST_DAYS = 366

_DECIMALS = 4
#: First key of the two-part advisory locks that mean "the rates of the day <second key>"; 1 and 2 are taken.
RATE_DAYS = 3
_MAX_SOURCE, _MAX_REASON = 100, 300


class RatePublisher(Protocol):
    """Who is asked for published rates. `name` is stored as their source."""

    name: str

    def usd_rates(self, days: Sequence[date]) -> Iterable[tuple[date, Decimal | None]]:
        """Won per one USD for each day in turn; None where nothing is published. Raises DomainError when it can't."""


@dataclass(frozen=True, slots=True)
class FetchReport:
    """What came of asking: rows written, days that stood already, days without publication, days a person's row holds."""

    stored: tuple[ExchangeRate, ...]
    unchanged: tuple[date, ...]
    unpublished: tuple[date, ...]
    kept: tuple[date, ...]


def set_rate(*, rate_on: date, rate: Decimal, source: str, reason: str, actor: str, now: datetime) -> ExchangeRate:
    """Record the won per one USD that `source` published for a day; a newer row corrects an older one.

    Raises InvalidInput naming the field: a rate outside 100 to 10,000 or with more than four decimals, a day after
    tomorrow in Korea, no source, no reason. When the newest row of the day says the same, it is returned and nothing is
    written.
    """
    _require_rate(rate)
    tomorrow = now.astimezone(KST).date() + timedelta(days=1)
    if rate_on > tomorrow:
        raise InvalidInput(
            f"date: no rate is published yet for {rate_on}; the last possible day is {tomorrow}", field="date"
        )
    source, reason = _text(source, "source", _MAX_SOURCE), _text(reason, "reason", _MAX_REASON)
    with transaction.atomic():
        _hold_day(rate_on)
        newest = newest_rate_for(rate_on)
        if newest is not None and (newest.rate, newest.source) == (rate, source):
            return newest
        row = ExchangeRate.objects.create(
            rate_on=rate_on, rate=rate, source=source, reason=reason, actor=actor, created_at=now
        )
        data = {"rate_on": rate_on.isoformat(), "rate": decimal_text(rate), "source": source}
        record_audit(actor=actor, action="set_rate", subject=row, reason=reason, data=data)
        return row


def parse_rate(text: str, *, field: str) -> Decimal:
    """Won per one USD as people type it, "1443.2" or "1,443.20"; InvalidInput naming the field otherwise, also for what
    no publisher would print (below 100, above 10,000, more than four decimals).
    """
    try:
        rate = parse_grouped(text, field=field)
    except ValueError as error:
        raise InvalidInput(str(error), field=field) from None
    _require_rate(rate)
    return rate


def fetch_rates(*, first: date, last: date, client: RatePublisher, actor: str, now: datetime) -> FetchReport:
    """Ask the publisher for every day from `first` to `last` and store what it has.

    A day without publication leaves no row: whoever needs it looks back. A day whose newest row has another source was
    entered by a person and stays. Each day is stored by itself, so what came before a failure is kept.
    """
    today = now.astimezone(KST).date()
    if first > last:
        raise InvalidInput(f"from: {first} is after {last}", field="from")
    if last > today:
        raise InvalidInput(f"to: nothing is published yet for {last}; today is {today}", field="to")
    days = [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
    if len(days) > MOST_DAYS:
        raise InvalidInput(f"from: at most {MOST_DAYS} days at a time, not {len(days)}", field="from")
    stored: list[ExchangeRate] = []
    unchanged: list[date] = []
    unpublished: list[date] = []
    kept: list[date] = []
    for day, rate in client.usd_rates(days):
        newest = newest_rate_for(day)
        if rate is None:
            unpublished.append(day)
        elif newest is not None and newest.source != client.name:
            kept.append(day)
        elif newest is not None and newest.rate == rate:
            unchanged.append(day)
        else:
            stored.append(
                set_rate(rate_on=day, rate=rate, source=client.name, reason="published", actor=actor, now=now)
            )
    return FetchReport(tuple(stored), tuple(unchanged), tuple(unpublished), tuple(kept))


def _require_rate(rate: Decimal) -> None:
    if not rate.is_finite() or not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise InvalidInput(
            f"rate: {LOWEST_RATE} to {HIGHEST_RATE} won per USD are believed, not {rate}: is a decimal point misplaced?",
            field="rate",
        )
    if rate != round(rate, _DECIMALS):
        raise InvalidInput(f"rate: at most {_DECIMALS} decimals, not {rate}", field="rate")


def _text(text: str, field: str, longest: int) -> str:
    text = text.strip()
    if not text or len(text) > longest or not text.isprintable():
        raise InvalidInput(f"{field}: 1 to {longest} printable characters", field=field)
    return text


def _hold_day(day: date) -> None:
    """Let two writers of the same day come one after the other, so that the same rate is not written twice."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [RATE_DAYS, day.toordinal()])
