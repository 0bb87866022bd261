"""Our costs beside the upstream's charges: what agrees, what drifted, and what is missing on which side."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from accounts.models import Customer
from billing.selectors.reconciliation import negative_days, reconciliation_report
from billing.services.margins import set_margin
from tests.billing.commands import run
from tests.reconciliation.statements import charge, charged, stated
from tests.reconciliation.test_statements import DAY
from tests.usage.factories import ACTOR, MODEL, NOW, OCTOBER, customer, ingest, line, model
from usage.models import QuarantinedEvent, UsageAlias
from usage.periods import KST
from usage.selectors.reconciliation import FIGURES, ModelReconciliation, findings, reconciliation
from usage.selectors.upstream_days import upstream_days
from usage.services.quarantine import exclude_quarantined
from usage.services.replacing import exclude_priced_event, replace_event
from usage.services.rerating import rate_quarantined

pytestmark = pytest.mark.django_db

FIFTH = date(2026, 10, 5)
COST = "0.000345"


@pytest.fixture(autouse=True)
def owner() -> Customer:
    model()
    return customer()


def compared(**options: Any) -> list[ModelReconciliation]:
    return reconciliation(OCTOBER.start_at, OCTOBER.end_at, **options)


def only(**options: Any) -> dict[str, Any]:
    """The one row's figures that are not zero."""
    [row] = compared(**options)
    assert (row.day, row.model_id) == (FIFTH, MODEL)
    return {name: getattr(row, name) for name in FIGURES if getattr(row, name)}


# -- Matched and drifted -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("cost", "drift"),
    [
        (COST, None),
        ("0.000345001", None),  # exactly the tolerance
        ("0.000344999", None),
        ("0.00034500000000000003", None),  # a double's noise
        ("0.0003450010000001", "0.0000000010000001"),
        ("0.0004", "0.000055"),
        ("0.0003", "-0.000045"),
        ("0", "-0.000345"),
    ],
)
def test_a_billionth_of_a_dollar_counts_as_equal_and_not_a_digit_more(cost: str, drift: str | None) -> None:
    charged("gen-1", cost)
    row = only()
    assert (row["events"], row["cost_usd"], row.get("charged_usd", 0)) == (1, Decimal(COST), Decimal(cost))
    if drift is None:
        assert (row["matched"], row.get("drifted")) == (1, None)
    else:
        assert (row["drifted"], row["drift_usd"]) == (1, Decimal(drift))
        [finding] = findings(OCTOBER.start_at, OCTOBER.end_at)
        assert (finding.kind, finding.generation_id, finding.customer, finding.drift_usd) == (
            "drift",
            "gen-1",
            "hanbit",
            Decimal(drift),
        )


def test_drifts_add_up_with_their_signs() -> None:
    for position, cost in enumerate(("0.0004", "0.0003", COST)):
        charged(f"gen-{position}", cost)
    assert only() == {
        "events": 3,
        "matched": 1,
        "drifted": 2,
        "drift_usd": Decimal("0.00001"),
        "cost_usd": Decimal("0.001035"),
        "charged_usd": Decimal("0.001045"),
    }


def test_without_a_charge_nothing_is_compared() -> None:
    charged("gen-1", None)
    assert only() == {"events": 1, "uncharged": 1}


def test_rows_are_korean_days_and_the_catalogs_models() -> None:
    model("openai/gpt-4.1")
    charged("gen-1", COST, occurred_at="2026-10-05T23:59:59.999999+09:00")
    charged("gen-2", COST, occurred_at="2026-10-06T00:00:00+09:00", model="openai/gpt-4.1")
    charged("gen-3", COST, occurred_at="2026-09-30T23:59:59+09:00")
    charged("gen-4", COST, model="x/unheard")
    assert [(row.day, row.model_id, row.matched, row.unpriced) for row in compared()] == [
        (FIFTH, MODEL, 1, 0),
        (FIFTH, "x/unheard", 0, 1),
        (date(2026, 10, 6), "openai/gpt-4.1", 1, 0),
    ]


def test_one_customers_events_alone() -> None:
    other = customer("daehan")
    charged("gen-1", COST)
    charged("gen-2", "0.1", customer="daehan")
    assert only(customer=other)["drifted"] == 1
    stated(charge("gen-9", "0.1"))
    assert "missing_here" not in only(customer=other)


# -- What was decided later --------------------------------------------------------------------------------------------
def test_an_event_that_was_priced_later_is_compared_at_that_price() -> None:
    charged("gen-1", COST, model="x/late")
    assert [row.unpriced for row in compared()] == [1]
    model("x/late")
    rate_quarantined(actor=ACTOR, now=NOW)
    [row] = compared()
    assert (row.model_id, row.matched, row.unpriced) == ("x/late", 1, 0)


