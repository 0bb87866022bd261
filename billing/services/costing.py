"""What upstreams cost in won, and the difference that exchange rates make (외환차손익).

Two steps, as an accountant books a debt in dollars. When a month is over its upstream cost is accrued at the rate in
force on its last day: Dr cost of sales, Cr owed to upstreams, in dollars and in won. When dollars are paid, what was
owed leaves the books with the won it was accrued with (the average of all dollars owed), the bank gives the won it
really gave, and what lies between them is the exchange difference. Dollars bought ahead stand on the same account with
the other sign and the won they were bought with; usage then takes them off in the same way.

The customer's won are no part of this: its exchange rate is a term of its price (DESIGN section 5).
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from django.db import connection, transaction
from django.db.models import Sum

from accounts.errors import InvalidInput
from accounts.services import record_audit
from billing.errors import AlreadyRecorded, MonthNotEnded, NoExchangeRate
from billing.models import UpstreamAccrual, UpstreamPayment
from billing.selectors.balances import account_balances
from billing.selectors.exchange import rate_in_force
from billing.services.allocating import day_of
from billing.services.posting import Account, Kind, Posting, post_transaction
from billing.services.requiring import require_won
from catalog.money import ZERO, Rounding, round_won
from usage.models import UsageRollup
from usage.periods import BillingMonth

#: The ledger keeps dollars to the millionth.
_MICRO = 1_000_000
#: More than this in one payment is a slip of the finger, and soon more than the ledger keeps.
_MOST_USD = 10**12
#: First key of the advisory lock under which the debt to upstreams moves.
_UPSTREAM_DEBT = 2


@transaction.atomic
def accrue_upstream_cost(*, month: BillingMonth, actor: str, now: datetime) -> UpstreamAccrual | None:
    """Book a month's upstream cost, or what has come to it since it was booked; None when there is nothing new.

    The cost is what upstreams said they charged and, where they said nothing, list price. Raises MonthNotEnded, and
    NoExchangeRate when none was published by the month's last day.
    """
    if now < month.end_at:
        raise MonthNotEnded(f"{month} has not ended yet", field="month")
    _hold_debt()
    booked = UpstreamAccrual.objects.filter(month=month.first_on).aggregate(usd=Sum("cost_usd"))["usd"] or ZERO
    cost = upstream_cost_usd(month) - booked
    if not cost:
        return None
    published = rate_in_force(on=month.last_on)
    if published is None:
        raise NoExchangeRate(f"no exchange rate was published by {month.last_on}", field="rate")
    won = round_won(Fraction(cost) * Fraction(published.rate), Rounding.HALF_UP)
    owed = _moved(usd=-cost, won=-won)
    posted = post_transaction(
        kind=Kind.COST_ACCRUED,
        occurred_on=month.last_on,
        memo=f"{month} USD {cost:f} x {published.rate:f}",
        actor=actor,
        entries=[
            Posting(Account.COST_OF_SALES, won),
            Posting(Account.UPSTREAM_PAYABLE, owed),
            Posting(Account.EXCHANGE_DIFFERENCE, -won - owed),
            Posting(Account.COST_OF_SALES, cost, currency="USD"),
            Posting(Account.UPSTREAM_PAYABLE, -cost, currency="USD"),
        ],
    )
    return UpstreamAccrual.objects.create(
        month=month.first_on,
        cost_usd=cost,
        rate=published.rate,
        cost_krw=won,
        ledger_transaction=posted,
        actor=actor,
        created_at=now,
    )


@transaction.atomic
def record_upstream_payment(
    *,
    reference: str,
    payee: str,
    paid_at: datetime,
    amount_usd: Decimal,
    amount_krw: int,
    actor: str,
    now: datetime,
) -> UpstreamPayment:
    """Book dollars paid to an upstream and the won that left the bank for them. The same line again changes nothing."""
    require_won(amount_krw)
    if not (amount_usd.is_finite() and 0 < amount_usd <= _MOST_USD) or amount_usd != _to_micro(amount_usd):
        raise InvalidInput(
            f"amount_usd: more than 0, with at most six decimals, at most {_MOST_USD:,}", field="amount_usd"
        )
    if not reference.strip() or not payee.strip():
        raise InvalidInput("name the bank's reference and who was paid", field="reference")
    found = UpstreamPayment.objects.filter(reference=reference).first()
    if found is not None:
        if (found.amount_usd, found.amount_krw, found.paid_at) != (amount_usd, amount_krw, paid_at):
            raise AlreadyRecorded(f"{reference} is recorded as another payment", field="reference")
        return found
    _hold_debt()
    owed = _moved(usd=amount_usd, won=amount_krw)
    posted = post_transaction(
        kind=Kind.UPSTREAM_PAID,
        occurred_on=day_of(paid_at),
        memo=f"{payee} USD {amount_usd:f} {reference}",
        actor=actor,
        entries=[
            Posting(Account.UPSTREAM_PAYABLE, owed),
            Posting(Account.EXCHANGE_DIFFERENCE, amount_krw - owed),
            Posting(Account.BANK, -amount_krw),
            Posting(Account.UPSTREAM_PAYABLE, amount_usd, currency="USD"),
            Posting(Account.BANK, -amount_usd, currency="USD"),
        ],
    )
    made = UpstreamPayment.objects.create(
        reference=reference,
        payee=payee,
        paid_at=paid_at,
        amount_usd=amount_usd,
        amount_krw=amount_krw,
        ledger_transaction=posted,
        actor=actor,
        created_at=now,
    )
    data = {"reference": reference, "amount_krw": amount_krw}
    record_audit(actor=actor, action="record_upstream_payment", subject=made, data=data)
    return made


def upstream_cost_usd(month: BillingMonth) -> Decimal:
    """What the usage of a KST month's days cost upstream, to the millionth of a dollar: response by response what was
    charged, or list price where nothing was said.
    """
    rows = UsageRollup.objects.filter(day__range=(month.first_on, month.last_on))
    return _to_micro(rows.aggregate(total=Sum("upstream_basis_usd"))["total"] or ZERO)


def _moved(*, usd: Decimal, won: int) -> int:
    """The won by which the debt moves with so many dollars (debit positive), of which `won` is today's price.

    As far as they meet dollars on the other side they take those off with the won these stand at; beyond, at today's.
    """
    balances = account_balances()
    there_usd = balances.get((Account.UPSTREAM_PAYABLE, "USD"), ZERO)
    there_won = balances.get((Account.UPSTREAM_PAYABLE, "KRW"), ZERO)
    meeting = min(abs(usd), abs(there_usd)) if there_usd * usd < 0 else ZERO
    taken = -round_won(
        Fraction(there_won) * Fraction(meeting) / Fraction(abs(there_usd) or Decimal(1)), Rounding.HALF_UP
    )
    beyond = round_won(Fraction(won) * (1 - Fraction(meeting) / Fraction(abs(usd))), Rounding.HALF_UP)
    return taken + beyond


def _to_micro(usd: Decimal) -> Decimal:
    return Decimal(round_won(Fraction(usd) * _MICRO, Rounding.HALF_UP)).scaleb(-6)


def _hold_debt() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, 0)", [_UPSTREAM_DEBT])
