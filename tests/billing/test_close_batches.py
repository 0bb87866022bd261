"""Some customers closed in one transaction: nobody's trouble is another's, and nothing ends half done."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from decimal import Decimal

import pytest
from django.db import connection, transaction

from accounts.models import Customer
from accounts.services import add_tax_profile
from billing.audit import check_books
from billing.models import (
    BillingDraft,
    BillingRun,
    BillingRunItem,
    Delivery,
    Invoice,
    LedgerEntry,
    LedgerTransaction,
    NumberSequence,
    TaxInvoice,
)
from billing.services.closing import close_customers, finish_run, start_run
from billing.services.issuing import take_numbers
from billing.services.run_items import in_batches
from billing.services.steps import begin_steps, confirm_rates, draft_customers, request_drafts
from config import env
from tests.billing.factories import ACTOR, CORPORATION
from tests.billing.money import grant, prepay
from tests.billing.month import DOLLAR, NOW, OCTOBER, open_house, outcome, tenant, use
from tests.billing.test_close_races import in_threads
from tests.database import database_url
from usage.models import BillingPeriod

pytestmark = pytest.mark.django_db


def house(count: int) -> list[Customer]:
    """Customers c0, c1, ... of whom cN used N + 1 dollars in October and has the address cN@tax.example."""
    open_house()
    customers = [tenant(f"c{number}", profile=False) for number in range(count)]
    for number, customer in enumerate(customers):
        identity = CORPORATION | {"email": f"c{number}@tax.example"}
        add_tax_profile(customer=customer, valid_from=date(2025, 1, 1), actor=ACTOR, **identity)
        use(customer, DOLLAR * (number + 1))
    return customers


def close_at_once() -> BillingRun:
    """The whole month in one batch."""
    run = start_run(month=OCTOBER, actor=ACTOR, now=NOW)
    close_customers(item_ids=pending(run), actor=ACTOR, now=NOW)
    finish_run(run=run, now=NOW)
    return run


def pending(run: BillingRun) -> list[int]:
    return list(run.items.filter(status="pending").order_by("customer_id").values_list("pk", flat=True))


def supplies() -> dict[str, int]:
    return dict(Invoice.objects.values_list("customer__slug", "supply_krw"))


def due(number: int) -> int:
    """Won of supply of so many dollars at 1,400 and a margin of 0.15."""
    return round(Decimal(number) * 1400 / Decimal("0.85"))


def broken() -> list[object]:
    return [result.violations for result in check_books() if result.violations]


@contextmanager
def refused(recipient: str, *, when: str = "BEFORE INSERT", constraint: str = "", timing: str = "") -> Iterator[None]:
    """The database refuses a delivery to that address, as it refuses whatever breaks one of its rules."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION tests_refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = 'restrict_violation'; END $$"
        )
        cursor.execute(
            f"CREATE {constraint} TRIGGER tests_refuse {when} ON billing_delivery {timing} FOR EACH ROW "
            f"WHEN (NEW.recipient = '{recipient}') EXECUTE FUNCTION tests_refuse()"
        )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION tests_refuse() CASCADE")


def test_one_without_a_profile_one_in_quarantine_and_one_without_usage_among_thirty() -> None:
    open_house()
    customers = [tenant(f"c{number}", profile=number != 7) for number in range(30)]
    for number, customer in enumerate(customers):
        if number != 20:
            use(customer, DOLLAR * (number + 1))
    use(customers[12], DOLLAR, model="acme/new")
    Customer.objects.update(created_at=OCTOBER.start_at)
    run = close_at_once()
    assert outcome(run, customers[7]) == ("parked", "no_tax_profile")
    assert outcome(run, customers[12]) == ("parked", "quarantined_usage")
    assert outcome(run, customers[20]) == ("done", "")
    assert run.items.filter(status="done").count() == 28
    billed = [number for number in range(30) if number not in {7, 12, 20}]
    assert supplies() == {f"c{number}": due(number + 1) for number in billed}
    # Numbers run in the order of customers, without a gap where somebody was parked.
    assert list(Invoice.objects.order_by("customer_id").values_list("number", flat=True)) == [
        f"INV-202610-{ordinal:04d}" for ordinal in range(1, 28)
    ]
    closed = BillingPeriod.objects.filter(status="closed").values_list("customer__slug", "outcome")
    assert dict(closed) == {**{f"c{number}": "invoiced" for number in billed}, "c20": "no_usage"}
    assert broken() == []


