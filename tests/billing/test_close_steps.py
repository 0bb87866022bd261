"""A month closed in steps: nothing is issued that a second person did not approve, to the won."""

from __future__ import annotations

import io
import json
from datetime import date, timedelta

import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction

from accounts.models import AuditEntry, Customer
from accounts.services import add_tax_profile
from billing.errors import NoExchangeRate, SamePerson, StepNotPossible
from billing.models import Alert, BillingDraft, BillingRun, Invoice
from billing.selectors.drafts import Stage, run_status
from billing.selectors.readiness import Finding, older_months_left, readiness
from billing.services.alerting import acknowledge_alert, raise_alert
from billing.services.closing import close_customer
from billing.services.steps import approve_run, begin_steps, confirm_rates, draft_customer, request_drafts
from tests.billing.commands import run as command
from tests.billing.factories import CORPORATION
from tests.billing.money import grant
from tests.billing.month import (
    ACTOR,
    DOLLAR,
    LATER,
    NOVEMBER,
    NOW,
    OCTOBER,
    close,
    open_house,
    outcome,
    publish,
    tenant,
    use,
)
from usage.periods import BillingMonth
from usage.services.ingesting import ingest_events

pytestmark = pytest.mark.django_db
KIM, LEE = "kim@operator.example", "lee@operator.example"


def drafted(month: BillingMonth = OCTOBER, *, now=NOW) -> BillingRun:
    """A run whose rates are confirmed and whose drafts kim asked for."""
    run = confirm_rates(run=begin_steps(month=month, actor=KIM, now=now), actor=KIM, reason="고시 확인", now=now)
    for item_id in request_drafts(run=run, actor=KIM, now=now):
        draft_customer(item_id=item_id, now=now)
    run.refresh_from_db()
    return run


def issue(run: BillingRun, *, now=NOW) -> None:
    for item in run.items.filter(status="pending").order_by("pk"):
        close_customer(item_id=item.pk, actor=LEE, now=now)


def test_step_by_step_to_the_invoice() -> None:
    open_house()
    customer = tenant()
    use(customer, DOLLAR)
    run = begin_steps(month=OCTOBER, actor=KIM, now=NOW)
    assert run_status(run).stage is Stage.RATES
    with pytest.raises(StepNotPossible):
        request_drafts(run=run, actor=KIM, now=NOW)
    run = confirm_rates(run=run, actor=KIM, reason="고시 확인", now=NOW)
    assert run_status(run).stage is Stage.DRAFTS
    with pytest.raises(StepNotPossible):
        approve_run(run=run, actor=LEE, reason="보았음", now=NOW)
    run = drafted()
    status = run_status(run)
    assert (status.stage, status.drafted, status.supply_krw, status.vat_krw, status.total_krw, status.anomalies) == (
        *(Stage.APPROVAL, 1, 1647, 165, 1812),
        {},
    )
    issue(run)
    assert outcome(run, customer) == ("parked", "not_approved")
    assert not Invoice.objects.exists()
    run = drafted()
    with pytest.raises(SamePerson):
        approve_run(run=run, actor=KIM, reason="보았음", now=NOW)
    run = approve_run(run=run, actor=LEE, reason="전월 대비 확인", now=NOW)
    assert run_status(run).stage is Stage.ISSUE
    issue(run)
    draft, invoice = BillingDraft.objects.get(), Invoice.objects.get()
    assert (invoice.supply_krw, invoice.vat_krw, invoice.total_krw) == (1647, 165, 1812)
    assert (draft.supply_krw, draft.vat_krw, draft.total_krw) == (1647, 165, 1812)
    assert run_status(run).stage is Stage.DONE
    assert run_status(run).deliveries == {"pending": 2}
    actions = AuditEntry.objects.filter(object_type="billing.billingrun").order_by("pk").values_list("action", "actor")
    assert list(actions)[-2:] == [("request_drafts", KIM), ("approve_run", LEE)]


def test_usage_that_comes_after_the_approval_is_not_issued_unseen() -> None:
    open_house()
    changed, same = tenant("changed"), tenant("same")
    use(changed, DOLLAR)
    use(same, DOLLAR)
    run = approve_run(run=drafted(), actor=LEE, reason="보았음", now=NOW)
    use(changed, DOLLAR, event_id="late")
    issue(run)
    assert outcome(run, changed) == ("parked", "changed_since_approval")
    assert outcome(run, same) == ("done", "")
    run = approve_run(run=drafted(), actor=LEE, reason="추가분 확인", now=NOW)
    issue(run)
    assert Invoice.objects.get(customer=changed).supply_krw == 3294
    assert Invoice.objects.count() == 2


