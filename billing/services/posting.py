"""The only module that writes the ledger. Every transaction goes through `post_transactions`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.db import transaction

from accounts.models import Customer
from billing.dollars import USD
from billing.models import Invoice
from billing.models.ledger import LedgerEntry, LedgerTransaction
from billing.services.copying import copy_rows

Kind = LedgerTransaction.Kind
Account = LedgerEntry.Account

_MEMO_CHARS = 200


@dataclass(frozen=True, slots=True)
class Posting:
    """One entry to be: debit positive, credit negative; whole won unless the currency says otherwise."""

    account: LedgerEntry.Account
    amount: int | Decimal
    customer: Customer | None = None
    currency: str = "KRW"


@dataclass(frozen=True, slots=True)
class Booking:
    """A balanced transaction to be. `occurred_on` is the accounting day in Korea: the month's last day for a supply, the
    bank's day for money.
    """

    kind: LedgerTransaction.Kind
    occurred_on: date
    memo: str
    entries: Sequence[Posting]
    actor: str
    invoice: Invoice | None = None
    reverses: LedgerTransaction | None = None


@transaction.atomic
def post_transactions(bookings: Sequence[Booking]) -> list[LedgerTransaction]:
    """Write balanced transactions, in their order; entries of zero are left out. The database refuses what does not sum
    to zero.
    """
    posted = LedgerTransaction.objects.bulk_create(
        LedgerTransaction(
            kind=booking.kind,
            occurred_on=booking.occurred_on,
            invoice=booking.invoice,
            reverses=booking.reverses,
            memo=booking.memo[:_MEMO_CHARS],
            actor=booking.actor,
        )
        for booking in bookings
    )
    copy_rows(
        [
            LedgerEntry(
                transaction=one,
                account=entry.account,
                customer=entry.customer,
                currency=entry.currency,
                amount=entry.amount,
            )
            for one, booking in zip(posted, bookings, strict=True)
            for entry in booking.entries
            if entry.amount
        ]
    )
    return posted


def post_transaction(
    *,
    kind: LedgerTransaction.Kind,
    occurred_on: date,
    memo: str,
    entries: Sequence[Posting],
    actor: str,
    invoice: Invoice | None = None,
    reverses: LedgerTransaction | None = None,
) -> LedgerTransaction:
    """Write one balanced transaction."""
    booking = Booking(kind, occurred_on, memo, entries, actor, invoice, reverses)
    (posted,) = post_transactions([booking])
    return posted


def invoice_booking(
    *, invoice: Invoice, discount_krw: int, promotion_krw: int, occurred_on: date, memo: str, actor: str
) -> Booking:
    """Debit the receivable with the total, discounts and promotions with what they took off; credit revenue and VAT payable.

    Revenue stands gross: what was given away can be read from the books, and together they are the supply.
    """
    customer = invoice.customer
    return Booking(
        kind=Kind.INVOICE_ISSUED,
        occurred_on=occurred_on,
        memo=memo,
        invoice=invoice,
        actor=actor,
        entries=[
            Posting(Account.RECEIVABLE, invoice.total_krw, customer),
            Posting(Account.DISCOUNTS, discount_krw, customer),
            Posting(Account.PROMOTIONS, promotion_krw, customer),
            Posting(Account.REVENUE, -(invoice.supply_krw + discount_krw + promotion_krw), customer),
            Posting(Account.VAT_PAYABLE, -invoice.vat_krw, customer),
        ],
    )


def post_credit_note(
    *, invoice: Invoice, supply_krw: int, vat_krw: int, occurred_on: date, memo: str, actor: str
) -> LedgerTransaction:
    """Take revenue and VAT back in favour of the customer; applying the note to its invoice clears the last account."""
    customer = invoice.customer
    return post_transaction(
        kind=Kind.CREDIT_NOTE_ISSUED,
        occurred_on=occurred_on,
        memo=memo,
        invoice=invoice,
        actor=actor,
        entries=[
            Posting(Account.REVENUE, supply_krw, customer),
            Posting(Account.VAT_PAYABLE, vat_krw, customer),
            Posting(Account.UNAPPLIED, -(supply_krw + vat_krw), customer),
        ],
    )


def settlement_booking(
    *,
    kind: LedgerTransaction.Kind,
    occurred_on: date,
    memo: str,
    account: LedgerEntry.Account,
    amount_krw: int,
    exchange_krw: int,
    invoice: Invoice,
    actor: str,
) -> Booking:
    """So many won of an invoice settled from an account, which gives `exchange_krw` more (a gain) or less (a loss)."""
    customer = invoice.customer
    entries = [
        Posting(account, amount_krw + exchange_krw, customer),
        Posting(Account.RECEIVABLE, -amount_krw, customer),
        Posting(Account.EXCHANGE_DIFFERENCE, -exchange_krw, customer),
    ]
    return Booking(kind=kind, occurred_on=occurred_on, memo=memo, entries=entries, actor=actor, invoice=invoice)


def bank_of(currency: str) -> LedgerEntry.Account:
    """The account which money of that currency comes into and leaves from: 외화예금 holds dollars at their won."""
    return Account.BANK_USD if currency == USD else Account.BANK


def post_transfer(
    *,
    kind: LedgerTransaction.Kind,
    occurred_on: date,
    memo: str,
    debit: LedgerEntry.Account,
    credit: LedgerEntry.Account,
    amount_krw: int,
    customer: Customer | None,
    actor: str,
) -> LedgerTransaction:
    """Write one transfer: so many won from one account to another of the same customer."""
    entries = [Posting(debit, amount_krw, customer), Posting(credit, -amount_krw, customer)]
    return post_transaction(kind=kind, occurred_on=occurred_on, memo=memo, entries=entries, actor=actor)


def post_reversal(*, original: LedgerTransaction, occurred_on: date, memo: str, actor: str) -> LedgerTransaction:
    """The original's entries with the other sign, never computed anew. A transaction is reversed once."""
    entries = original.entries.select_related("customer").order_by("pk")
    return post_transaction(
        kind=Kind.REVERSAL,
        occurred_on=occurred_on,
        memo=memo,
        invoice=original.invoice,
        reverses=original,
        actor=actor,
        entries=[
            Posting(LedgerEntry.Account(entry.account), -entry.amount, entry.customer, entry.currency)
            for entry in entries
        ],
    )
