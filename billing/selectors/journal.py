"""The ledger as an accountant takes it: one row an entry, debit and credit in columns of their own (분개장).

Account names are the ones that Korean accountants use, so that the file can be taken over without a key:

- 외상매출금: what customers owe on invoices, VAT included.
- 용역매출: the supply value of the usage, gross; an API call is a service, not goods (상품매출).
- 매출에누리: contract discounts and promotional credit. They are taken off the price itself when the service is supplied,
  so they reduce the revenue and the VAT base (부가가치세법 §29⑤ 1호) and are no expense (판매촉진비).
- 부가세예수금: VAT that is owed to the tax office.
- 선수금: prepayments; deposits and no supply until an invoice takes them.
- 가수금: money received of which nobody has said yet what it pays.
- 보통예금, 대손상각비, 매출원가, 외상매입금: bank, write-offs, cost of sales, what upstreams are owed.
- 외화예금: dollars received, at the won that they were worth on the day they came.
- 외환차손 or 외환차익, by the side it stands on: dollars paid, or received for an invoice in dollars, at another rate than
  they were booked at. The memo says the dollars.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from accounts.spreadsheets import csv_text
from billing.models import LedgerEntry
from usage.periods import BillingMonth

COLUMNS = ("일자", "계정", "차변", "대변", "적요")
_Account = LedgerEntry.Account
ACCOUNT_NAMES = {
    _Account.RECEIVABLE: "외상매출금",
    _Account.REVENUE: "용역매출",
    _Account.DISCOUNTS: "매출에누리",
    _Account.PROMOTIONS: "매출에누리",
    _Account.VAT_PAYABLE: "부가세예수금",
    _Account.PREPAYMENTS: "선수금",
    _Account.UNAPPLIED: "가수금",
    _Account.BANK: "보통예금",
    _Account.BANK_USD: "외화예금",
    _Account.WRITE_OFFS: "대손상각비",
    _Account.COST_OF_SALES: "매출원가",
    _Account.UPSTREAM_PAYABLE: "외상매입금",
}
_EXCHANGE_LOSS, _EXCHANGE_GAIN = "외환차손", "외환차익"


@dataclass(frozen=True)
class JournalRow:
    """One entry in won; one of `debit_krw` and `credit_krw` is 0."""

    transaction_pk: int
    occurred_on: date
    account_name: str
    debit_krw: int
    credit_krw: int
    memo: str


def journal_rows(month: BillingMonth) -> Iterator[JournalRow]:
    """The won entries of the KST days of a month by day and transaction, debits before credits."""
    entries = LedgerEntry.objects.filter(
        currency="KRW", transaction__occurred_on__range=(month.first_on, month.last_on)
    ).select_related("transaction__invoice")
    for entry in entries.order_by("transaction__occurred_on", "transaction_id", "-amount", "pk").iterator():
        won = int(entry.amount)
        invoice = entry.transaction.invoice
        number = invoice.number if invoice and invoice.number else ""
        memo = entry.transaction.memo
        yield JournalRow(
            transaction_pk=entry.transaction_id,
            occurred_on=entry.transaction.occurred_on,
            # What takes a gain back stands on the loss's side and is the gain's account all the same.
            account_name=account_name(entry.account, -won if entry.transaction.reverses_id else won),
            debit_krw=max(won, 0),
            credit_krw=max(-won, 0),
            # A correction's own words name the invoice already.
            memo=memo if number in memo.split() else f"{memo} {number}".strip(),
        )


def account_name(account: str, won: int) -> str:
    """The account's Korean name; an exchange difference is a loss on the debit side and a gain on the other."""
    if account == _Account.EXCHANGE_DIFFERENCE:
        return _EXCHANGE_LOSS if won > 0 else _EXCHANGE_GAIN
    return ACCOUNT_NAMES[_Account(account)]


def journal_csv(month: BillingMonth) -> str:
    """The month as a file (일자, 계정, 차변, 대변, 적요); an empty cell where a side has nothing."""
    return csv_text(
        COLUMNS,
        (
            (row.occurred_on.isoformat(), row.account_name, row.debit_krw or "", row.credit_krw or "", row.memo)
            for row in journal_rows(month)
        ),
    )
