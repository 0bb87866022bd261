"""Taking events back and putting others in their place: the sums follow at once, and nothing is lost or counted twice."""

from __future__ import annotations

import threading
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import Error, connection, transaction
from django.test import Client

from accounts.models import AuditEntry, Customer
from accounts.services import create_api_key
from tests.billing.commands import run
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
from tests.usage.test_races import at_once, wait_for_lock_waiters
from usage.errors import AlreadyResolved, InvalidReplacement, MonthClosed, ReasonMissing, UnknownEvent
from usage.models import QuarantinedEvent, UsageHour, UsageRollup, WithdrawnEvent
from usage.selectors import month_lines
from usage.services.locking import hold_customer
from usage.services.replacing import exclude_priced_event, replace_event, replacement_id
from usage.services.rerating import rate_quarantined

pytestmark = pytest.mark.django_db

LATER = NOW + timedelta(hours=1)
#: 200 prompt and 10 completion tokens at COMPONENTS.
USAGE = {"prompt_tokens": 200, "completion_tokens": 10, "total_tokens": 210}
USAGE_USD = Decimal("0.00075")
EVENT_USD = Decimal("0.000345")


@pytest.fixture
def hanbit() -> Customer:
    owner = customer()
    customer("gaon")
    model()
    ingest(line("a", app={"title": "Desk", "referer": "https://desk.example"}), line("b"))
    return owner


def replace(owner: Customer, event_id: str = "a", **changes: object) -> WithdrawnEvent:
    new = line(replacement_id(event_id), **{"usage": USAGE, **changes})
    return replace_event(
        customer_id=owner.pk, event_id=event_id, line=new, reason="the upstream corrected it", actor="minji", now=LATER
    )


def exclude(owner: Customer, event_id: str = "a", reason: str = "a test call") -> WithdrawnEvent:
    return exclude_priced_event(customer_id=owner.pk, event_id=event_id, reason=reason, actor="minji", now=LATER)


def sums(owner: Customer) -> list[tuple[int, Decimal]]:
    return [(one.total.requests, one.total.cost_usd) for one in month_lines(owner, OCTOBER)]


def test_ids_of_replacements_count_up() -> None:
    assert [replacement_id(each) for each in ("gen-1", "gen-1~1", "gen-1~9", "a~b", "~1")] == [
        "gen-1~1",
        "gen-1~2",
        "gen-1~10",
        "a~b~1",
        "~1~1",
    ]


def test_the_replacement_counts_and_the_replaced_event_does_not(hanbit: Customer) -> None:
    withdrawn = replace(hanbit)

    assert (withdrawn.event_id, withdrawn.replaced_by, withdrawn.cost_usd, withdrawn.reason) == (
        "a",
        "a~1",
        EVENT_USD,
        "the upstream corrected it",
    )
    assert sums(hanbit) == [(2, EVENT_USD + USAGE_USD)]
    assert counted("usage_event", "usage_event_key") == (3, 3)
    assert violations() == []
    audit = AuditEntry.objects.get(action="withdraw_event")
    assert (audit.actor, audit.reason, audit.data["event_id"], audit.data["cost_usd"]) == (
        "minji",
        "the upstream corrected it",
        "a",
        "0.000345",
    )


def test_an_excluded_event_leaves_no_empty_sums(hanbit: Customer) -> None:
    exclude(hanbit, "a")
    assert sums(hanbit) == [(1, EVENT_USD)]
    exclude(hanbit, "b")
    assert (UsageRollup.objects.count(), UsageHour.objects.count()) == (0, 0)
    assert month_lines(hanbit, OCTOBER) == []
    assert violations() == []


def test_a_replacement_can_be_replaced_and_excluded(hanbit: Customer) -> None:
    replace(hanbit)
    replace(hanbit, "a~1", usage={"prompt_tokens": 1, "completion_tokens": 0})
    exclude(hanbit, "a~2")
    assert sums(hanbit) == [(1, EVENT_USD)]
    assert list(WithdrawnEvent.objects.order_by("pk").values_list("event_id", "replaced_by")) == [
        ("a", "a~1"),
        ("a~1", "a~2"),
        ("a~2", ""),
    ]
    assert violations() == []


