"""What operators are told about the upstream's charges, and that an invoice never holds an estimate beside its events."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from billing import tasks
from billing.models import Alert, Invoice
from billing.services.alerting import acknowledge_alert
from billing.services.reconciling import alert_reconciliation
from tests.billing.month import OCTOBER, close, open_house, tenant, use
from tests.reconciliation.statements import charge, charged, stated
from tests.sources.test_activity import imported, row
from tests.usage.factories import ACTOR, MODEL, NOW, customer, model
from usage.models import ActivityEstimate, WithdrawnEvent
from usage.tasks import withdraw_estimates

FIFTH = date(2026, 10, 5)
pytestmark = pytest.mark.django_db


def told(percent: int = 1) -> list[tuple[str, str, dict[str, Any]]]:
    alerts = alert_reconciliation(first=FIFTH, last=date(2026, 10, 31), drift_percent=percent, now=NOW)
    return [(alert.kind, alert.subject, alert.detail) for alert in alerts]


def test_drift_above_its_share_of_a_days_charges_is_told_once() -> None:
    model()
    customer()
    charged("gen-1", "0.000345")
    charged("gen-2", "0.0003588")  # 1.96 % of both charges
    assert told(percent=2) == []
    assert told(percent=1) == [
        (
            "upstream_drift",
            f"2026-10-05 {MODEL}",
            {
                "model": MODEL,
                "day": "2026-10-05",
                "responses": 1,
                "cost_usd": "0.00069",
                "charged_usd": "0.0007038",
                "drift_usd": "0.0000138",
            },
        )
    ]
    assert told(percent=1) == []
    acknowledge_alert(alert=Alert.objects.get(), actor=ACTOR, now=NOW)
    assert told(percent=1) == []


def test_below_the_list_price_is_drift_too_and_nothing_charged_as_well() -> None:
    model()
    customer()
    charged("gen-1", "0")
    assert [kind for kind, *_ in told()] == ["upstream_drift"]


def test_charges_that_nobody_metered_are_told() -> None:
    model()
    customer()
    stated(charge("gen-1", "0.25"), charge("gen-2", "0.5"))
    assert told() == [
        (
            "missing_here",
            f"2026-10-05 {MODEL}",
            {"model": MODEL, "day": "2026-10-05", "responses": 2, "charged_usd": "0.75"},
        )
    ]


def test_beat_looks_at_the_days_before_today(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model()
    customer()
    charged("gen-1", "0.5", occurred_at="2026-11-20T23:00:00+09:00")
    charged("gen-2", "0.5", occurred_at="2026-11-13T23:00:00+09:00")
    charged("gen-3", "0.5", occurred_at="2026-11-21T08:00:00+09:00")
    monkeypatch.setattr(tasks.timezone, "now", lambda: NOW)
    tasks.alert_reconciliation()
    assert [alert.subject for alert in Alert.objects.all()] == [f"2026-11-20 {MODEL}"]


# -- Estimates ---------------------------------------------------------------------------------------------------------
def dollars(**changes: Any) -> dict[str, Any]:
    """A day on which a million tokens of acme/dollar cost a dollar."""
    named = {"model": "acme/dollar", "model_permaslug": "acme/dollar"}
    counts = {"prompt_tokens": 1_000_000, "completion_tokens": 0, "reasoning_tokens": 0}
    return row(**{"date": "2026-10-15", **named, **counts, **changes})


def test_the_close_bills_an_estimate_that_nothing_replaced() -> None:
    open_house()
    imported(tenant(), [dollars()])
    close()
    assert Invoice.objects.get().supply_krw == 1647


def test_the_close_takes_an_estimate_back_before_it_bills() -> None:
    open_house()
    owner = tenant()
    imported(owner, [dollars(), dollars(date="2026-10-16")])
    use(owner, 2_000_000)
    close()
    # 2 dollars of the 15th that were metered, and 1 of the 16th that is estimated.
    assert Invoice.objects.get().supply_krw == 4941
    assert WithdrawnEvent.objects.count() == 1


def test_an_invoiced_estimate_beside_which_events_arrive_is_told() -> None:
    open_house()
    owner = tenant()
    imported(owner, [dollars(), dollars(endpoint_id="endpoint-2")])
    close()
    use(owner, 2_000_000)
    withdraw_estimates()
    assert ActivityEstimate.objects.filter(withdrawn_at=None).count() == 2
    expected = {"customer": "gaon", "model": "acme/dollar", "utc_day": "2026-10-15"}
    assert told() == [("estimate_overlap", "2026-10-15 gaon acme/dollar", expected)]


def test_beat_takes_estimates_back() -> None:
    open_house()
    owner = tenant()
    imported(owner, [dollars()])
    use(owner, 2_000_000)
    withdraw_estimates()
    assert ActivityEstimate.objects.get().withdrawn_at is not None
    assert OCTOBER.contains(WithdrawnEvent.objects.get().occurred_at)
