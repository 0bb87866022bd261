"""Where a customer stands, read from the ledger: balances, statement rows, and the house's accounts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.db import connection
from django.db.models import F, Q, Sum

from accounts.models import Customer
from billing.errors import CannotBill
from billing.models import Invoice, LedgerEntry, Prepayment, PromotionalCredit
from billing.selectors.bills import month_bill
from usage.models import BillingPeriod
from usage.periods import BillingMonth

_OWN = (LedgerEntry.Account.RECEIVABLE, LedgerEntry.Account.UNAPPLIED, LedgerEntry.Account.PREPAYMENTS)


@dataclass(frozen=True)
class Balance:
    """Whole won. `receivable_krw` is owed to us, `unapplied_krw` and `prepaid_krw` are the customer's money with us."""

    receivable_krw: int
    unapplied_krw: int
    prepaid_krw: int

    @property
    def net_krw(self) -> int:
        """What the customer owes in the end; negative when we hold more of its money."""
        return self.receivable_krw - self.unapplied_krw - self.prepaid_krw


@dataclass(frozen=True)
class StatementRow:
    """One ledger transaction as one customer sees it: what it changed, and the balance after it. Not its memo, which may
    quote an operator's reason.

    `charged_krw` raised what the customer owes, `paid_krw` lowered it; both 0 where money only changed its place. Where
    dollars moved these are `amount_usd`, and `exchange_krw` the won that they were worth beyond the won that they settled:
    charged, or paid where they were worth less.
    """

    position: int
    occurred_on: date
    kind: str
    invoice_number: str | None
    charged_krw: int
    paid_krw: int
    amount_usd: Decimal | None
    exchange_krw: int
    balance: Balance


@dataclass(frozen=True)
class Outlook:
    """A prepayment against what is still to be invoiced. `available_krw` may be negative."""

    prepaid_krw: int
    unbilled_krw: int

    @property
    def available_krw(self) -> int:
        return self.prepaid_krw - self.unbilled_krw


def balance_of(customer: Customer, *, before: date | None = None) -> Balance:
    """The customer's balance, of all transactions or of those before a KST day."""
    entries = LedgerEntry.objects.filter(customer=customer, currency="KRW", account__in=_OWN)
    if before is not None:
        entries = entries.filter(transaction__occurred_on__lt=before)
    sums = dict(entries.order_by().values_list("account").annotate(total=Sum("amount")))
    return _balance([sums.get(account, Decimal(0)) for account in _OWN])


def statement_rows(
    customer: Customer, *, first_on: date, last_on: date, after: int = 0, limit: int | None = None
) -> Iterator[StatementRow]:
    """What moved the customer's accounts on those KST days, in the order of day and entry, with running balances.

    `after` skips rows up to that position (1 is the first), `limit` ends after so many.
    """
    opening = balance_of(customer, before=first_on)
    with connection.cursor() as cursor:
        cursor.execute(
            _STATEMENT,
            {
                "customer": customer.pk,
                "first": first_on,
                "last": last_on,
                "receivable": opening.receivable_krw,
                "unapplied": opening.unapplied_krw,
                "prepaid": opening.prepaid_krw,
                "after": after,
                "limit": limit,
            },
        )
        rows = cursor.fetchall()
    for position, occurred_on, kind, number, net, usd, exchange, *after_it in rows:
        won, balance = int(net), Balance(*map(int, after_it))
        yield StatementRow(position, occurred_on, kind, number, max(0, won), max(0, -won), usd, int(exchange), balance)


