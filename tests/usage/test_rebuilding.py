"""`manage.py rebuild_rollups`: damaged sums are made anew, sound ones are left alone, and it says what was wrong."""

from __future__ import annotations

import pytest

from accounts.models import AuditEntry
from tests.billing.commands import run
from tests.usage.factories import OCTOBER, close_period, customer, ingest, line, model, violations
from usage.models import UsageHour, UsageRollup

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _books() -> None:
    close_period(customer(), OCTOBER)
    customer("another")
    model()
    ingest(line("late"), line("own", occurred_at="2026-11-05T12:00:00+09:00"), line("else", customer="another"))


def test_sound_sums_are_left_alone() -> None:
    rows = list(UsageRollup.objects.order_by("pk").values_list("pk", flat=True))
    assert run("rebuild_rollups") == (0, {"recounted_months": 2, "rebuilt": []})
    assert list(UsageRollup.objects.order_by("pk").values_list("pk", flat=True)) == rows
    assert not AuditEntry.objects.filter(action="rebuild_rollups").exists()


def test_every_damage_is_repaired_and_named() -> None:
    late = UsageRollup.objects.get(day="2026-10-05", customer__slug="hanbit")
    UsageRollup.objects.filter(pk=late.pk).update(requests=7)
    UsageHour.objects.filter(customer=late.customer, hour_at__gte="2026-11-01T00:00Z").delete()
    assert violations() != []
    assert run("rebuild_rollups", "--customer", "hanbit", "--month", "2026-11") == (
        0,
        {
            "recounted_months": 1,
            "rebuilt": [
                {
                    "customer": "hanbit",
                    "billing_month": "2026-11",
                    "rows": 2,
                    "differences": [
                        f"rollup of customer {late.customer_id} on 2026-10-05, model {late.model_id}: "
                        "requests 7 instead of 1",
                        f"rollup of customer {late.customer_id} at 2026-11-05T03:00Z, model {late.model_id}: requests 0 "
                        "instead of 1, prompt_tokens 0 instead of 100, completion_tokens 0 instead of 3, cost_usd 0 "
                        "instead of 0.0003450000000000000000000000",
                    ],
                }
            ],
        },
    )
    assert violations() == []
    assert AuditEntry.objects.get(action="rebuild_rollups").data["rows"] == 2


def test_sums_without_events_go_and_other_months_stay_as_they_are() -> None:
    UsageRollup.objects.filter(customer__slug="another").update(requests=5)
    UsageRollup.objects.filter(customer__slug="hanbit", day="2026-11-05").update(billing_month="2026-12-01")
    answer = run("rebuild_rollups", "--customer", "hanbit")[1]
    assert [(one["billing_month"], one["rows"]) for one in answer["rebuilt"]] == [("2026-11", 1), ("2026-12", 1)]
    assert len(violations()) == 1
    assert run("rebuild_rollups")[1]["rebuilt"][0]["customer"] == "another"
    assert violations() == []


def test_a_month_that_is_none_is_refused() -> None:
    code, answer = run("rebuild_rollups", "--month", "2026-13")
    assert (code, answer["error"]["field"]) == (2, "month")
