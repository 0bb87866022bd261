"""Reading in an upstream's statement: once, refused by line where it contradicts what was read in before."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from accounts.models import AuditEntry
from tests.billing.commands import run
from tests.reconciliation.statements import charge, stated
from usage.models import UpstreamCharge, UpstreamDay, UpstreamStatement

pytestmark = pytest.mark.django_db


def test_generations_are_kept_with_every_digit() -> None:
    done = stated(charge("gen-1", "0.0000000000000000000123"), charge("gen-2", "0", created_at="2026-10-06T00:00:00Z"))
    assert (done.kind, done.counts) == ("generations", {"added": 2, "known": 0, "conflict": 0, "rejected": 0})
    one = UpstreamCharge.objects.get(upstream_id="gen-1")
    assert (one.cost_usd, one.prompt_tokens, one.completion_tokens) == (Decimal("1.23E-20"), 100, 3)
    statement = UpstreamStatement.objects.get()
    assert (statement.rows, statement.source, statement.kind) == (2, "statement.ndjson", "generations")
    assert (statement.first_at, statement.last_at) == (
        datetime(2026, 10, 5, 3, 0, 3, tzinfo=UTC),
        datetime(2026, 10, 6, tzinfo=UTC),
    )
    assert AuditEntry.objects.filter(action="import_statement").count() == 1


def test_the_same_again_is_no_statement() -> None:
    stated(charge("gen-1", "0.1"))
    done = stated(charge("gen-1", "0.10"), charge("gen-1", "0.1"))
    assert (done.statement, done.counts["known"]) == (None, 2)
    assert UpstreamStatement.objects.count() == 1


def test_another_charge_under_a_known_id_is_refused_and_the_first_stays() -> None:
    stated(charge("gen-1", "0.1"))
    done = stated(charge("gen-2", "0.2"), charge("gen-1", "0.3"), charge("gen-2", "0.4"), {"id": "gen-3"})
    assert [refusal.as_dict() for refusal in done.refusals] == [
        {"row": 4, "outcome": "rejected", "field": "created_at", "reason": "is missing"},
        {"row": 2, "outcome": "conflict", "field": "cost_usd", "reason": "was stated otherwise before, and that stays"},
        {"row": 3, "outcome": "conflict", "field": "cost_usd", "reason": "was stated otherwise before, and that stays"},
    ]
    assert dict(UpstreamCharge.objects.values_list("upstream_id", "cost_usd")) == {
        "gen-1": Decimal("0.1"),
        "gen-2": Decimal("0.2"),
    }


def test_a_charge_never_changes() -> None:
    stated(charge("gen-1", "0.1"))
    with pytest.raises(IntegrityError), transaction.atomic():
        UpstreamCharge.objects.update(cost_usd=0)
    with pytest.raises(IntegrityError), transaction.atomic():
        UpstreamCharge.objects.all().delete()


DAY: dict[str, Any] = {
    "date": "2026-10-05",
    "model": "openai/gpt-4.1",
    "model_permaslug": "openai/gpt-4.1-2025-04-14",
    "endpoint_id": "e1",
    "provider_name": "OpenAI",
    "usage": 0.015,
    "byok_usage_inference": 0.012,
    "requests": 5,
    "prompt_tokens": 50,
    "completion_tokens": 125,
    "reasoning_tokens": 25,
}


def test_daily_sums_are_told_by_their_columns() -> None:
    done = stated(DAY, DAY | {"endpoint_id": "e2"}, DAY)
    assert (done.kind, done.counts["added"], done.counts["known"]) == ("days", 2, 1)
    assert stated(DAY | {"requests": 6}).refusals[0].field == "requests"
    assert [(one.day, one.charged_usd) for one in UpstreamDay.objects.all()] == [
        (date(2026, 10, 5), Decimal("0.027")),
        (date(2026, 10, 5), Decimal("0.027")),
    ]


def test_a_list_is_of_one_kind() -> None:
    done = stated(charge("gen-1", "0.1"), DAY)
    assert (done.counts["added"], [refusal.number for refusal in done.refusals]) == (1, [2])


def test_the_command(tmp_path: Path) -> None:
    file = tmp_path / "generations.csv"
    file.write_text(
        "generation_id,created_at,cost_total,byok_usage_inference,tokens_prompt,tokens_completion,model_permaslug\n"
        "gen-1,2026-10-05 03:00:03.5,0.000345,0,100,3,anthropic/claude-sonnet-4.5\n"
        "gen-2,2026-10-05 03:00:04,much,0,100,3,anthropic/claude-sonnet-4.5\n",
        encoding="utf-8",
    )
    refusal = {"row": 3, "outcome": "rejected", "field": "cost_total", "reason": "must be an amount"}
    instants = {"first_at": "2026-10-05T03:00:03.500000+00:00", "last_at": "2026-10-05T03:00:03.500000+00:00"}
    expected = {"kind": "generations", "known": 0, "conflict": 0, "rejected": 1, **instants, "rows": [refusal]}
    assert run("import_statement", str(file)) == (1, {**expected, "added": 1})
    assert run("import_statement", str(file)) == (1, {**expected, "added": 0, "known": 1})
    status, answer = run("import_statement", str(tmp_path / "nothing.csv"))
    assert (status, answer["error"]["code"]) == (2, "unreadable_file")
    file.write_bytes(b"[{]")
    status, answer = run("import_statement", str(file))
    assert (status, answer["error"]["code"]) == (2, "unreadable_file")
