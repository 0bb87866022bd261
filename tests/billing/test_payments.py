"""Deposits: recorded once, allocated once, matched by their codes, sent back, taken back; the books follow each step."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from accounts.errors import InvalidInput
from accounts.models import AuditEntry, Customer
from billing.errors import AlreadyRecorded, AlreadyReversed, NotEnoughLeft, WrongCustomer
from billing.models import Allocation, Invoice, LedgerTransaction, Payment
from billing.selectors.balances import account_balances, balance_of
from billing.services.allocating import allocate_payment, reverse_allocation, write_off_invoice
from billing.services.paying import assign_payment, match_payment, record_payment, refund_payment, reverse_payment
from tests.billing.factories import ACTOR
from tests.billing.money import billed, broken_checks, deposit, plain_house, spend
from tests.billing.month import LATER, NOVEMBER, NOW, close, tenant

pytestmark = pytest.mark.django_db


@pytest.fixture
def gaon() -> Customer:
    return plain_house()


@pytest.fixture
def invoice(gaon: Customer) -> Invoice:
    """23,000 won: 20,909 of supply and 2,091 of VAT."""
    spend(gaon, 20_909)
    made = billed(gaon)
    assert (made.total_krw, made.document["deposit_code"]) == (23_000, "JS26100001")  # type: ignore[index]
    return made


def state(invoice: Invoice) -> tuple[str, int]:
    invoice.refresh_from_db()
    return invoice.status, invoice.due_krw


def match(payment: Payment) -> list[int]:
    return [made.amount_krw for made in match_payment(payment=payment, actor=ACTOR, now=NOW)]


def test_too_little_leaves_the_invoice_open(gaon: Customer, invoice: Invoice) -> None:
    payment = deposit(22_500, name="JS26100001")
    assert match(payment) == [22_500]
    assert state(invoice) == ("issued", 500)
    payment.refresh_from_db()
    assert (payment.customer, payment.unapplied_krw) == (gaon, 0)
    assert broken_checks() == {}


def test_two_parts_pay_it(invoice: Invoice) -> None:
    assert match(deposit(10_000, name="JS26100001")) == [10_000]
    assert match(deposit(13_000, name="js2610 0001")) == [13_000]
    assert state(invoice) == ("paid", 0)
    assert broken_checks() == {}


def test_too_much_pays_it_and_the_rest_waits(gaon: Customer, invoice: Invoice) -> None:
    payment = deposit(23_500, name="가온JS26100001")
    assert match(payment) == [23_000]
    assert state(invoice) == ("paid", 0)
    payment.refresh_from_db()
    assert payment.unapplied_krw == 500
    balance = balance_of(gaon)
    assert (balance.receivable_krw, balance.unapplied_krw, balance.net_krw) == (0, 500, -500)
    assert broken_checks() == {}


def test_one_deposit_for_two_invoices_pays_both_when_it_is_their_sum(gaon: Customer, invoice: Invoice) -> None:
    spend(gaon, 10_909, at="2026-11-10T12:00:00+09:00")  # 12,000 with VAT
    second = billed(gaon, NOVEMBER, now=LATER)
    assert match(deposit(36_000, name="JS26100001 JS26110001")) == []
    assert (state(invoice), state(second)) == (("issued", 23_000), ("issued", 12_000))
    assert match(deposit(35_000, name="JS26100001,JS26110001")) == [23_000, 12_000]
    assert (state(invoice), state(second)) == (("paid", 0), ("paid", 0))
    assert broken_checks() == {}


@pytest.mark.parametrize(
    "name", ["JS26100001", " js 2610 0001 ", "JS26100001가온", "ＪＳ２６１００００１", "JS2610\n0001", "JS26100001 2"]
)
def test_the_code_is_read_as_people_type_it(invoice: Invoice, name: str) -> None:
    assert match(deposit(23_000, name=name)) == [23_000]


@pytest.mark.parametrize("name", ["", "가온로보틱스", "JS26100002", "JS2610", "26100001"])
def test_what_names_nothing_stays_nobodys(invoice: Invoice, name: str) -> None:
    payment = deposit(23_000, name=name)
    assert match(payment) == []
    payment.refresh_from_db()
    assert (payment.customer, payment.unapplied_krw) == (None, 23_000)
    assert account_balances()["unapplied", "KRW"] == -23_000


def test_codes_of_two_customers_match_nothing(gaon: Customer, invoice: Invoice) -> None:
    other = tenant("other")
    spend(other, 20_909)
    close()
    assert match(deposit(46_000, name="JS26100001 JS26100002")) == []
    assert match(deposit(23_000, name="JS26100001", customer=other)) == []
    assert state(invoice) == ("issued", 23_000)


def test_matching_again_changes_nothing(invoice: Invoice) -> None:
    payment = deposit(23_500, name="JS26100001")
    assert match(payment) == [23_000]
    assert match(payment) == []
    assert Allocation.objects.count() == 1


def test_the_same_line_is_one_payment_and_two_equal_deposits_are_two(gaon: Customer) -> None:
    first = deposit(10_000, name="가온", reference="line-1")
    assert deposit(10_000, name="가온", reference="line-1") == first
    assert deposit(10_000, name="가온", reference="line-2") != first
    assert Payment.objects.count() == LedgerTransaction.objects.count() == 2
    with pytest.raises(AlreadyRecorded):
        deposit(10_001, name="가온", reference="line-1")
    with pytest.raises(AlreadyRecorded):
        deposit(10_000, name="가온", reference="line-1", at=NOW + timedelta(seconds=1))
    with pytest.raises(InvalidInput):
        deposit(0)
    with pytest.raises(InvalidInput):
        record_payment(reference=" ", received_at=NOW, amount_krw=1, depositor_name="", actor=ACTOR, now=NOW)


def test_a_payment_is_allocated_at_most_once(gaon: Customer, invoice: Invoice) -> None:
    payment = deposit(30_000, customer=gaon)
    allocate_payment(payment=payment, invoice=invoice, amount_krw=20_000, actor=ACTOR, now=NOW)
    for too_much in (3_001, 10_001):
        with pytest.raises(NotEnoughLeft):
            allocate_payment(payment=payment, invoice=invoice, amount_krw=too_much, actor=ACTOR, now=NOW)
    allocate_payment(payment=payment, invoice=invoice, actor=ACTOR, now=NOW)
    assert state(invoice) == ("paid", 0)
    with pytest.raises(NotEnoughLeft):
        allocate_payment(payment=payment, invoice=invoice, actor=ACTOR, now=NOW)
    assert payment.unapplied_krw == 7_000


def test_nobody_pays_another_customers_invoice(invoice: Invoice) -> None:
    other = tenant("other")
    for stranger in (deposit(23_000), deposit(23_000, customer=other)):
        with pytest.raises(WrongCustomer):
            allocate_payment(payment=stranger, invoice=invoice, actor=ACTOR, now=NOW)


def test_an_unknown_deposit_is_assigned_once(gaon: Customer, invoice: Invoice) -> None:
    payment = deposit(23_000, name="김대표")
    for _ in range(2):
        payment = assign_payment(payment=payment, customer=gaon, reason="전화 확인", actor=ACTOR, now=NOW)
    assert balance_of(gaon).unapplied_krw == 23_000
    with pytest.raises(WrongCustomer):
        assign_payment(payment=payment, customer=tenant("other"), reason="x", actor=ACTOR, now=NOW)
    assert LedgerTransaction.objects.filter(kind="payment_assigned").count() == 1
    assert AuditEntry.objects.filter(action="assign_payment").get().reason == "전화 확인"
    assert broken_checks() == {}


def test_an_allocation_taken_back_makes_the_invoice_due_again(gaon: Customer, invoice: Invoice) -> None:
    payment = deposit(23_000, customer=gaon)
    made = allocate_payment(payment=payment, invoice=invoice, actor=ACTOR, now=NOW)
    reverse_allocation(allocation=made, reason="다른 청구서", actor=ACTOR, now=NOW)
    payment.refresh_from_db()
    assert (state(invoice), payment.unapplied_krw) == (("issued", 23_000), 23_000)
    with pytest.raises(AlreadyReversed):
        reverse_allocation(allocation=made, reason="x", actor=ACTOR, now=NOW)
    allocate_payment(payment=payment, invoice=invoice, actor=ACTOR, now=NOW)
    assert state(invoice) == ("paid", 0)
    assert broken_checks() == {}


def test_a_returned_transfer_takes_everything_with_it(gaon: Customer, invoice: Invoice) -> None:
    payment = deposit(25_000, name="JS26100001")
    match(payment)
    reverse_payment(payment=payment, reason="반환", actor=ACTOR, now=NOW)
    assert state(invoice) == ("issued", 23_000)
    assert (payment.is_reversed, payment.unapplied_krw) == (True, 0)
    balances = account_balances()
    assert (balances["bank", "KRW"], balances["unapplied", "KRW"]) == (0, 0)
    with pytest.raises(AlreadyReversed):
        reverse_payment(payment=payment, reason="x", actor=ACTOR, now=NOW)
    assert match(payment) == []
    with pytest.raises(NotEnoughLeft):
        allocate_payment(payment=payment, invoice=invoice, actor=ACTOR, now=NOW)
    assert broken_checks() == {}


def test_what_is_left_can_be_sent_back(gaon: Customer, invoice: Invoice) -> None:
    payment = deposit(25_000, name="JS26100001")
    match(payment)
    payment.refresh_from_db()
    refund_payment(payment=payment, reference="out-1", refunded_at=NOW, reason="과입금", actor=ACTOR, amount_krw=1_500)
    with pytest.raises(NotEnoughLeft):
        refund_payment(payment=payment, reference="out-2", refunded_at=NOW, reason="x", actor=ACTOR, amount_krw=501)
    with pytest.raises(AlreadyRecorded):
        refund_payment(payment=payment, reference="out-1", refunded_at=NOW, reason="x", actor=ACTOR, amount_krw=1)
    with pytest.raises(NotEnoughLeft, match="refunded already"):
        reverse_payment(payment=payment, reason="x", actor=ACTOR, now=NOW)
    assert account_balances()["bank", "KRW"] == 23_500
    assert broken_checks() == {}


def test_a_small_rest_is_given_up_with_a_reason(gaon: Customer, invoice: Invoice) -> None:
    match(deposit(22_500, name="JS26100001"))
    with pytest.raises(InvalidInput):
        write_off_invoice(invoice=invoice, reason=" ", actor=ACTOR, now=NOW)
    with pytest.raises(NotEnoughLeft):
        write_off_invoice(invoice=invoice, amount_krw=501, reason="x", actor=ACTOR, now=NOW)
    write_off_invoice(invoice=invoice, reason="송금 수수료", actor=ACTOR, now=NOW)
    assert state(invoice) == ("paid", 0)
    assert account_balances()["write_offs", "KRW"] == 500
    assert broken_checks() == {}


@pytest.mark.parametrize(
    "change",
    [
        {"status": "paid"},
        {"allocated_krw": 23_000, "status": "paid"},
        {"allocated_krw": 1},
    ],
)
def test_an_invoice_is_paid_by_allocations_alone(invoice: Invoice, change: dict[str, object]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Invoice.objects.filter(pk=invoice.pk).update(**change)
    assert state(invoice) == ("issued", 23_000)


def test_a_paid_invoice_can_not_be_voided(invoice: Invoice) -> None:
    match(deposit(23_000, name="JS26100001"))
    with pytest.raises(IntegrityError), transaction.atomic():
        Invoice.objects.filter(pk=invoice.pk).update(status="void")
    assert state(invoice) == ("paid", 0)


def test_the_database_refuses_a_won_too_many(gaon: Customer, invoice: Invoice) -> None:
    payment = deposit(22_999, customer=gaon)
    posted = LedgerTransaction.objects.create(kind="payment_allocated", occurred_on=NOW.date(), memo="x")
    row = {"invoice": invoice, "source": "payment", "payment": payment, "allocated_at": NOW, "actor": "x"}
    for won in (23_000, 23_001):
        with pytest.raises(IntegrityError), transaction.atomic():
            Allocation.objects.create(**row, amount_krw=won, ledger_transaction=posted)
    other = deposit(1, customer=tenant("other"))
    with pytest.raises(IntegrityError, match="its own customer"), transaction.atomic():
        Allocation.objects.create(**(row | {"payment": other}), amount_krw=1, ledger_transaction=posted)
    with pytest.raises(IntegrityError), transaction.atomic():
        Payment.objects.filter(pk=payment.pk).update(amount_krw=1_000_000)
    with pytest.raises(IntegrityError), transaction.atomic():
        Payment.objects.filter(pk=payment.pk).update(allocated_krw=1)
    with pytest.raises(IntegrityError), transaction.atomic():
        payment.delete()
