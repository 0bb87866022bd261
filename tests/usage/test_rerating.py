"""Pricing runs: chunk by chunk, by whoever is there, started by themselves when a price appears."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from accounts.selectors import customer_by_slug
from tests.usage.factories import ACTOR, NOW, customer, ingest, line, model, violations
from tests.usage.test_races import at_once
from usage.models import QuarantinedEvent, RatingJob, UsageRollup
from usage.services.rerating import (
    rate_quarantined,
    run_rating,
    start_due_rating,
    start_rating,
    unfinished_ratings,
)
from usage.tasks import rate_quarantine

pytestmark = pytest.mark.django_db

LATER = NOW + timedelta(hours=1)
NEW = "x/new"
#: 100 prompt and 3 completion tokens at COMPONENTS.
EVENT_USD = Decimal("0.000345")


def clock() -> datetime:
    return LATER


@pytest.fixture(autouse=True)
def _waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usage.services.rerating.CHUNK_EVENTS", 10)
    customer()
    customer("gaon")
    ingest(*(line(f"n{number}", model=NEW, customer=("hanbit", "gaon")[number % 2]) for number in range(24)))
    ingest(line("other", model="x/unheard"))


def progress(job: RatingJob) -> tuple[str, int, int, int]:
    return job.status, job.total, job.examined, job.rated


def test_a_run_keeps_its_place_in_the_transaction_that_prices() -> None:
    model(NEW)
    job = start_rating(customer=None, actor="minji", now=NOW)
    assert progress(job) == ("running", 25, 0, 0)
    assert progress(run_rating(job_id=job.pk, clock=clock, max_chunks=1)) == ("running", 25, 10, 10)
    assert progress(run_rating(job_id=job.pk, clock=clock, max_chunks=1)) == ("running", 25, 20, 19)
    assert unfinished_ratings() == [job.pk]
    assert violations() == []

    job = run_rating(job_id=job.pk, clock=clock)
    assert progress(job) == ("done", 25, 25, 24)
    assert (job.cost_usd, job.finished_at, job.actor) == (24 * EVENT_USD, LATER, "minji")
    assert unfinished_ratings() == []
    assert sum(UsageRollup.objects.values_list("requests", flat=True)) == 24
    assert violations() == []


def test_a_run_of_one_customer_leaves_the_others() -> None:
    model(NEW)
    job = start_rating(customer=customer_by_slug("gaon"), actor=ACTOR, now=NOW)
    assert progress(run_rating(job_id=job.pk, clock=clock)) == ("done", 12, 12, 12)
    assert QuarantinedEvent.objects.filter(status="open").count() == 13


def test_a_run_that_was_left_is_taken_up_and_anew_when_prices_changed() -> None:
    model(NEW)
    left = run_rating(job_id=start_rating(customer=None, actor="a", now=NOW).pk, clock=clock, max_chunks=2)
    taken = start_rating(customer=None, actor="b", now=LATER)
    assert (taken.pk, taken.actor, progress(taken)) == (left.pk, "a", ("running", 25, 20, 19))
    model("x/unheard")
    anew = start_rating(customer=None, actor="b", now=LATER)
    assert (anew.pk, anew.actor, progress(anew)) == (left.pk, "b", ("running", 26, 20, 19))
    assert progress(run_rating(job_id=anew.pk, clock=clock)) == ("done", 26, 26, 25)
    assert QuarantinedEvent.objects.filter(status="open").count() == 0
    assert violations() == []


def test_a_fault_ends_the_run_and_loses_no_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    model(NEW)
    job = run_rating(job_id=start_rating(customer=None, actor=ACTOR, now=NOW).pk, clock=clock, max_chunks=1)
    with monkeypatch.context() as patch:
        patch.setattr("usage.services.rerating.CHUNK_EVENTS", "no number")
        with pytest.raises(TypeError):
            run_rating(job_id=job.pk, clock=clock)
    job.refresh_from_db()
    assert (progress(job), job.finished_at) == (("failed", 25, 10, 10), LATER)
    assert job.error.startswith("TypeError: ")
    assert violations() == []
    assert rate_quarantined(actor=ACTOR, now=LATER).rated == 14


def test_nothing_is_due_without_a_price_and_once_everything_is_tried() -> None:
    assert start_due_rating(actor="beat", now=LATER) is None
    model("y/unrelated")
    assert start_due_rating(actor="beat", now=LATER) is None
    model(NEW, {"prompt": "100000000000", "completion": "0"})  # too much to be true, so it prices nothing
    job = start_due_rating(actor="beat", now=LATER)
    assert job is not None
    assert start_due_rating(actor="beat", now=LATER) == job
    assert progress(run_rating(job_id=job.pk, clock=clock)) == ("done", 25, 25, 0)
    assert start_due_rating(actor="beat", now=LATER) is None
    model("y/another")
    assert start_due_rating(actor="beat", now=LATER) is not None


def test_the_task_starts_what_is_due_and_finishes_what_was_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usage.tasks.CHUNKS_PER_TASK", 2)
    rate_quarantine()
    assert RatingJob.objects.count() == 0
    model(NEW)
    rate_quarantine()
    assert progress(RatingJob.objects.get()) == ("running", 25, 20, 19)
    rate_quarantine()
    rate_quarantine()
    assert progress(RatingJob.objects.get()) == ("done", 25, 25, 24)


@pytest.mark.django_db(transaction=True)
def test_several_workers_share_a_run() -> None:
    model(NEW)
    job = start_rating(customer=None, actor=ACTOR, now=NOW)
    at_once(*[lambda: run_rating(job_id=job.pk, clock=clock)] * 3)
    job.refresh_from_db()
    assert progress(job) == ("done", 25, 25, 24)
    assert violations() == []
