"""Closing under fire: two closers, usage that arrives meanwhile, rollbacks, kill -9. Real threads, processes, commits."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from django.db import connection, transaction

from billing.audit import check_books
from billing.models import BillingRunItem, Delivery, Invoice, LedgerTransaction, NumberSequence, TaxInvoice
from billing.services.closing import close_customer, start_run
from billing.services.issuing import next_number
from config import env
from tests.billing.factories import ACTOR
from tests.billing.month import DOLLAR, LATER, NOVEMBER, NOW, OCTOBER, close, open_house, tenant, use
from tests.database import database_url

pytestmark = pytest.mark.django_db(transaction=True)


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Run `work(0..count-1)` at the same moment, each with a connection of its own; the first failure is raised."""
    start = threading.Barrier(count)

    def one(number: int) -> None:
        try:
            start.wait()
            work(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        for future in [pool.submit(one, number) for number in range(count)]:
            future.result()


def test_two_closers_issue_each_invoice_once() -> None:
    open_house()
    for number in range(8):
        use(tenant(f"c{number}"), DOLLAR * (number + 1))
    run = start_run(month=OCTOBER, actor=ACTOR, now=NOW)
    items = list(run.items.values_list("pk", flat=True))

    def close_all(number: int) -> None:
        for item_id in random.Random(number).sample(items, len(items)):
            close_customer(item_id=item_id, actor=ACTOR, now=NOW)

    in_threads(4, close_all)
    assert set(run.items.values_list("status", flat=True)) == {"done"}
    assert sorted(Invoice.objects.values_list("number", flat=True)) == [f"INV-202610-{n:04d}" for n in range(1, 9)]
    assert sorted(Invoice.objects.values_list("supply_krw", flat=True)) == [
        1647, 3294, 4941, 6588, 8235, 9882, 11529, 13176,
    ]  # fmt: skip
    assert LedgerTransaction.objects.count() == TaxInvoice.objects.count() == 8


def test_usage_that_arrives_during_the_close_is_billed_once() -> None:
    open_house()
    customer = tenant()
    use(customer, DOLLAR, event_id="first")
    run = start_run(month=OCTOBER, actor=ACTOR, now=NOW)
    item_id = run.items.get().pk

    def work(number: int) -> None:
        if number == 0:
            time.sleep(0.05)
            close_customer(item_id=item_id, actor=ACTOR, now=NOW)
        else:
            for ordinal in range(25):
                use(customer, DOLLAR, event_id=f"{number}-{ordinal}")

    in_threads(5, work)
    close(NOVEMBER, now=LATER)
    october = Invoice.objects.get(month=OCTOBER.first_on)
    later = sum(Invoice.objects.filter(month=NOVEMBER.first_on).values_list("cost_usd", flat=True), Decimal(0))
    assert october.cost_usd >= 1
    assert october.cost_usd + later == Decimal(101)
    assert [result.violations for result in check_books() if result.violations] == []


def test_fifty_numbers_at_once_with_rollbacks_leave_no_gap() -> None:
    given: list[int] = []

    class Undone(Exception):
        pass

    def take(number: int) -> None:
        dice = random.Random(number)
        for _ in range(5):
            try:
                with transaction.atomic():
                    taken = next_number(series="INV-TEST")
                    time.sleep(dice.random() / 1000)
                    if dice.random() < 0.5:
                        raise Undone
                given.append(taken)
            except Undone:
                pass

    in_threads(10, take)
    assert sorted(given) == list(range(1, len(given) + 1))
    assert 0 < len(given) < 50
    assert NumberSequence.objects.get(series="INV-TEST").last_number == len(given)


def test_killed_at_any_moment_and_run_again_gives_the_undisturbed_result() -> None:
    open_house()
    for number in range(12):
        customer = tenant(f"c{number}")
        use(customer, DOLLAR * (number + 1))
        use(customer, 777_777 * (number + 1), model="acme/cent")
    command = [sys.executable, "manage.py", "close_month", "2026-10", "--json"]
    environment = {**os.environ, "DATABASE_URL": database_url(), "CELERY_BROKER_URL": "memory://"}
    dice, killed = random.Random(20261101), 0
    while BillingRunItem.objects.filter(status="done").count() < 12:
        process = subprocess.Popen(
            command, env=environment, cwd=env.REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        # Python needs its time to start; the kill falls somewhere into the closing, or before or after it.
        before = Invoice.objects.count()
        while process.poll() is None and Invoice.objects.count() == before:
            time.sleep(0.005)
        time.sleep(dice.random() * 0.03)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
    assert killed > 0
    subprocess.run(command, env=environment, cwd=env.REPOSITORY, check=True, stdout=subprocess.DEVNULL)
    # (n x 1,000,000 + n x 7,777.77 of a dollar's millionth part) at 1,400 / 0.85, rounded once.
    expected = {
        f"c{n - 1}": round(Decimal(n) * (1 + Decimal("0.00777777")) * 1400 / Decimal("0.85")) for n in range(1, 13)
    }
    assert dict(Invoice.objects.values_list("customer__slug", "supply_krw")) == expected
    assert sorted(Invoice.objects.values_list("number", flat=True)) == [f"INV-202610-{n:04d}" for n in range(1, 13)]
    assert Delivery.objects.count() == 24
    assert [result.violations for result in check_books() if result.violations] == []
