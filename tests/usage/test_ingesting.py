"""A batch of events: one exact answer each, exact costs, and nothing half stored."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import Error, connection, transaction
from django.db.models import Sum

from accounts.services import create_api_key, create_customer, revoke_api_key
from tests.usage.factories import (
    ACTOR,
    MODEL,
    NOVEMBER,
    NOW,
    OCTOBER,
    SEPTEMBER,
    close_period,
    counted,
    customer,
    event,
    ingest,
    line,
    model,
    violations,
)
from usage.errors import PayloadTooLarge
from usage.models import QuarantinedEvent, UsageEvent, UsageRollup
from usage.selectors import month_lines
from usage.services.ingesting import ingest_events

pytestmark = pytest.mark.django_db


def answers(*lines: bytes, now: datetime = NOW) -> list[dict[str, Any]]:
    return [result.as_dict() for result in ingest(*lines, now=now)]


def statuses(*lines: bytes) -> list[str]:
    return [result.status.value for result in ingest(*lines)]


def test_an_event_is_stored_whole_with_its_exact_cost() -> None:
    owner, price = customer(), model()
    usage = {
        "prompt_tokens": 550,
        "completion_tokens": 15,
        "total_tokens": 565,
        "cost": 0.00104,
        "prompt_tokens_details": {"cached_tokens": 250},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }
    app = {"title": "상담\\봇", "referer": "https://desk.example"}
    assert answers(line(dialect="openrouter", usage=usage, requested_model="openrouter/auto", app=app)) == [
        {"index": 0, "id": "gen-1", "status": "accepted"}
    ]

    stored = UsageEvent.objects.get()
    assert (stored.customer_id, stored.event_id, stored.api_key_id) == (owner.pk, "gen-1", None)
    assert (stored.occurred_at, stored.received_at) == (datetime(2026, 10, 5, 3, 0, tzinfo=UTC), NOW)
    assert stored.billing_month == date(2026, 10, 1)
    assert (stored.requested_model, stored.served_model, stored.dialect) == ("openrouter/auto", MODEL, "openrouter")
    assert stored.usage == usage
    assert (stored.prompt_tokens, stored.completion_tokens) == (550, 15)
    assert (stored.cache_read_tokens, stored.reasoning_tokens, stored.flags) == (250, 5, [])
    assert (stored.model_id, stored.price_id) == (price.model_id, price.pk)
    # 300 x 0.000003 + 250 x 0.0000003 + 15 x 0.000015
    assert (stored.cost_usd, stored.upstream_cost_usd) == (Decimal("0.0012"), Decimal("0.00104"))
    assert (stored.app_title, stored.app_referer) == ("상담\\봇", "https://desk.example")

    rollup = UsageRollup.objects.get()
    assert (rollup.customer_id, rollup.day, rollup.billing_month) == (owner.pk, date(2026, 10, 5), date(2026, 10, 1))
    assert (rollup.requests, rollup.prompt_tokens, rollup.completion_tokens) == (1, 550, 15)
    assert (rollup.cache_read_tokens, rollup.reasoning_tokens) == (250, 5)
    assert (rollup.cost_usd, rollup.upstream_cost_usd) == (Decimal("0.0012"), Decimal("0.00104"))
    assert violations() == []


def test_each_item_gets_its_own_answer_and_a_bad_one_takes_no_other_down() -> None:
    customer()
    model()
    assert answers(
        line("a"),
        b"{",
        line("b", customer="nobody"),
        line("c", usage={"prompt_tokens": -1}),
        line("d", dialect="x"),
        line("e"),
    ) == [
        {"index": 0, "id": "a", "status": "accepted"},
        {
            "index": 1,
            "id": None,
            "status": "rejected",
            "code": "invalid_event",
            "field": "event",
            "reason": "is not JSON: Expecting property name enclosed in double quotes (character 1)",
        },
        {
            "index": 2,
            "id": "b",
            "status": "rejected",
            "code": "invalid_event",
            "field": "customer",
            "reason": "is nobody's name here",
        },
        {
            "index": 3,
            "id": "c",
            "status": "rejected",
            "code": "invalid_event",
            "field": "usage.prompt_tokens",
            "reason": "must not be negative",
        },
        {
            "index": 4,
            "id": "d",
            "status": "rejected",
            "code": "invalid_event",
            "field": "dialect",
            "reason": "must be one of openai_chat, openai_responses, openrouter, anthropic_messages, gemini",
        },
        {"index": 5, "id": "e", "status": "accepted"},
    ]
    assert sorted(UsageEvent.objects.values_list("event_id", flat=True)) == ["a", "e"]


@pytest.mark.parametrize("value", ["1_000", "１２３", " 12 ", "1E+18", 1.5, 10**15, True, [], "12"])
def test_a_count_that_is_none_is_refused(value: object) -> None:
    customer()
    model()
    (answer,) = ingest(line(usage={"prompt_tokens": value, "completion_tokens": 1}))
    assert (answer.status, answer.field) == ("rejected", "usage.prompt_tokens")
    assert counted("usage_event", "usage_event_key") == (0, 0)


def test_an_empty_batch_has_no_answers() -> None:
    assert ingest() == []


def test_more_than_ten_thousand_events_are_refused_whole() -> None:
    customer()
    with pytest.raises(PayloadTooLarge):
        ingest_events(lines=(b"{}" for _ in range(10_001)), now=NOW, actor=ACTOR)
    assert len(ingest_events(lines=(b"{}" for _ in range(10_000)), now=NOW, actor=ACTOR)) == 10_000


# -- One event per id --------------------------------------------------------------------------------------------------
def test_the_same_event_again_is_a_duplicate_however_it_is_written() -> None:
    customer()
    model()
    assert statuses(line()) == ["accepted"]
    assert statuses(line(), line(occurred_at="2026-10-05T03:00:00Z"), line(requested_model=MODEL)) == ["duplicate"] * 3
    assert counted("usage_event", "usage_event_key") == (1, 1)
    assert UsageRollup.objects.get().requests == 1


def test_another_event_under_the_same_id_is_a_conflict_in_any_month() -> None:
    customer()
    model()
    assert statuses(line()) == ["accepted"]
    assert answers(line(occurred_at="2026-09-05T12:00:00+09:00")) == [
        {
            "index": 0,
            "id": "gen-1",
            "status": "conflict",
            "code": "idempotency_conflict",
            "field": "id",
            "reason": "this id was stored before with another content",
        }
    ]
    usage = {"prompt_tokens": 101, "completion_tokens": 3, "total_tokens": 104}
    assert statuses(line(usage=usage), line(model="x/y")) == ["conflict"] * 2
    assert counted("usage_event", "usage_event_key") == (1, 1)
    assert violations() == []


def test_within_a_batch_the_first_of_equal_ids_counts() -> None:
    customer()
    model()
    other = line(app={"title": "other"})
    assert statuses(line(), line(), other, line("gen-2")) == ["accepted", "duplicate", "conflict", "accepted"]
    # What is stored decides, not what comes first this time.
    assert statuses(other, line(), other) == ["conflict", "duplicate", "conflict"]
    # A rejected item is no event: it takes no id.
    assert statuses(line("gen-3", usage=1), line("gen-3")) == ["rejected", "accepted"]


def test_two_customers_may_use_the_same_id() -> None:
    customer()
    customer("gaon")
    model()
    assert statuses(line(), line(customer="gaon")) == ["accepted", "accepted"]
    assert statuses(line(), line(customer="gaon")) == ["duplicate", "duplicate"]


# -- Who pays ----------------------------------------------------------------------------------------------------------
def test_a_key_names_its_customer_whole_or_by_its_prefix() -> None:
    owner = customer()
    model()
    issued = create_api_key(customer=owner, name="one", actor=ACTOR)
    assert statuses(line("a", customer=None, api_key=issued.secret)) == ["accepted"]
    assert statuses(line("b", api_key=issued.key.prefix)) == ["accepted"]
    revoke_api_key(key=issued.key, actor=ACTOR, now=NOW)
    assert statuses(line("c", api_key=issued.secret)) == ["accepted"]  # it was consumed all the same
    assert set(UsageEvent.objects.values_list("customer_id", "api_key_id")) == {(owner.pk, issued.key.pk)}
    # The same body under another spelling of the key is the same event.
    assert statuses(line("a", api_key=issued.key.prefix)) == ["duplicate"]
    assert statuses(line("a")) == ["conflict"]


def test_a_key_that_fits_nobody_is_refused_and_never_repeated() -> None:
    owner = customer()
    customer("gaon")
    model()
    issued = create_api_key(customer=owner, name="one", actor=ACTOR)
    ingest_key = create_api_key(customer=None, name="ingest", actor=ACTOR)
    wrong = issued.secret[:-1] + ("a" if issued.secret[-1] != "a" else "b")
    cases = {
        wrong: "is no key that is known here",
        issued.secret + "x": "is no key that is known here",
        issued.key.prefix[:-1]: "is no key that is known here",
        "sk-jeongsan-unknown0": "is no key that is known here",
        ingest_key.secret: "is an ingest key: it belongs to no customer",
    }
    for text, reason in cases.items():
        (answer,) = ingest(line(customer=None, api_key=text))
        assert (answer.status, answer.field, answer.reason) == ("rejected", "api_key", reason)
    (answer,) = ingest(line(customer="gaon", api_key=issued.secret))
    assert (answer.field, answer.reason) == ("api_key", "belongs to another customer than the event names")


def test_a_suspended_customer_is_still_billed_for_what_it_consumed() -> None:
    create_customer(slug="hanbit", name="hanbit", actor=ACTOR, status="suspended")
    model()
    assert statuses(line()) == ["accepted"]


# -- Months at the exact instant ---------------------------------------------------------------------------------------
def test_the_month_and_the_day_turn_at_midnight_in_korea() -> None:
    owner = customer()
    model()
    ingest(line("last", occurred_at="2026-10-31T14:59:59.999999Z"), line("first", occurred_at="2026-10-31T15:00:00Z"))
    assert dict(UsageEvent.objects.values_list("event_id", "billing_month")) == {
        "last": date(2026, 10, 1),
        "first": date(2026, 11, 1),
    }
    assert set(UsageRollup.objects.values_list("day", "billing_month")) == {
        (date(2026, 10, 31), date(2026, 10, 1)),
        (date(2026, 11, 1), date(2026, 11, 1)),
    }
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text, event_id FROM usage_event ORDER BY 1")
        assert cursor.fetchall() == [("usage_event_2026_10", "last"), ("usage_event_2026_11", "first")]
    assert [line.month for line in month_lines(owner, OCTOBER)] == [OCTOBER]


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Pacific/Kiritimati"])
def test_the_servers_time_zone_changes_nothing(zone: str) -> None:
    customer()
    model()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL TIME ZONE %s", [zone])
    ingest(line("last", occurred_at="2026-10-31T14:59:59Z"), line("first", occurred_at="2026-10-31T15:00:00Z"))
    assert sorted(UsageRollup.objects.values_list("day", flat=True)) == [date(2026, 10, 31), date(2026, 11, 1)]
    assert sorted(UsageEvent.objects.values_list("billing_month", flat=True)) == [date(2026, 10, 1), date(2026, 11, 1)]
    assert violations() == []


def test_an_event_of_a_closed_month_goes_to_the_next_open_one() -> None:
    owner = customer()
    model()
    close_period(owner, SEPTEMBER)
    close_period(owner, OCTOBER)
    ingest(
        line("late", occurred_at="2026-09-30T23:59:59+09:00"),
        line("later", occurred_at="2026-10-31T23:59:59+09:00"),
        line("open", occurred_at="2026-11-01T00:00:00+09:00"),
        line("other", occurred_at="2026-08-31T23:59:59+09:00"),
    )
    assert dict(UsageEvent.objects.values_list("event_id", "billing_month")) == {
        "late": date(2026, 11, 1),
        "later": date(2026, 11, 1),
        "open": date(2026, 11, 1),
        "other": date(2026, 8, 1),
    }
    lines = month_lines(owner, NOVEMBER)
    assert [(entry.month, entry.total.requests, entry.total.cost_usd) for entry in lines] == [
        (SEPTEMBER, 1, Decimal("0.000345")),
        (OCTOBER, 1, Decimal("0.000345")),
        (NOVEMBER, 1, Decimal("0.000345")),
    ]
    assert violations() == []


# -- Whole or not at all -----------------------------------------------------------------------------------------------
def test_when_the_sums_cannot_be_written_nothing_is() -> None:
    customer()
    model()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE usage_usagerollup ADD CONSTRAINT small CHECK (requests < 3)")
    assert statuses(line("a"), line("b")) == ["accepted", "accepted"]
    with pytest.raises(Error, match="small"), transaction.atomic():
        ingest(line("c"), line("d"))
    assert counted("usage_event", "usage_event_key") == (2, 2)
    assert UsageRollup.objects.aggregate(Sum("requests")) == {"requests__sum": 2}
    assert violations() == []


def test_a_thousand_events_of_many_days_and_customers_add_up() -> None:
    owners = [customer(f"c{number}") for number in range(3)]
    model()
    model("x/unheard-until-now", kind="variable")
    start = datetime(2026, 8, 30, tzinfo=UTC)
    lines = [
        line(
            f"gen-{number}",
            customer=f"c{number % 3}",
            model=MODEL if number % 10 else "x/unheard-until-now",
            occurred_at=(start + timedelta(hours=number)).isoformat(),
            usage={"prompt_tokens": number, "completion_tokens": 1},
        )
        for number in range(1000)
    ]
    assert {result.status for result in ingest(*lines)} == {"accepted"}
    assert {result.status for result in ingest(*lines)} == {"duplicate"}
    priced = [number for number in range(1000) if number % 10]
    expected = sum(number * Decimal("0.000003") + Decimal("0.000015") for number in priced)
    totals = UsageRollup.objects.aggregate(cost=Sum("cost_usd"), requests=Sum("requests"))
    assert totals == {"cost": expected, "requests": 900}
    assert QuarantinedEvent.objects.count() == 100
    assert sum(len(month_lines(owner, month)) for owner in owners for month in (SEPTEMBER, OCTOBER)) == 6
    assert violations() == []


def test_the_event_of_the_factory_costs_what_it_says() -> None:
    customer()
    model()
    ingest(line())
    assert event()["usage"] == {"prompt_tokens": 100, "completion_tokens": 3, "total_tokens": 103}
    assert UsageEvent.objects.get().cost_usd == Decimal("0.000345")
