"""Daily sums become estimated events, once, only where nobody sent events, and give way when events come."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction

from accounts.models import AuditEntry, Customer
from billing.selectors.reconciliation import reconciliation_report
from tests.usage.factories import (
    ACTOR,
    MODEL,
    NOW,
    OCTOBER,
    close_period,
    customer,
    ingest,
    line,
    model,
    violations,
)
from usage.errors import EventsArchived, UnreadableFile
from usage.models import (
    ActivityEstimate,
    QuarantinedEvent,
    UsageArchive,
    UsageEvent,
    UsageRollup,
    WithdrawnEvent,
)
from usage.periods import BillingMonth
from usage.selectors.estimates import overlapping_estimates
from usage.services.activity import Outcome, RowResult, import_activity, withdraw_estimates
from usage.sources.rows import read_rows

pytestmark = pytest.mark.django_db


def row(**changes: Any) -> dict[str, Any]:
    """5 October: 1,000 prompt and 30 completion tokens in 10 requests, USD 0.00345 at our prices and 0.0031 at theirs."""
    fields: dict[str, Any] = {
        "date": "2026-10-05",
        "model": MODEL,
        "model_permaslug": MODEL,
        "endpoint_id": "endpoint-1",
        "provider_name": "Anthropic",
        "usage": 0.003,
        "byok_usage_inference": 0.0001,
        "requests": 10,
        "prompt_tokens": 1000,
        "completion_tokens": 30,
        "reasoning_tokens": 4,
    }
    return fields | changes


def imported(
    owner: Customer, rows: Iterable[dict[str, Any]], *, now: datetime = NOW, is_preview: bool = False
) -> list[RowResult]:
    stream = io.BufferedReader(io.BytesIO(json.dumps({"data": list(rows)}).encode()))  # type: ignore[arg-type]
    return import_activity(
        rows=read_rows(stream), customer=owner, source="activity.json", actor=ACTOR, now=now, is_preview=is_preview
    )


def outcomes(results: list[RowResult]) -> list[str]:
    return [result.outcome.value for result in results]


@pytest.fixture
def owner() -> Customer:
    model()
    return customer()


# -- Metering ----------------------------------------------------------------------------------------------------------
def test_a_row_becomes_one_estimated_event(owner: Customer) -> None:
    assert outcomes(imported(owner, [row()])) == ["estimated"]
    event = UsageEvent.objects.get()
    assert (event.occurred_at, event.billing_month) == (datetime(2026, 10, 5, 12, tzinfo=UTC), date(2026, 10, 1))
    assert (event.prompt_tokens, event.completion_tokens, event.reasoning_tokens) == (1000, 30, 4)
    assert (event.cost_usd, event.upstream_cost_usd) == (Decimal("0.00345"), Decimal("0.0031"))
    assert event.flags == ["estimated"]
    estimate = ActivityEstimate.objects.get()
    assert (estimate.event_ids, estimate.requests, estimate.charged_usd) == ([event.event_id], 10, Decimal("0.0031"))
    assert AuditEntry.objects.filter(action="import_activity").count() == 1
    assert violations() == []


def test_importing_twice_adds_nothing_and_other_figures_are_refused(owner: Customer) -> None:
    imported(owner, [row()])
    again = imported(owner, [row(), row(endpoint_id="endpoint-2"), row(endpoint_id="endpoint-1", prompt_tokens=999)])
    assert [(one.outcome.value, one.field) for one in again] == [
        ("known", ""),
        ("estimated", ""),
        ("rejected", "date"),
    ]
    [changed] = imported(owner, [row(prompt_tokens=999)])
    assert (changed.outcome, changed.field) == (Outcome.CONFLICT, "prompt_tokens")
    assert UsageEvent.objects.count() == 2


def test_a_preview_writes_nothing(owner: Customer) -> None:
    results = imported(owner, [row(), row(date="2026-10-06"), row(requests=0)], is_preview=True)
    assert outcomes(results) == ["estimated", "estimated", "rejected"]
    assert [one.events for one in results] == [1, 1, 0]
    assert not UsageEvent.objects.exists()
    assert not ActivityEstimate.objects.exists()
    assert not AuditEntry.objects.filter(action="import_activity").exists()


def test_days_with_real_events_are_covered_and_other_models_are_not(owner: Customer) -> None:
    model("openai/gpt-4.1")
    ingest(line("gen-1", occurred_at="2026-10-06T08:59:59+09:00"))  # the last second of 5 October in UTC
    results = imported(
        owner,
        [row(), row(date="2026-10-06"), row(model="openai/gpt-4.1", model_permaslug="openai/gpt-4.1")],
    )
    assert outcomes(results) == ["covered", "estimated", "estimated"]


def test_another_customers_events_cover_nothing(owner: Customer) -> None:
    customer("daehan")
    ingest(line("gen-1", customer="daehan"))
    assert outcomes(imported(owner, [row()])) == ["estimated"]


def test_a_real_event_of_an_unknown_model_covers_by_its_name(owner: Customer) -> None:
    ingest(line("gen-1", model="x/unheard"))
    assert outcomes(imported(owner, [row(model="x/unheard", model_permaslug="x/unheard-1")])) == ["covered"]


def test_an_unknown_model_waits_for_its_price(owner: Customer) -> None:
    assert outcomes(imported(owner, [row(model="x/new", model_permaslug="x/new")])) == ["estimated"]
    assert QuarantinedEvent.objects.get().code == "unknown_model"


def test_a_day_that_has_not_ended_is_refused(owner: Customer) -> None:
    results = imported(owner, [row(date="2026-11-21"), row(date="2026-11-20")])
    assert [(one.outcome.value, one.field) for one in results] == [("rejected", "date"), ("estimated", "")]


def test_the_days_of_a_month_cost_the_same_in_whatever_parts(owner: Customer) -> None:
    """A model with a long-context price: 5,000 requests of 100 tokens are no request of 500,000."""
    model(
        "google/long",
        {"prompt": "0.000001", "completion": "0.00001"},
        overrides=[{"min_prompt_tokens": 200000, "prompt": "0.000002", "completion": "0.00002"}],
    )
    long = {"model": "google/long", "model_permaslug": "google/long"}
    [result] = imported(owner, [row(**long, requests=5000, prompt_tokens=500_000, completion_tokens=100)])
    assert result.events == 3
    assert sum(one.cost_usd or 0 for one in UsageEvent.objects.all()) == Decimal("0.501")


def test_the_border_day_is_billed_in_both_months(owner: Customer) -> None:
    [result] = imported(
        owner, [row(date="2026-10-31", requests=24, prompt_tokens=2400, completion_tokens=0, reasoning_tokens=0)]
    )
    assert result.events == 2
    by_month = dict(UsageRollup.objects.values_list("billing_month", "prompt_tokens"))
    assert by_month == {date(2026, 10, 1): 1500, date(2026, 11, 1): 900}


def test_all_or_nothing(owner: Customer) -> None:
    with pytest.raises(UnreadableFile, match=r"row 2 was not taken as an event: occurred_at: lies before 2020"):
        imported(owner, [row(), row(date="2019-10-05")])
    assert not UsageEvent.objects.exists()


def test_an_estimate_stays_as_it_is(owner: Customer) -> None:
    imported(owner, [row()])
    for change in ({"requests": 1}, {"event_ids": ["x"]}):
        with pytest.raises(IntegrityError, match="taken back once"), transaction.atomic():
            ActivityEstimate.objects.update(**change)
    with pytest.raises(IntegrityError, match="taken back once"), transaction.atomic():
        ActivityEstimate.objects.all().delete()


# -- Giving way --------------------------------------------------------------------------------------------------------
def test_real_events_take_the_estimates_place(owner: Customer) -> None:
    imported(owner, [row(), row(endpoint_id="endpoint-2"), row(date="2026-10-06")])
    assert withdraw_estimates(actor=ACTOR, now=NOW) == []
    ingest(line("gen-1", occurred_at="2026-10-05T12:00:00Z"))
    withdrawn = withdraw_estimates(actor=ACTOR, now=NOW)
    assert sorted(one.endpoint_id for one in withdrawn) == ["endpoint-1", "endpoint-2"]
    assert WithdrawnEvent.objects.count() == 2
    assert [(one.day, one.requests) for one in UsageRollup.objects.order_by("day")] == [
        (date(2026, 10, 5), 1),
        (date(2026, 10, 6), 1),
    ]
    assert withdraw_estimates(actor=ACTOR, now=NOW) == []
    assert outcomes(imported(owner, [row()])) == ["known"]
    assert violations() == []


def test_an_estimate_without_a_price_gives_way_too(owner: Customer) -> None:
    unheard = {"model": "x/unheard", "model_permaslug": "x/unheard"}
    imported(owner, [row(**unheard)])
    ingest(line("gen-1", model="x/unheard"))
    assert len(withdraw_estimates(actor=ACTOR, now=NOW)) == 1
    assert sorted(QuarantinedEvent.objects.values_list("status", flat=True)) == ["excluded", "open"]


def test_what_was_invoiced_stays_and_is_listed(owner: Customer) -> None:
    imported(owner, [row(), row(date="2026-10-31", requests=24)])
    close_period(owner, OCTOBER)
    ingest(line("gen-1"), line("gen-2", occurred_at="2026-10-31T12:00:00Z"))
    # The border day's part in November is open and taken back; the rest is on October's invoice.
    assert withdraw_estimates(actor=ACTOR, now=NOW) == []
    assert WithdrawnEvent.objects.get().billing_month == date(2026, 11, 1)
    assert [one.day for one in overlapping_estimates()] == [date(2026, 10, 31), date(2026, 10, 5)]
    assert withdraw_estimates(actor=ACTOR, now=NOW) == []
    assert violations() == []


# -- Books and archives ------------------------------------------------------------------------------------------------
def test_estimates_that_do_not_hold_are_found(owner: Customer) -> None:
    imported(owner, [row(), row(date="2026-10-06")])
    assert violations() == []
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE usage_activityestimate SET withdrawn_at = now() WHERE day = '2026-10-05'")
        cursor.execute("UPDATE usage_activityestimate SET event_ids = event_ids || 'x'::text WHERE day = '2026-10-06'")
        cursor.execute("SET LOCAL session_replication_role = origin")
    assert [text.partition(" on ")[2] for text in violations()] == [
        f"2026-10-05, {MODEL}: it was taken back and still counts",
        f"2026-10-06, {MODEL}: 1 of its 2 events are stored",
    ]


def test_of_an_archived_month_nobody_can_say_what_is_covered(owner: Customer) -> None:
    march = BillingMonth(2026, 3)
    UsageArchive.objects.create(
        month=march.first_on,
        start_at=march.start_at,
        end_at=march.end_at,
        status=UsageArchive.Status.ARCHIVED,
        directory="/archive",
        manifest={"customers": {str(owner.pk): 1}},
        started_at=NOW,
        archived_at=NOW,
        actor=ACTOR,
    )
    # The UTC day before begins in February and ends in March, Korean time.
    results = imported(owner, [row(date="2026-02-27"), row(date="2026-02-28"), row(date="2026-03-05")])
    assert [(one.outcome.value, one.field) for one in results] == [("estimated", ""), *[("rejected", "date")] * 2]
    with pytest.raises(EventsArchived):
        reconciliation_report(date(2026, 2, 1), date(2026, 3, 1))


# -- The command -------------------------------------------------------------------------------------------------------
def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = 0
    try:
        call_command("import_activity", *arguments, "--json")
    except SystemExit as error:
        code = int(error.code or 0)
    return code, json.loads(capsys.readouterr().out)


def test_the_command_previews_imports_and_repeats(
    owner: Customer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = list(row())
    file = tmp_path / "activity.csv"
    lines = [",".join(names)] + [",".join(str(one[name]) for name in names) for one in (row(), row(requests="x"))]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    arguments = (str(file), "--customer", "hanbit")
    expected = {"estimated": 1, "known": 0, "covered": 0, "conflict": 0, "rejected": 1, "events": 1}
    refusal = {"row": 3, "outcome": "rejected", "field": "requests", "reason": "must be a whole number from 0"}
    for preview in (True, False):
        code, answer = run(capsys, *arguments, *(["--preview"] if preview else []))
        assert code == 1
        assert answer == {"customer": "hanbit", "preview": preview, **expected, "rows": [refusal]}
    code, answer = run(capsys, *arguments)
    assert (code, answer["known"], answer["events"]) == (1, 1, 0)
    assert UsageEvent.objects.count() == 1


@pytest.mark.parametrize(("content", "code"), [("", "unreadable_file"), ("[", "unreadable_file")])
def test_the_command_refuses_what_is_no_table(
    owner: Customer, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, code: str
) -> None:
    file = tmp_path / "activity.json"
    file.write_text(content, encoding="utf-8")
    status, answer = run(capsys, str(file), "--customer", "hanbit")
    assert (status, answer["error"]["code"]) == (2, code)
    status, answer = run(capsys, str(tmp_path / "nothing"), "--customer", "hanbit")
    assert (status, answer["error"]["code"]) == (2, "unreadable_file")
    status, answer = run(capsys, str(file), "--customer", "nobody")
    assert status == 2