def test_excluded_and_withdrawn_events_are_compared_with_nothing_and_are_not_missing(owner: Customer) -> None:
    charged("gen-1", COST, model="x/unheard")
    charged("gen-2", "0.5")
    exclude_quarantined(event=QuarantinedEvent.objects.get(), actor=ACTOR, reason="a test", now=NOW)
    exclude_priced_event(customer_id=owner.pk, event_id="gen-2", reason="a test", actor=ACTOR, now=NOW)
    stated(charge("gen-1", COST), charge("gen-2", "0.5"))
    assert compared() == []


def test_a_replacement_is_compared_with_the_charge_of_what_it_replaces(owner: Customer) -> None:
    charged("gen-1", None)
    usage = {"prompt_tokens": 200, "completion_tokens": 6, "total_tokens": 206}
    replacement = line("gen-1~1", dialect="openrouter", usage=usage)
    replace_event(customer_id=owner.pk, event_id="gen-1", line=replacement, reason="a test", actor=ACTOR, now=NOW)
    stated(charge("gen-1", "0.00069"))
    assert only()["matched"] == 1


def test_estimates_are_counted_and_not_compared() -> None:
    charged("gen-1", "0.5", flags=["estimated"])
    assert only() == {"events": 1, "estimated": 1}


# -- Statements --------------------------------------------------------------------------------------------------------
def test_a_statement_says_what_was_charged_where_the_response_did_not() -> None:
    charged("gen-1", None)
    stated(charge("gen-1", "0.0004"))
    assert only()["drift_usd"] == Decimal("0.000055")


def test_a_statement_goes_before_the_response_and_the_difference_is_told() -> None:
    charged("gen-1", COST)
    stated(charge("gen-1", "0.0004"))
    row = only()
    assert (row["drifted"], row["restated"], row["charged_usd"]) == (1, 1, Decimal("0.0004"))


def test_the_gateways_events_are_found_under_the_upstreams_id(owner: Customer) -> None:
    charged("gen-ours", None)
    UsageAlias.objects.create(customer=owner, upstream_id="gen-theirs", event_id="gen-ours")
    stated(charge("gen-theirs", COST))
    assert only() == {"events": 1, "matched": 1, "cost_usd": Decimal(COST), "charged_usd": Decimal(COST)}


def test_what_the_statement_names_and_nobody_sent_is_missing_here() -> None:
    charged("gen-1", COST)
    stated(
        charge("gen-1", COST),
        charge("gen-2", "0.25"),
        charge("gen-3", "0.5", model="x/unheard"),
        charge("gen-4", "9", created_at="2026-09-30T14:59:59Z"),
    )
    assert [(row.model_id, row.missing_here, row.missing_here_usd) for row in compared()] == [
        (MODEL, 1, Decimal("0.25")),
        ("x/unheard", 1, Decimal("0.5")),
    ]
    assert [(one.kind, one.generation_id) for one in findings(OCTOBER.start_at, OCTOBER.end_at)] == [
        ("missing_here", "gen-3"),
        ("missing_here", "gen-2"),
    ]


def test_an_event_of_the_other_side_of_midnight_is_not_missing() -> None:
    charged("gen-1", COST, occurred_at="2026-11-01T00:00:01+09:00")
    stated(charge("gen-1", COST, created_at="2026-10-31T14:59:58Z"))
    assert compared() == []


def test_what_happened_while_the_statement_speaks_and_is_not_in_it_is_missing_there() -> None:
    for position, minute in enumerate(("00:00", "30:00", "59:59")):
        charged(f"gen-{position}", COST, occurred_at=f"2026-10-05T12:{minute}+09:00")
    ingest(line("another-upstreams", occurred_at="2026-10-05T12:20:00+09:00"))
    stated(
        charge("gen-9", "0.1", created_at="2026-10-05T03:10:00Z"),
        charge("gen-8", "0.1", created_at="2026-10-05T03:50:00Z"),
    )
    row = only()
    assert (row["missing_there"], row["missing_here"], row["events"]) == (1, 2, 4)
    assert [one.generation_id for one in findings(OCTOBER.start_at, OCTOBER.end_at) if one.kind == "missing_there"] == [
        "gen-1"
    ]


def test_one_generation_may_drift_and_be_missing_there() -> None:
    charged("gen-1", "0.5")
    stated(
        charge("gen-8", "0", created_at="2026-10-05T02:00:00Z"), charge("gen-9", "0", created_at="2026-10-05T04:00:00Z")
    )
    here = [one.kind for one in findings(OCTOBER.start_at, OCTOBER.end_at) if one.generation_id == "gen-1"]
    assert here == ["drift", "missing_there"]


