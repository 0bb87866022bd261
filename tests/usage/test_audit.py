"""Damage done behind the database's back is found, and named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection

from tests.usage.factories import MODEL, NOW, customer, ingest, line, model, violations
from usage.audit import MAX_LISTED, check_usage
from usage.models import UsageEvent
from usage.selectors import quarantined_event
from usage.services.quarantine import exclude_quarantined
from usage.services.rerating import rate_quarantined

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _books() -> None:
    owner = customer()
    model()
    ingest(
        line("a"),
        line("b", occurred_at="2026-09-05T12:00:00+09:00"),
        line("held", model="x/unheard"),
        line("rated", model="x/new"),
        line("excluded", model="x/unheard"),
    )
    model("x/new")
    rate_quarantined(actor="tests", now=NOW)
    exclude_quarantined(event=quarantined_event(owner, "excluded"), actor="tests", reason="x", now=NOW)


@contextmanager
def _guards_off() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        yield
        cursor.execute("SET LOCAL session_replication_role = origin")


def damage(*statements: str) -> list[str]:
    with _guards_off(), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    return violations()


def test_sound_books_are_counted() -> None:
    assert [(result.name, result.checked, result.violations) for result in check_usage()] == [
        ("one_event_per_id", 5, []),
        ("events_are_priced_or_quarantined", 5, []),
        ("withdrawn_events_had_counted", 0, []),
        ("archives_stand_for_their_events", 0, []),
        ("estimates_have_their_events", 0, []),
        ("rollups_equal_a_recount", 3, []),
        ("hours_equal_a_recount", 3, []),
        ("costs_follow_from_prices", 3, []),
        ("prices_do_not_overlap", 2, []),
    ]


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        (
            "INSERT INTO usage_event_key SELECT customer_id, 'ghost', body_hash, occurred_at FROM usage_event_key LIMIT 1",
            "one_event_per_id: event 'ghost' of customer {}: its id is taken and there is no event",
        ),
        (
            "DELETE FROM usage_event_key WHERE event_id = 'held'",
            "one_event_per_id: event 'held' of customer {}: its id is not in the key table",
        ),
        (
            "UPDATE usage_event_key SET body_hash = 'x' WHERE event_id = 'held'",
            "one_event_per_id: event 'held' of customer {}: differs from what its id was taken for",
        ),
        (
            "DELETE FROM usage_quarantinedevent WHERE event_id = 'held'",
            "events_are_priced_or_quarantined: event 'held' of customer {}: has neither a cost nor a quarantine entry",
        ),
        (
            "UPDATE usage_quarantinedevent SET billing_month = '2026-12-01' WHERE event_id = 'held'",
            "events_are_priced_or_quarantined: event 'held' of customer {}: "
            "its quarantine entry names another time or month",
        ),
        (
            "UPDATE usage_quarantinedevent SET event_id = 'a' WHERE event_id = 'excluded'",
            "events_are_priced_or_quarantined: event 'a' of customer {}: has a cost and is quarantined as well",
        ),
        (
            "UPDATE usage_usagerollup SET requests = 2, cost_usd = 0 WHERE day = '2026-09-05'",
            "rollups_equal_a_recount: rollup of customer {} on 2026-09-05, model {model}: requests 2 instead of 1, "
            "cost_usd 0E-28 instead of 0.0003450000000000000000000000",
        ),
        (
            "UPDATE usage_usagehour SET images = 2 WHERE hour_at = '2026-09-05T03:00Z'",
            "hours_equal_a_recount: rollup of customer {} at 2026-09-05T03:00Z, model {model}: images 2 instead of 0",
        ),
        (
            "UPDATE catalog_price SET effective_from = '2026-10-01' WHERE id = (SELECT min(id) FROM catalog_price)",
            "costs_follow_from_prices: event 'b' of customer {}: price {price} begins after it",
        ),
    ],
)
def test_each_damage_is_named(statement: str, found: str) -> None:
    event = UsageEvent.objects.get(event_id="b")
    expected = found.format(event.customer_id, model=event.model_id, price=event.price_id)
    assert expected in damage(statement)


def test_an_event_that_is_stored_twice_is_found_across_partitions() -> None:
    found = damage(
        "CREATE TEMP TABLE twin ON COMMIT DROP AS SELECT * FROM usage_event WHERE event_id = 'a'",
        "UPDATE twin SET occurred_at = '2026-09-05T00:00:00Z'",
        "INSERT INTO usage_event SELECT * FROM twin",
    )
    (event,) = {event.customer_id for event in UsageEvent.objects.all()}
    assert f"one_event_per_id: event 'a' of customer {event}: is stored 2 times" in found
    assert any(text.startswith("rollups_equal_a_recount") for text in found)


def test_a_cost_that_was_touched_is_found_in_every_sum() -> None:
    found = damage("UPDATE usage_event SET cost_usd = 1 WHERE event_id = 'a'")
    event = UsageEvent.objects.get(event_id="a")
    assert found == [
        f"rollups_equal_a_recount: rollup of customer {event.customer_id} on 2026-10-05, model {event.model_id}: "
        "cost_usd 0.0003450000000000000000000000 instead of 1.0000000000000000000000000000, "
        "upstream_basis_usd 0.0003450000000000000000000000 instead of 1.0000000000000000000000000000, "
        "higher_basis_usd 0.0003450000000000000000000000 instead of 1.0000000000000000000000000000",
        f"hours_equal_a_recount: rollup of customer {event.customer_id} at 2026-10-05T03:00Z, model {event.model_id}: "
        "cost_usd 0.0003450000000000000000000000 instead of 1.0000000000000000000000000000",
        f"costs_follow_from_prices: event 'a' of customer {event.customer_id}: costs 0.000345 at price {event.price_id}, "
        "1.0000000000000000000000000000 is stored",
    ]


def test_a_rollup_nobody_can_explain_and_one_that_is_missing_are_found() -> None:
    assert len(damage("UPDATE usage_usagerollup SET day = '2026-10-06' WHERE day = '2026-09-05'")) == 2
    assert len(damage("DELETE FROM usage_usagerollup")) == 3


def test_overlapping_prices_are_found() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE catalog_price DROP CONSTRAINT price_intervals_of_a_model_never_overlap")
    first, second = model("y/z"), model("y/other")
    found = damage(
        f"UPDATE catalog_price SET model_id = {first.model_id} WHERE id = {second.pk}",
    )
    assert found == [f"prices_do_not_overlap: model {first.model_id}: prices {first.pk} and {second.pk} overlap"]


def test_countless_violations_are_counted_beyond_a_hundred() -> None:
    ingest(*(line(f"n{number}", model=MODEL) for number in range(MAX_LISTED + 20)))
    assert len(damage("DELETE FROM usage_event_key")) == MAX_LISTED
    result = check_usage()[0]
    assert (result.name, len(result.violations), result.count) == ("one_event_per_id", 100, 125)