def test_what_refuses_an_invoice_is_known_at_its_draft() -> None:
    """An address that no provider takes, and nobody to address a month to that credit pays whole: parked before anybody
    approves, not after.
    """
    open_house()
    unfit, nobody, fine = tenant("unfit"), tenant("nobody", profile=False), tenant("fine")
    two_lines = CORPORATION | {"address": "경기도 성남시\n판교역로 235"}
    add_tax_profile(customer=unfit, valid_from=date(2026, 6, 1), actor=ACTOR, **two_lines)
    grant(nobody, 10_000)
    for customer in (unfit, nobody, fine):
        use(customer, DOLLAR)
    run = drafted()
    assert [outcome(run, one) for one in (unfit, nobody, fine)] == [
        ("parked", "unfit_for_tax_invoice"),
        ("parked", "no_tax_profile"),
        ("pending", ""),
    ]
    assert (run_status(run).stage, run_status(run).drafted, Invoice.objects.count()) == (Stage.APPROVAL, 1, 0)


def test_a_rate_that_is_corrected_after_the_approval_is_seen() -> None:
    open_house()
    customer = tenant()
    use(customer, DOLLAR)
    run = approve_run(run=drafted(), actor=LEE, reason="보았음", now=NOW)
    publish(date(2026, 10, 30), "1401")
    issue(run)
    assert outcome(run, customer) == ("parked", "changed_since_approval")


def test_without_a_rate_nothing_is_confirmed() -> None:
    open_house(rate=None)
    use(tenant(), DOLLAR)
    with pytest.raises(NoExchangeRate):
        confirm_rates(run=begin_steps(month=OCTOBER, actor=KIM, now=NOW), actor=KIM, reason="", now=NOW)


@pytest.mark.parametrize(
    ("dollars", "anomalies"),
    [(13, []), (14, ["rise"]), (7, []), (6, ["fall"]), (0, ["zero"])],
)
def test_a_change_of_more_than_30_percent_is_worth_a_look(dollars: int, anomalies: list[str]) -> None:
    """Last month USD 10 = 16,471 won. 13 -> 21,412 (+29.998 %), 7 -> 11,529 (-30.004 %, so 7.0001 would not be)."""
    open_house()
    customer = tenant()
    use(customer, 10 * DOLLAR)
    close()
    if dollars:
        use(customer, dollars * DOLLAR + (100 if dollars == 7 else 0), at="2026-11-15T12:00:00+09:00", now=LATER)
    drafted(NOVEMBER, now=LATER)
    draft = BillingDraft.objects.get()
    assert (draft.previous_supply_krw, draft.anomalies) == (16_471, anomalies)


def test_a_sale_below_the_upstreams_charge_is_worth_a_look() -> None:
    open_house()
    customer = tenant()
    event = {
        "id": "e",
        "customer": customer.slug,
        "model": "acme/dollar",
        "occurred_at": "2026-10-15T12:00:00+09:00",
        "dialect": "openrouter",
        "usage": {"prompt_tokens": DOLLAR, "completion_tokens": 0, "total_tokens": DOLLAR, "cost": 1.2},
    }
    ingest_events(lines=[json.dumps(event).encode()], now=NOW, actor=ACTOR)
    drafted()
    draft = BillingDraft.objects.get()
    assert (str(draft.upstream_cost_usd.normalize()), draft.anomalies) == ("1.2", ["negative_margin"])


def test_the_database_knows_that_two_people_are_needed() -> None:
    open_house()
    use(tenant(), DOLLAR)
    run = drafted()
    run.approved_at, run.approved_by = NOW, KIM
    with pytest.raises(IntegrityError), transaction.atomic():
        run.save()


def test_readiness_names_everything_that_is_missing() -> None:
    open_house(rate=None, margin=None)
    nameless, waiting = tenant("nameless", profile=False), tenant("waiting")
    use(nameless, DOLLAR)
    use(waiting, DOLLAR, model="acme/new")
    for day in range(1, 13):
        use(waiting, 1, at=f"2026-10-{day:02}T12:00:00+09:00")
    found = readiness(OCTOBER, on=date(2026, 11, 2))
    assert [(one.code, one.customer, one.stops) for one in found] == [
        ("no_exchange_rate", None, True),
        ("no_margin_rule", "nameless", True),
        ("no_margin_rule", "waiting", True),
        ("no_tax_profile", "nameless", True),
        ("quarantined_usage", "waiting", True),
        ("late_source", "waiting", False),
    ]
    assert found[-1] == Finding(
        "late_source", "waiting", "used something on 12 days and nothing after 2026-10-12: is a source late?", False
    )
    assert readiness(NOVEMBER, on=date(2026, 12, 2)) == []


