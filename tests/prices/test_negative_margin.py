"""What is left beside the upstream's actual charges, exactly; below zero somebody is told."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import pytest

from accounts.models import Customer
from billing.models import Alert
from billing.selectors.margins import model_margins, negative_margin
from billing.services.alerting import acknowledge_alert, alert_negative_margins
from billing.services.margins import set_margin
from tests.billing.factories import ACTOR
from tests.billing.month import DOLLAR, IN_OCTOBER, NOVEMBER, NOW, OCTOBER, open_house, tenant
from usage.services.ingesting import Status, ingest_events

pytestmark = pytest.mark.django_db


def charged(
    customer: Customer,
    upstream_usd: str | None,
    *,
    tokens: int = DOLLAR,
    model: str = "acme/dollar",
    at: str = IN_OCTOBER,
) -> None:
    """Meter an event for which the upstream charged that much, or did not say."""
    usage = {"prompt_tokens": tokens, "completion_tokens": 0} | ({} if upstream_usd is None else {"cost": "COST"})
    event = {
        "id": f"{customer.slug} {model} {upstream_usd} {at}",
        "customer": customer.slug,
        "model": model,
        "occurred_at": at,
        "dialect": "openrouter",
        "usage": usage,
    }
    line = json.dumps(event).replace('"COST"', upstream_usd or "").encode()
    (result,) = ingest_events(lines=[line], now=NOW, actor=ACTOR)
    assert result.status == Status.ACCEPTED, result


def test_selling_is_cost_over_one_minus_margin() -> None:
    open_house()
    charged(tenant(), "1.2")

    (loss,) = negative_margin(OCTOBER)

    # 1 / 0.85 = 1.17647...; 1 - 1.2 x 0.85 = -0.02
    assert (loss.model_id, loss.cost_usd, loss.upstream_cost_usd) == ("acme/dollar", Decimal(1), Decimal("1.2"))
    assert (loss.is_negative, loss.percent) == (True, Decimal(-2))
    assert negative_margin(NOVEMBER) == []


@pytest.mark.parametrize(
    ("upstream_usd", "percent", "is_negative"),
    [("1", "15.0000", False), ("1.17647058823529411", "0.0000", False), ("1.17647058823529412", "0.0000", True)],
)
def test_below_zero_is_decided_exactly(upstream_usd: str, percent: str, is_negative: bool) -> None:
    open_house()
    charged(tenant(), upstream_usd)
    (margin,) = model_margins(OCTOBER)
    assert (abs(margin.percent or 0), margin.is_negative) == (Decimal(percent), is_negative)


def test_each_customers_own_margin_counts() -> None:
    open_house()
    dear, cheap = tenant("dear"), tenant("cheap")
    set_margin(customer=dear, margin=Decimal("0.5"), effective_from=date(2026, 1, 1), actor=ACTOR)
    charged(dear, "1.2")
    charged(cheap, "1.2")

    (margin,) = model_margins(OCTOBER)

    # 2 + 1.17647... for 2.4
    assert (margin.is_negative, margin.percent) == (False, Decimal("24.4444"))


def test_usage_without_a_charge_hides_no_loss() -> None:
    open_house()
    charged(tenant("silent"), None, tokens=100 * DOLLAR)
    charged(tenant("told"), "1.2")

    assert [(loss.cost_usd, loss.percent) for loss in negative_margin(OCTOBER)] == [(Decimal(1), Decimal(-2))]


def test_what_is_given_away_and_charged_for_is_a_loss_without_a_percentage() -> None:
    open_house()
    charged(tenant(), "0.5", model="acme/free")
    assert [(loss.model_id, loss.percent) for loss in negative_margin(OCTOBER)] == [("acme/free", None)]


def test_without_any_rule_it_sells_at_cost() -> None:
    open_house(margin=None)
    charged(tenant(), "1.000001")
    assert [loss.percent for loss in negative_margin(OCTOBER)] == [Decimal("-0.0001")]


def test_a_loss_is_told_once_a_model_and_month() -> None:
    open_house()
    gaon = tenant()
    charged(gaon, "1.2")

    (alert,) = alert_negative_margins(month=OCTOBER, now=NOW)

    assert (alert.kind, alert.subject, alert.detail) == (
        "negative_margin",
        "2026-10 acme/dollar",
        {"model": "acme/dollar", "cost_usd": "1", "upstream_cost_usd": "1.2", "margin_percent": "-2"},
    )
    assert alert_negative_margins(month=OCTOBER, now=NOW) == []
    acknowledge_alert(alert=alert, actor="kim", now=NOW)
    charged(gaon, "7.5", at="2026-10-16T12:00:00+09:00")
    assert alert_negative_margins(month=OCTOBER, now=NOW) == []
    charged(gaon, "1.2", model="acme/cent", tokens=100 * DOLLAR)
    assert [alert.subject for alert in alert_negative_margins(month=OCTOBER, now=NOW)] == ["2026-10 acme/cent"]
    assert Alert.objects.count() == 2