def test_a_batch_does_not_take_many_more_statements_than_one_customer(django_assert_max_num_queries) -> None:
    house(20)
    run = start_run(month=OCTOBER, actor=ACTOR, now=NOW)
    first, *others = pending(run)
    close_customers(item_ids=[first], actor=ACTOR, now=NOW)
    with django_assert_max_num_queries(45):
        close_customers(item_ids=others, actor=ACTOR, now=NOW)
    assert Invoice.objects.count() == 20


def test_batches_are_whole_and_in_order() -> None:
    assert [len(batch) for batch in in_batches(list(range(60)))] == [25, 25, 10]
    assert [pk for batch in in_batches(list(range(60))) for pk in batch] == list(range(60))
    assert in_batches([]) == []


def test_who_the_database_refuses_is_parked_alone() -> None:
    customers = house(8)
    with refused("c5@tax.example"):
        run = close_at_once()
    assert outcome(run, customers[5]) == ("parked", "internal_error")
    assert supplies() == {f"c{number}": due(number + 1) for number in range(8) if number != 5}
    assert sorted(Invoice.objects.values_list("number", flat=True)) == [f"INV-202610-{n:04d}" for n in range(1, 8)]
    assert not BillingPeriod.objects.filter(customer=customers[5], status="closed").exists()
    assert NumberSequence.objects.get(series="INV-202610").last_number == 7
    assert broken() == []
    # What was wrong is repaired, and the run taken up again.
    run = close_at_once()
    assert outcome(run, customers[5]) == ("done", "")
    assert Invoice.objects.get(customer=customers[5]).number == "INV-202610-0008"
    assert broken() == []


@pytest.mark.django_db(transaction=True)
def test_who_the_commit_itself_refuses_is_parked_alone() -> None:
    customers = house(6)
    late = {"when": "AFTER INSERT", "constraint": "CONSTRAINT", "timing": "DEFERRABLE INITIALLY DEFERRED"}
    with refused("c2@tax.example", **late):
        run = close_at_once()
    assert outcome(run, customers[2]) == ("parked", "internal_error")
    assert supplies() == {f"c{number}": due(number + 1) for number in range(6) if number != 2}
    assert sorted(Invoice.objects.values_list("number", flat=True)) == [f"INV-202610-{n:04d}" for n in range(1, 6)]
    assert LedgerTransaction.objects.count() == TaxInvoice.objects.count() == 5
    assert broken() == []


def test_promotional_credit_and_prepayments_within_a_batch() -> None:
    """c1 has 1,000 won of free credit, c2 more than it used, c3 has paid ahead for all and c4 for a part, in two sums."""
    customers = house(6)
    grant(customers[1], 1_000)
    grant(customers[2], 1_000_000)
    prepay(customers[3], 100_000)
    prepay(customers[4], 3_000)
    prepay(customers[4], 2_000)
    close_at_once()
    rows = Invoice.objects.order_by("customer_id").values_list("supply_krw", "status", "allocated_krw")
    assert list(rows) == [
        (1647, "issued", 0),
        (2294, "issued", 0),
        (0, "paid", 0),
        (6588, "paid", 7247),
        (8235, "issued", 5000),
        (9882, "issued", 0),
    ]
    assert [invoice.document.get("prepaid_krw", 0) for invoice in Invoice.objects.order_by("customer_id")] == [
        0, 0, 0, 7247, 5000, 0,
    ]  # fmt: skip
    assert not TaxInvoice.objects.filter(invoice__customer=customers[2]).exists()
    assert sum(LedgerEntry.objects.values_list("amount", flat=True)) == 0
    assert broken() == []