_STATEMENT = """
WITH moved AS (
    SELECT t.id, t.occurred_on, t.kind, t.invoice_id, coalesce(t.reverses_id, t.id) AS cause_id,
           coalesce(-sum(e.amount) FILTER (WHERE e.account = 'exchange_difference'), 0) AS exchange,
           coalesce(sum(e.amount) FILTER (WHERE e.account = 'receivable'), 0) AS receivable,
           coalesce(-sum(e.amount) FILTER (WHERE e.account = 'unapplied'), 0) AS unapplied,
           coalesce(-sum(e.amount) FILTER (WHERE e.account = 'prepayments'), 0) AS prepaid
    FROM billing_ledgertransaction t JOIN billing_ledgerentry e ON e.transaction_id = t.id
    WHERE e.customer_id = %(customer)s AND e.currency = 'KRW'
      AND e.account IN ('receivable', 'unapplied', 'prepayments', 'exchange_difference')
      AND t.occurred_on BETWEEN %(first)s AND %(last)s
    GROUP BY t.id
), numbered AS (
    SELECT row_number() OVER sorted AS position, moved.*,
           %(receivable)s + sum(receivable) OVER sorted AS receivable_after,
           %(unapplied)s + sum(unapplied) OVER sorted AS unapplied_after,
           %(prepaid)s + sum(prepaid) OVER sorted AS prepaid_after
    FROM moved WINDOW sorted AS (ORDER BY occurred_on, id)
)
SELECT n.position, n.occurred_on, n.kind, i.number, n.receivable - n.unapplied - n.prepaid,
       coalesce(p.received_usd, a.allocated_usd), n.exchange, n.receivable_after, n.unapplied_after, n.prepaid_after
FROM numbered n LEFT JOIN billing_invoice i ON i.id = n.invoice_id
LEFT JOIN billing_payment p ON p.ledger_transaction_id = n.cause_id
LEFT JOIN billing_allocation a ON a.ledger_transaction_id = n.cause_id
WHERE n.position > %(after)s ORDER BY n.position LIMIT %(limit)s
"""


def prepayment_outlook(customer: Customer, month: BillingMonth, *, on: date) -> Outlook:
    """What is prepaid, and what this running month and the one before, while it is open, would be invoiced at now.

    A month that can't be billed yet (no rate, no margin) counts nothing.
    """
    left = Sum(F("amount_krw") - F("consumed_krw") - F("refunded_krw") - F("withdrawn_krw"))
    prepaid = Prepayment.objects.filter(customer=customer).aggregate(left=left)["left"] or 0
    months = (month.previous(), month)
    closed = BillingPeriod.objects.filter(
        customer=customer, month__in=[one.first_on for one in months], status=BillingPeriod.Status.CLOSED
    ).values_list("month", flat=True)
    unbilled = 0
    for one in months:
        if one.first_on not in set(closed):
            unbilled += _total_of(customer, one, on=on)
    return Outlook(prepaid_krw=prepaid, unbilled_krw=unbilled)


def account_balances(*, through: date | None = None) -> dict[tuple[str, str], Decimal]:
    """The house's accounts: (account, currency) -> balance, debit positive, of all days or up to one."""
    entries = LedgerEntry.objects.all()
    if through is not None:
        entries = entries.filter(transaction__occurred_on__lte=through)
    sums = entries.order_by().values_list("account", "currency").annotate(total=Sum("amount"))
    return {(account, currency): total for account, currency, total in sums}


def usable_promotions_krw(customer: Customer, *, on: date) -> int:
    """What is left of the grants that cover that KST day."""
    grants = PromotionalCredit.objects.filter(customer=customer, valid_from__lte=on, expires_on__gte=on)
    return sum(one.remaining_krw for one in grants)


def due_invoices(customer: Customer) -> list[Invoice]:
    """Invoices with something to pay, the oldest first."""
    return list(Invoice.objects.filter(Q(status=Invoice.Status.ISSUED), customer=customer).order_by("month", "pk"))


def _total_of(customer: Customer, month: BillingMonth, *, on: date) -> int:
    try:
        bill = month_bill(customer, month, on=on)
    except CannotBill:
        return 0
    return bill.totals.total_krw if bill else 0


def _balance(sums: list[Decimal]) -> Balance:
    receivable, unapplied, prepaid = (int(won) for won in sums)
    return Balance(receivable, -unapplied, -prepaid)