def test_doing_it_again_changes_nothing_and_doing_it_otherwise_is_refused(hanbit: Customer) -> None:
    first = replace(hanbit)
    assert replace(hanbit) == first
    with pytest.raises(AlreadyResolved):
        exclude(hanbit)
    with pytest.raises(InvalidReplacement, match="stored before with another content"):
        replace(hanbit, usage={"prompt_tokens": 7, "completion_tokens": 7})
    once = exclude(hanbit, "b")
    assert exclude(hanbit, "b") == once
    with pytest.raises(AlreadyResolved):
        replace(hanbit, "b")
    assert (sums(hanbit), AuditEntry.objects.filter(action="withdraw_event").count()) == ([(1, USAGE_USD)], 2)


def test_what_cannot_be_taken_changes_nothing(hanbit: Customer) -> None:
    refused = [
        (UnknownEvent, lambda: replace(hanbit, "nobody's")),
        (UnknownEvent, lambda: exclude(Customer.objects.get(slug="gaon"), "a")),
        (ReasonMissing, lambda: exclude(hanbit, reason=" ")),
        (ReasonMissing, lambda: exclude(hanbit, reason="x" * 501)),
        (InvalidReplacement, lambda: replace(hanbit, customer="gaon")),
        (InvalidReplacement, lambda: replace(hanbit, customer="nobody")),
        (InvalidReplacement, lambda: replace(hanbit, usage={"prompt_tokens": -1, "completion_tokens": 0})),
        (InvalidReplacement, lambda: replace(hanbit, id="a~2")),
    ]
    for error, attempt in refused:
        with pytest.raises(error):
            attempt()
    assert (WithdrawnEvent.objects.count(), sums(hanbit)) == (0, [(2, 2 * EVENT_USD)])
    assert violations() == []


def test_a_closed_month_is_refused_and_names_what_carries_it(hanbit: Customer) -> None:
    close_period(hanbit, OCTOBER)
    with pytest.raises(MonthClosed) as caught:
        exclude(hanbit)
    assert (caught.value.data, caught.value.http_status) == ({"month": "2026-10", "invoice": None}, 409)


def test_a_replacement_of_a_late_event_is_billed_where_the_event_was(hanbit: Customer) -> None:
    close_period(hanbit, OCTOBER)
    ingest(line("late"))
    replace(hanbit, "late")
    [entry] = month_lines(hanbit, NOVEMBER)
    assert (entry.month, entry.total.requests, entry.total.cost_usd) == (OCTOBER, 1, USAGE_USD)
    assert violations() == []


def test_an_event_that_was_priced_late_is_taken_out_at_that_price(hanbit: Customer) -> None:
    ingest(line("new", model="x/new"))
    model("x/new", {"prompt": "0.00001", "completion": "0"})
    rate_quarantined(actor=ACTOR, now=NOW)
    assert exclude(hanbit, "new").cost_usd == Decimal("0.001")
    assert sums(hanbit) == [(2, 2 * EVENT_USD)]
    assert violations() == []


def test_an_event_that_waits_is_decided_by_its_replacement(hanbit: Customer) -> None:
    ingest(line("odd", model="x/unheard"))
    assert replace(hanbit, "odd").cost_usd is None
    held = QuarantinedEvent.objects.get(event_id="odd")
    assert (held.status, held.resolution) == ("excluded", "the upstream corrected it")
    assert sums(hanbit) == [(3, 2 * EVENT_USD + USAGE_USD)]
    assert violations() == []
    ingest(line("gone", model="x/unheard"))
    run("exclude_event", "hanbit", "gone", "--reason", "test")
    with pytest.raises(AlreadyResolved):
        exclude(hanbit, "gone")


def test_a_replacement_without_a_price_waits_and_blocks_the_month(hanbit: Customer) -> None:
    replace(hanbit, model="x/unheard")
    assert QuarantinedEvent.objects.get().event_id == "a~1"
    assert sums(hanbit) == [(1, EVENT_USD)]
    assert violations() == []


def test_a_decision_is_never_changed(hanbit: Customer) -> None:
    exclude(hanbit)
    for statement in ("UPDATE usage_withdrawnevent SET reason = 'x'", "DELETE FROM usage_withdrawnevent"):
        with pytest.raises(Error, match="never changed"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)