def test_daily_sums_stand_beside_ours_by_utc_day() -> None:
    model("openai/gpt-4.1")
    charged("gen-1", "0.02", model="openai/gpt-4.1", occurred_at="2026-10-06T08:59:59+09:00")
    charged("gen-2", "0.9", model="openai/gpt-4.1", occurred_at="2026-10-06T09:00:00+09:00")
    charged("gen-3", "0.3", occurred_at="2026-10-05T09:00:00+09:00")
    assert upstream_days(FIFTH, FIFTH) == []
    stated(DAY | {"model_permaslug": "x/perma"}, DAY | {"model_permaslug": "x/perma", "endpoint_id": "e2"})
    assert [one.as_dict() for one in upstream_days(FIFTH, FIFTH)] == [
        {
            "utc_day": "2026-10-05",
            "model": MODEL,
            "requests_there": 0,
            "requests_here": 1,
            "charged_usd": "0",
            "known_usd": "0.3",
            "difference_usd": "-0.3",
            "cost_usd": COST,
        },
        {
            "utc_day": "2026-10-05",
            "model": "openai/gpt-4.1",
            "requests_there": 10,
            "requests_here": 1,
            "charged_usd": "0.054",
            "known_usd": "0.02",
            "difference_usd": "0.034",
            "cost_usd": COST,
        },
    ]


# -- Negative margin ---------------------------------------------------------------------------------------------------
def test_what_sold_below_the_charges_is_named_by_day_and_model(owner: Customer) -> None:
    set_margin(customer=None, margin=Decimal("0.5"), effective_from=date(2026, 1, 1), actor=ACTOR)
    set_margin(customer=owner, margin=Decimal("0.25"), effective_from=date(2026, 1, 1), actor=ACTOR)
    customer("daehan")
    charged("gen-1", "0.0005")  # sold at 0.00046
    charged("gen-2", "0.0005", customer="daehan", occurred_at="2026-10-06T12:00:00+09:00")  # sold at 0.00069
    assert {key: float(loss) for key, loss in negative_days(FIFTH, date(2026, 10, 31)).items()} == {
        (FIFTH, MODEL): 0.00004
    }
    report = reconciliation_report(FIFTH, date(2026, 10, 31))
    assert [(row.figures.day.day, row.loss_usd is not None, row.is_clean) for row in report.rows] == [
        (5, True, False),
        (6, False, False),
    ]
    # Together both days lose nothing, and each day is still looked at by itself.
    assert report.total.charged_usd == Decimal("0.001")


def test_a_report_over_two_months_takes_each_months_margin(owner: Customer) -> None:
    set_margin(customer=None, margin=Decimal(0), effective_from=date(2026, 1, 1), actor=ACTOR)
    set_margin(customer=None, margin=Decimal("0.5"), effective_from=date(2026, 10, 1), actor=ACTOR)
    charged("gen-1", "0.0005", occurred_at="2026-09-30T12:00:00+09:00")
    charged("gen-2", "0.0005")
    assert [day for day, _ in negative_days(date(2026, 9, 1), FIFTH)] == [date(2026, 9, 30)]


# -- The command -------------------------------------------------------------------------------------------------------
def test_the_command_tells_by_its_exit_code_whether_somebody_has_to_look() -> None:
    charged("gen-1", COST)
    status, answer = run("reconcile", "2026-10")
    assert (status, answer["clean"], answer["first"], answer["last"]) == (0, True, "2026-10-01", "2026-10-31")
    assert (answer["total"]["matched"], answer["total"]["charged_usd"], answer["negative_margin"]) == (1, COST, 0)
    charged("gen-2", "0.0004", occurred_at="2026-10-07T12:00:00+09:00")
    assert run("reconcile", "2026-10-05")[0] == 0
    status, answer = run("reconcile", "2026-10-07", "--customer", "hanbit")
    assert (status, answer["customer"], answer["rows"][0]["drift_usd"]) == (1, "hanbit", "0.000055")
    assert json.dumps(answer["findings"]) == json.dumps(
        [
            {
                "kind": "drift",
                "id": "gen-2",
                "customer": "hanbit",
                "at": "2026-10-07T03:00:00+00:00",
                "model": MODEL,
                "cost_usd": COST,
                "charged_usd": "0.0004",
                "drift_usd": "0.000055",
            }
        ]
    )


@pytest.mark.parametrize("period", ["2026-13", "2026-1", "2026-10-32", "october", ""])
def test_the_command_refuses_what_is_no_period(period: str) -> None:
    status, answer = run("reconcile", period)
    assert (status, answer["error"]["code"]) == (2, "invalid_input")
    assert run("reconcile", "2026-10", "--customer", "nobody")[0] == 2


def test_a_report_of_a_day_reads_its_months_partition_only() -> None:
    """However long the history is: only the partition of that time is looked into."""
    charged("gen-1", COST)
    charged("gen-2", COST, occurred_at="2026-08-05T12:00:00+09:00")
    start_at = datetime(2026, 10, 5, tzinfo=KST)
    executed: list[str] = []

    def explain(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "usage_event AS event" in sql and not sql.startswith("EXPLAIN"):
            with connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN {sql}", params)
                executed.append("\n".join(line for (line,) in cursor.fetchall()))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explain):
        reconciliation(start_at, start_at + timedelta(days=1))
    assert len(executed) == 2
    assert all("usage_event_2026_08" not in plan for plan in executed)
