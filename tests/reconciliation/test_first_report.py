"""The first report: 22 recorded responses at the list prices of the day before. docs/reconciliation.md tells it in words."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from billing.selectors.reconciliation import reconciliation_report
from catalog.services import sync_catalog
from tests.reconciliation.recorded import LISTING, recorded_lines
from tests.shared import shared_data
from tests.usage.factories import ACTOR, NOW, customer, ingest, violations
from usage.services.ingesting import Status

pytestmark = pytest.mark.django_db

DAY = date(2026, 5, 13)


def test_the_first_report_to_the_last_digit() -> None:
    listed_at = datetime(2026, 5, 12, 12, tzinfo=UTC)
    sync_catalog(body=shared_data(LISTING).read_bytes(), source=LISTING, at=listed_at, actor=ACTOR, now=NOW)
    customer("recorded")
    answers = ingest(*recorded_lines("recorded"))
    assert [answer.status for answer in answers] == [Status.ACCEPTED] * 22

    report = reconciliation_report(DAY, DAY)

    shown = {
        row.figures.model_id: (row.figures.matched, row.figures.drifted, str(row.figures.drift_usd.normalize()))
        for row in report.rows
    }
    assert shown == {
        "anthropic/claude-sonnet-4.5": (4, 0, "0"),
        "anthropic/claude-sonnet-4.6": (9, 0, "0"),
        "google/gemini-2.5-flash": (2, 0, "0"),
        "openai/gpt-4.1-mini": (1, 0, "0"),
        "openai/gpt-4o-mini": (0, 1, "0.015885"),
        "openai/gpt-5-mini": (2, 0, "0"),
        "openai/gpt-5.1-codex-mini": (0, 1, "0.002"),
        "openai/gpt-5.6-sol": (0, 0, "0"),
        "z-ai/glm-4.6": (0, 1, "0.00000364"),
    }
    total = report.total.as_dict()
    assert {name: total[name] for name in ("events", "matched", "drifted", "unpriced")} == {
        "events": 22,
        "matched": 18,
        "drifted": 3,
        "unpriced": 1,
    }
    assert (total["drift_usd"], total["cost_usd"], total["charged_usd"]) == ("0.01788864", "0.03140956", "0.0492982")
    assert [(one.generation_id, one.model_id, str(one.drift_usd)) for one in report.findings] == [
        ("recorded-02", "openai/gpt-4o-mini", "0.0158850000000000000000000000"),
        ("recorded-03", "openai/gpt-5.1-codex-mini", "0.0020000000000000000000000000"),
        ("recorded-08", "z-ai/glm-4.6", "0.0000036400000000000000000000"),
    ]
    assert violations() == []


def test_what_matches_agrees_to_the_last_digit() -> None:
    """No recorded amount needs the tolerance: where ours and theirs agree, they are equal."""
    listed_at = datetime(2026, 5, 12, 12, tzinfo=UTC)
    sync_catalog(body=shared_data(LISTING).read_bytes(), source=LISTING, at=listed_at, actor=ACTOR, now=NOW)
    customer("recorded")
    ingest(*recorded_lines("recorded"))
    for row in reconciliation_report(DAY, DAY).rows:
        if row.figures.matched and not row.figures.drifted:
            assert row.figures.cost_usd == row.figures.charged_usd, row.figures.model_id