def test_damage_to_decisions_is_found(hanbit: Customer) -> None:
    replace(hanbit)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE usage_withdrawnevent SET cost_usd = 1")
        assert violations() == [
            f"withdrawn_events_had_counted: event 'a' of customer {hanbit.pk}: is withdrawn at another cost than it has"
        ]
        cursor.execute("UPDATE usage_withdrawnevent SET cost_usd = 0.000345, replaced_by = 'gone'")
        assert violations() == [
            f"withdrawn_events_had_counted: event 'a' of customer {hanbit.pk}: its replacement is missing"
        ]
        cursor.execute("DELETE FROM usage_withdrawnevent")
        assert any("rollups_equal_a_recount" in text for text in violations())


def test_the_listing_says_that_and_why_it_does_not_count(hanbit: Customer, client: Client) -> None:
    replace(hanbit)
    key = create_api_key(customer=hanbit, name="test", actor=ACTOR).secret
    rows = {
        status: client.get(
            "/billing/v1/usage/events",
            {"month": "2026-10", "status": status},
            headers={"Authorization": f"Bearer {key}"},
        ).json()["rows"]
        for status in ("priced", "excluded")
    }
    assert {row["id"] for row in rows["priced"]} == {"a~1", "b"}
    [row] = rows["excluded"]
    assert (row["id"], row["status"], row["cost_usd"], row["components"], row["exclusion"]) == (
        "a",
        "excluded",
        None,
        None,
        {"reason": "the upstream corrected it", "replaced_by": "a~1"},
    )


def test_a_generation_answers_with_what_counts_in_its_place(hanbit: Customer, client: Client) -> None:
    replace(hanbit)
    key = create_api_key(customer=hanbit, name="test", actor=ACTOR).secret

    def usage(event_id: str) -> tuple[str, float, int]:
        answer = client.get("/api/v1/generation", {"id": event_id}, headers={"Authorization": f"Bearer {key}"})
        data = answer.json()["data"]
        return data["id"], data["usage"], data["tokens_prompt"]

    assert usage("a") == ("a", 0.00075, 200)
    assert usage("a~1") == ("a~1", 0.00075, 200)
    exclude(hanbit, "a~1")
    assert usage("a") == ("a", 0, 200)


def test_the_commands_say_what_they_did(hanbit: Customer, tmp_path: Path) -> None:
    path = tmp_path / "event.json"
    path.write_bytes(line("a~1", usage=USAGE))
    assert run("replace_event", "hanbit", "a", str(path), "--reason", "corrected") == (
        0,
        {
            "customer": "hanbit",
            "event_id": "a",
            "replaced_by": "a~1",
            "taken_out_usd": "0.000345",
            "reason": "corrected",
        },
    )
    assert run("exclude_event", "hanbit", "b", "--reason", "a test call") == (
        0,
        {"customer": "hanbit", "event_id": "b", "status": "excluded", "reason": "a test call"},
    )
    code, answer = run("exclude_event", "hanbit", "a", "--reason", "x")
    assert (code, answer["error"]["code"]) == (2, "already_resolved")
    code, answer = run("replace_event", "hanbit", "b", str(tmp_path / "none"), "--reason", "x")
    assert (code, answer["error"]["code"]) == (2, "unreadable_file")
    assert (sums(hanbit), violations()) == ([(1, USAGE_USD)], [])


@pytest.mark.django_db(transaction=True)
def test_of_several_replacements_at_once_one_wins() -> None:
    owner = customer()
    model()
    ingest(line("a"))
    done = at_once(*[lambda: replace(owner)] * 4)
    assert len({one.pk for one in done}) == 1
    assert sums(owner) == [(1, USAGE_USD)]
    assert violations() == []


@pytest.mark.django_db(transaction=True)
def test_a_replacement_waits_for_a_close_and_is_refused() -> None:
    owner = customer()
    model()
    ingest(line("a"))

    def attempt() -> str:
        try:
            replace(owner)
        except MonthClosed as error:
            return error.code
        return "replaced"

    def close() -> str:
        with transaction.atomic():
            hold_customer(owner.pk)
            ready.set()
            wait_for_lock_waiters(1)
            close_period(owner, OCTOBER)
        return "closed"

    ready = threading.Event()
    assert at_once(close, lambda: ready.wait(30) and attempt()) == ["closed", "month_closed"]
    assert sums(owner) == [(1, EVENT_USD)]
    assert violations() == []
