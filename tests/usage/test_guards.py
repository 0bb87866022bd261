"""The database itself keeps events as they arrived, whoever asks."""

from __future__ import annotations

import pytest
from django.db import Error, connection, transaction

from tests.usage.factories import OCTOBER, close_period, counted, customer, ingest, line, model
from usage.models import BillingPeriod, QuarantinedEvent

pytestmark = pytest.mark.django_db


def refused(statement: str) -> str:
    with pytest.raises(Error) as caught, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    return str(caught.value).splitlines()[0]


@pytest.fixture(autouse=True)
def _one_event() -> None:
    customer()
    model()
    ingest(line())


@pytest.mark.parametrize("table", ["usage_event", "usage_event_2026_10", "usage_event_key"])
@pytest.mark.parametrize(
    "statement",
    ["UPDATE {} SET event_id = 'x'", "DELETE FROM {}", "TRUNCATE {}", "UPDATE {} SET body_hash = body_hash"],
)
def test_events_and_ids_are_only_ever_added(table: str, statement: str) -> None:
    assert "rows are never changed" in refused(statement.format(table))
    assert counted("usage_event", "usage_event_key") == (1, 1)


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("cost_usd = NULL", "usage_event_is_priced_whole"),
        ("model_id = NULL", "usage_event_is_priced_whole"),
        ("cost_usd = -1", "usage_event_is_priced_whole"),
        ("billing_month = '2026-09-01'", "usage_event_is_billed_in_its_month_or_later"),
        ("billing_month = '2026-10-02'", "usage_event_is_billed_in_its_month_or_later"),
        ("cache_read_tokens = 101", "usage_event_counts_fit_each_other"),
        ("reasoning_tokens = -1", "usage_event_counts_fit_each_other"),
    ],
)
def test_a_row_that_contradicts_itself_cannot_be_added(change: str, constraint: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE odd ON COMMIT DROP AS SELECT * FROM usage_event")
        cursor.execute(f"UPDATE odd SET event_id = 'odd', {change}")
    assert constraint in refused("INSERT INTO usage_event SELECT * FROM odd")


def test_a_quarantined_event_is_decided_once() -> None:
    ingest(line("held", model="x/unheard"))
    held = QuarantinedEvent.objects.get()
    assert "resolved once" in refused("UPDATE usage_quarantinedevent SET served_model = 'x/cheaper'")
    assert "resolved once" in refused("DELETE FROM usage_quarantinedevent")
    decided = "resolved_at = now(), resolved_by = 'x', resolution = 'x'"
    assert "has_a_cost_exactly_when_rated" in refused(f"UPDATE usage_quarantinedevent SET status = 'rated', {decided}")
    assert "with_a_reason" in refused("UPDATE usage_quarantinedevent SET status = 'excluded'")
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE usage_quarantinedevent SET status = 'excluded', {decided} WHERE id = %s", [held.pk])
    assert "resolved once" in refused("UPDATE usage_quarantinedevent SET resolution = 'another'")


def test_a_closed_period_stays_closed() -> None:
    owner = customer("gaon")
    close_period(owner, OCTOBER)
    assert "stays as it is" in refused("UPDATE usage_billingperiod SET outcome = 'invoiced'")
    assert "stays as it is" in refused("DELETE FROM usage_billingperiod")
    assert BillingPeriod.objects.get().outcome == "no_usage"