def test_readiness_names_what_reconciliation_found_and_nobody_looked_at() -> None:
    open_house()
    for kind, day in (
        ("upstream_drift", "2026-10-09"),
        ("upstream_drift", "2026-10-08"),
        ("missing_here", "2026-10-08"),
        ("upstream_drift", "2026-11-01"),
    ):
        detail = {"model": "acme/dollar", "day": day}
        raise_alert(kind=Alert.Kind(kind), subject=f"{day} acme/dollar", detail=detail, now=NOW)
    missing = Finding("missing_here", None, "acme/dollar was charged and not metered here on 2026-10-08", stops=False)
    drift = "acme/dollar drifted from what upstreams charged on 2026-10-08, 2026-10-09"
    assert readiness(OCTOBER, on=NOW.date()) == [missing, Finding("upstream_drift", None, drift, stops=False)]
    acknowledge_alert(alert=Alert.objects.get(kind="missing_here"), actor=KIM, now=NOW)
    assert [one.code for one in readiness(OCTOBER, on=NOW.date())] == ["upstream_drift"]


def test_the_commands_drive_the_same_steps() -> None:
    open_house()
    customer = tenant()
    use(customer, DOLLAR)
    step = ("close_month", "2026-10", "--actor", KIM, "--step")
    code, answer = command(*step, "approve", "--reason", "x")
    assert (code, answer["error"]["code"]) == (2, "step_not_possible")
    assert command("close_status", "2026-10") == (
        0,
        {"month": "2026-10", "run": None, "readiness": [], "older_months": []},
    )
    assert command(*step, "readiness") == (0, {"month": "2026-10", "readiness": []})
    assert command(*step, "rates")[1]["status"]["stage"] == "drafts"
    code, answer = command(*step, "drafts")
    assert (code, answer["status"]["stage"], answer["status"]["total_krw"]) == (0, "approval", 1812)
    for same in (KIM, f" {KIM.upper()} "):
        code, answer = command(*step[:3], same, "--step", "approve", "--reason", "x")
        assert (code, answer["error"]["code"]) == (2, "same_person")
    for nobody in (" ", "x" * 201):
        code, answer = command(*step[:3], nobody, "--step", "approve", "--reason", "x")
        assert (code, answer["error"]["field"]) == (2, "actor")
    code, answer = command(*step, "issue")
    assert (code, answer["error"]["code"], outcome(BillingRun.objects.get(), customer)) == (
        2,
        "not_approved",
        ("pending", ""),
    )
    step = ("close_month", "2026-10", "--actor", LEE, "--step")
    code, answer = command(*step, "approve")
    assert (code, answer["error"]["field"]) == (2, "reason")
    assert command(*step, "approve", "--reason", "확인")[1]["status"]["approved_by"] == LEE
    code, answer = command(*step, "issue")
    assert (code, answer["status"]["stage"], [row["total_krw"] for row in answer["invoices"]]) == (0, "done", [1812])
    status = command("close_status", "2026-10")[1]["run"]
    assert (status["stage"], status["customers"]) == ("done", {"pending": 0, "done": 1, "parked": 0})


def test_whoever_is_parked_is_not_done() -> None:
    open_house()
    use(tenant(profile=False), DOLLAR)
    close()
    output = io.StringIO()
    call_command("close_status", "2026-10", stdout=output)
    assert output.getvalue().splitlines()[0] == "2026-10: done, 1 parked"


def test_a_month_before_anybody_came_says_so() -> None:
    output = io.StringIO()
    call_command("close_month", "2020-01", stdout=output)
    assert output.getvalue() == "2020-01: there is nobody to bill\n"


def test_a_month_before_its_end_is_refused() -> None:
    code, answer = command(
        "close_month", str(BillingMonth.of(NOW + timedelta(days=400))), "--actor", KIM, "--step", "rates"
    )
    assert (code, answer["error"]["code"]) == (2, "month_not_ended")
    assert not Customer.objects.exists()


def test_the_status_names_usage_of_earlier_months_that_nobody_closed() -> None:
    open_house()
    gaon, naru = tenant(), tenant("naru")
    use(gaon, DOLLAR)
    use(naru, DOLLAR)
    use(naru, DOLLAR, at="2026-09-15T12:00:00+09:00")
    assert [(str(one.month), one.customers, one.requests) for one in older_months_left(NOVEMBER)] == [
        ("2026-09", ("naru",), 1),
        ("2026-10", ("gaon", "naru"), 2),
    ]
    publish(date(2026, 9, 30), "1400")
    close(BillingMonth(2026, 9))
    close()
    assert older_months_left(NOVEMBER) == []
    # Late usage of a closed month stands in the next open one.
    use(naru, DOLLAR, at="2026-10-20T12:00:00+09:00", event_id="late", now=LATER)
    code, answer = command("close_status", "2026-12")
    assert (code, answer["older_months"]) == (0, [{"month": "2026-11", "customers": ["naru"], "requests": 1}])
