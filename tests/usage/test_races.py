"""Several writers at once, and a writer that dies: every event exactly once, sums exact."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

import pytest
from django.db import connection, transaction
from django.db.models import Sum

from tests.database import database_url
from tests.ground.waiting import eventually
from tests.usage.factories import (
    ACTOR,
    NOVEMBER,
    NOW,
    OCTOBER,
    close_period,
    counted,
    customer,
    ingest,
    line,
    model,
    violations,
)
from usage.models import UsageEvent, UsageRollup
from usage.selectors import month_lines
from usage.services.ingesting import ItemResult, ingest_events
from usage.services.locking import hold_customer
from usage.services.rerating import rate_quarantined

pytestmark = pytest.mark.django_db(transaction=True)

REPOSITORY = Path(__file__).resolve().parents[2]
EVENT_USD = Decimal("0.000345")
#: PGAPPNAME of processes that are killed: threads of this process may hold sessions of their own.
KILLED = "killed"


T = TypeVar("T")


def at_once(*jobs: Callable[[], T]) -> list[T]:
    """Run each job in its own thread with its own connection, all starting together."""
    start = threading.Barrier(len(jobs))

    def run(job: Callable[[], T]) -> T:
        try:
            start.wait(timeout=30)
            return job()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return [future.result(timeout=60) for future in [pool.submit(run, job) for job in jobs]]


def test_four_writers_with_the_same_ids_store_each_event_once() -> None:
    customer()
    customer("gaon")
    model()
    lines = [
        line(
            f"gen-{number}",
            customer=("hanbit", "gaon")[number % 2],
            occurred_at=f"2026-{8 + number % 3:02}-05T00:00:00Z",
        )
        for number in range(300)
    ]
    shuffled = [random.Random(seed).sample(lines, len(lines)) for seed in range(4)]

    answers = at_once(*(lambda batch=batch: ingest(*batch) for batch in shuffled))

    fates = Counter((result.id, result.status.value) for batch in answers for result in batch)
    assert {fate: count for fate, count in fates.items() if fate[1] == "accepted"} == {
        (f"gen-{number}", "accepted"): 1 for number in range(300)
    }
    assert Counter(result.status.value for batch in answers for result in batch) == {"accepted": 300, "duplicate": 900}
    assert counted("usage_event", "usage_event_key") == (300, 300)
    assert UsageRollup.objects.aggregate(Sum("requests"), Sum("cost_usd")) == {
        "requests__sum": 300,
        "cost_usd__sum": 300 * EVENT_USD,
    }
    assert violations() == []


def test_of_writers_with_different_bodies_under_one_id_one_wins() -> None:
    customer()
    model()
    bodies = [line(app={"title": f"writer {number}"}) for number in range(4)]
    answers = at_once(*(lambda body=body: ingest(body) for body in bodies))
    assert Counter(result.status.value for (result,) in answers) == {"accepted": 1, "conflict": 3}
    winner = next(number for number, (result,) in enumerate(answers) if result.status == "accepted")
    assert UsageEvent.objects.get().app_title == f"writer {winner}"
    assert violations() == []


@pytest.mark.parametrize("owners", [["hanbit"], ["hanbit", "gaon"], ["hanbit", "gaon", "nuri"]])
def test_a_batch_that_is_stored_in_two_halves_is_answered_as_one(owners: list[str]) -> None:
    for slug in owners:
        customer(slug)
    model()
    lines = [line(f"gen-{number}", customer=owners[number % len(owners)]) for number in range(600)]
    odd = [line("gen-0", customer=owners[0]), line("gen-1", customer=owners[-1], app={"title": "other"}), b"{}"]
    odd.append(line("new", customer=owners[-1], model="x/unheard"))

    def store() -> Counter[str]:
        with ThreadPoolExecutor(1) as helpers:
            results = ingest_events(lines=lines + odd, now=NOW, actor=ACTOR, helpers=helpers)
            helpers.submit(connection.close)
        assert [result.index for result in results] == list(range(604))
        return Counter(result.status.value for result in results)

    fresh = store()
    conflicts = 0 if len(owners) == 3 else 1  # of three, the last is not the second
    assert fresh == {"accepted": 602 - conflicts, "duplicate": 1, "rejected": 1} | (
        {"conflict": 1} if conflicts else {}
    )
    again = store()
    assert (again["accepted"], again["duplicate"]) == (0, 603 - conflicts)
    assert counted("usage_event", "usage_event_key") == (602 - conflicts,) * 2
    assert violations() == []


def test_writers_of_different_customers_do_not_wait_for_each_other() -> None:
    owners = customer(), customer("gaon")
    model()
    ingest(line("0"))  # the partition is there
    with transaction.atomic():
        ingest(line("first"))
        (answers,) = at_once(lambda: ingest(line("second", customer="gaon")))
    assert answers[0].status == "accepted"
    assert [month_lines(owner, OCTOBER)[0].total.requests for owner in owners] == [2, 1]


def test_an_event_that_arrives_during_a_close_waits_and_goes_to_the_next_month() -> None:
    owner = customer()
    model()
    ingest(line("in time"))
    answers: list[ItemResult] = []
    writer = threading.Thread(target=lambda: (answers.extend(ingest(line("late"))), connection.close()))
    with transaction.atomic():
        hold_customer(owner.pk)
        billed = month_lines(owner, OCTOBER)[0].total.requests
        writer.start()
        wait_for_lock_waiters(1)
        assert answers == []
        close_period(owner, OCTOBER)
    writer.join(timeout=30)
    assert billed == 1
    assert [result.status.value for result in answers] == ["accepted"]
    assert dict(UsageEvent.objects.values_list("event_id", "billing_month")) == {
        "in time": date(2026, 10, 1),
        "late": date(2026, 11, 1),
    }
    assert [(entry.month, entry.total.requests) for entry in month_lines(owner, NOVEMBER)] == [(OCTOBER, 1)]
    assert violations() == []


def test_a_close_waits_for_events_under_way() -> None:
    owner = customer()
    model()
    seen: list[int] = []

    def close() -> None:
        with transaction.atomic():
            hold_customer(owner.pk)
            seen.append(sum(entry.total.requests for entry in month_lines(owner, OCTOBER)))
        connection.close()

    closer = threading.Thread(target=close)
    with transaction.atomic():
        ingest(line())
        closer.start()
        wait_for_lock_waiters(1)
        assert seen == []
    closer.join(timeout=30)
    assert seen == [1]


def test_two_runs_that_price_the_quarantine_count_each_event_once() -> None:
    customer()
    ingest(*(line(f"gen-{number}", model="x/new") for number in range(50)))
    model("x/new")
    done = at_once(*[lambda: rate_quarantined(actor=ACTOR, now=NOW)] * 3)
    assert max(each.rated for each in done) == 50
    assert UsageRollup.objects.aggregate(Sum("requests")) == {"requests__sum": 50}
    assert violations() == []


def wait_for_lock_waiters(count: int) -> None:
    """Until that many sessions of this database wait for an advisory lock."""
    for _ in range(1000):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            if cursor.fetchone()[0] == count:
                return
        time.sleep(0.01)
    raise AssertionError("nobody waits for the lock")


def test_an_ingesting_process_that_is_killed_loses_and_doubles_nothing(tmp_path: Path) -> None:
    customer()
    model()
    total = 4_000
    path = tmp_path / "events.ndjson"
    path.write_bytes(b"\n".join(line(f"gen-{number}") for number in range(total)))
    # Small batches, so that a kill falls between, into and after transactions.
    code = (
        "import sys; sys.argv = ['manage.py', 'ingest_usage', sys.argv[1], '--json'];"
        "import django; django.setup();"
        "from usage.management.commands import ingest_usage; ingest_usage.BATCH_EVENTS = 100;"
        "from django.core.management import execute_from_command_line as run; run(sys.argv)"
    )
    command = [sys.executable, "-c", code, str(path)]
    environment = os.environ | {"DATABASE_URL": database_url(), "PGAPPNAME": KILLED}
    chance = random.Random(20261121)
    stored = [0]
    for attempt in range(6):
        process = subprocess.Popen(
            command, env=environment, cwd=REPOSITORY, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        assert process.stderr is not None
        for _ in range(attempt * 3 + 1):  # progress lines: so far it came before
            process.stderr.readline()
        time.sleep(chance.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
        process.stderr.close()
        wait_until_the_killed_are_gone()
        events, keys = counted("usage_event", "usage_event_key")
        assert events == keys == (UsageRollup.objects.aggregate(Sum("requests"))["requests__sum"] or 0)
        assert events % 100 == 0
        stored.append(events)
    assert stored == sorted(stored)
    assert 0 < stored[-1] < total

    done = subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, check=True, timeout=60)
    assert f'"accepted": {total - stored[-1]}, "duplicate": {stored[-1]}'.encode() in done.stdout
    assert counted("usage_event", "usage_event_key") == (total, total)
    assert UsageRollup.objects.aggregate(Sum("cost_usd")) == {"cost_usd__sum": total * EVENT_USD}
    assert violations() == []


def wait_until_the_killed_are_gone() -> None:
    """Until the server noticed that a process is gone that named itself `KILLED`, and ended its transaction."""

    def left() -> list[tuple[object, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pid, state, wait_event, now() - state_change, left(query, 100) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = %s",
                [KILLED],
            )
            return list(cursor.fetchall())

    eventually(lambda: not left(), left)