def test_drafts_of_a_batch_park_who_has_none() -> None:
    open_house()
    customers = [tenant(f"c{number}", profile=number != 3) for number in range(9)]
    for number, customer in enumerate(customers):
        use(customer, DOLLAR * (number + 1))
    run = begin_steps(month=OCTOBER, actor="kim", now=NOW)
    confirm_rates(run=run, actor="kim", reason="looked", now=NOW)
    items = request_drafts(run=run, actor="kim", now=NOW)
    assert len(draft_customers(item_ids=items, now=NOW)) == 9
    assert draft_customers(item_ids=items, now=NOW) == []
    assert outcome(run, customers[3]) == ("parked", "no_tax_profile")
    drafts = dict(BillingDraft.objects.values_list("item__customer__slug", "supply_krw"))
    assert drafts == {f"c{number}": due(number + 1) for number in range(9) if number != 3}


@pytest.mark.django_db(transaction=True)
def test_workers_with_overlapping_batches_close_everybody_once() -> None:
    house(20)
    run = start_run(month=OCTOBER, actor=ACTOR, now=NOW)
    items = pending(run)

    def work(number: int) -> None:
        dice = random.Random(number)
        for _ in range(12):
            close_customers(item_ids=sorted(dice.sample(items, 7)), actor=ACTOR, now=NOW)
        close_customers(item_ids=items, actor=ACTOR, now=NOW)

    in_threads(3, work)
    # Whoever was in another's hands at the last call is still pending or was closed by the other.
    close_customers(item_ids=items, actor=ACTOR, now=NOW)
    assert set(run.items.values_list("status", flat=True)) == {"done"}
    assert supplies() == {f"c{number}": due(number + 1) for number in range(20)}
    assert sorted(Invoice.objects.values_list("number", flat=True)) == [f"INV-202610-{n:04d}" for n in range(1, 21)]
    assert Delivery.objects.count() == 40
    assert broken() == []


@pytest.mark.django_db(transaction=True)
def test_killed_before_and_after_every_commit() -> None:
    """Eleven customers in batches of three: each process takes the run up again, and ends at its first, second or third
    commit.
    """
    house(11)
    environment = {**os.environ, "DATABASE_URL": database_url(), "CELERY_BROKER_URL": "memory://"}
    kills = [(number, moment) for number in (1, 2, 3) for moment in ("before", "after")]
    for number, moment in kills:
        done = BillingRunItem.objects.filter(status="done").count()
        command = [sys.executable, "-m", "tests.billing.killed_close", str(number), moment]
        ended = subprocess.run(command, env=environment, cwd=env.REPOSITORY, check=False, capture_output=True)
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        # Its first commit makes the run; each of the next closes a batch whole, or nothing of it.
        closed = BillingRunItem.objects.filter(status="done").count() - done
        assert closed == min(3 * max(number - 1 - (moment == "before"), 0), 11 - done)
        assert Invoice.objects.count() == done + closed
        assert broken() == []
    run = close_at_once()
    assert set(run.items.values_list("status", flat=True)) == {"done"}
    assert supplies() == {f"c{number}": due(number + 1) for number in range(11)}
    assert list(Invoice.objects.order_by("customer_id").values_list("number", flat=True)) == [
        f"INV-202610-{ordinal:04d}" for ordinal in range(1, 12)
    ]
    assert broken() == []


@pytest.mark.django_db(transaction=True)
def test_numbers_taken_several_at_a_time_leave_no_gap_where_some_roll_back() -> None:
    given: list[range] = []

    class Undone(Exception):
        pass

    def take(number: int) -> None:
        dice = random.Random(number)
        for _ in range(6):
            with suppress(Undone), transaction.atomic():
                taken = take_numbers(series="INV-TEST", count=dice.randint(1, 5))
                if dice.random() < 0.4:
                    raise Undone
                given.append(taken)

    in_threads(6, take)
    numbers = sorted(number for taken in given for number in taken)
    assert numbers == list(range(1, len(numbers) + 1))
    assert NumberSequence.objects.get(series="INV-TEST").last_number == len(numbers) > 20
