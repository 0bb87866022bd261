"""Few events go along in the statement, many by COPY before it: the same rows, sums and answers either way."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction

from accounts.models import Customer
from accounts.services import create_api_key
from catalog.models import Price
from tests.usage.factories import ACTOR, LONG_AGO, OCTOBER, close_period, customer, ingest, line, model, violations
from usage.services.attribution import app_ids
from usage.services.ingesting import ItemResult
from usage.services.rating import current_catalog, kept_catalog

pytestmark = pytest.mark.django_db

#: More than go along in a statement.
MANY = 120
REFERER = "https://desk.example/?a=%s&b={}"
TITLES = [f'상담\\봇 "{number}"' for number in range(4)]


def odd_lines() -> list[bytes]:
    """Everything that a row can hold: escapes, flags, keys, apps, every count, charges, unpriced models, other months."""
    key = create_api_key(customer=customer(), name="key", actor=ACTOR)
    lines = []
    for number in range(MANY):
        changes: dict[str, Any] = {"customer": ("hanbit", "second")[number % 2]}
        if number % 5 == 0:
            changes = {"api_key": key.secret if number % 2 else key.key.prefix}
        changes["occurred_at"] = f"2026-{9 + number % 2:02}-{1 + number % 28:02}T{number % 24:02}:59:59.999999+09:00"
        if number % 3 == 0:
            changes["app"] = {"title": TITLES[number % 4], "referer": REFERER}
        if number % 7 == 0:
            changes["model"] = 'x/no\\such "model"'
        if number % 4 == 0:
            changes["flags"] = ["estimated"]
        if number % 2:
            changes["dialect"] = "openrouter"
            changes["usage"] = {
                "prompt_tokens": 9_000 + number,
                "completion_tokens": 500,
                "prompt_tokens_details": {"cached_tokens": number, "audio_tokens": 3, "cache_write_tokens": 11},
                "completion_tokens_details": {"reasoning_tokens": number},
                "cost": 0.00000083,
                "note": "a\\b 'e' {f,g}",
            }
        lines.append(line(f"gen-{number}", **changes))
    return lines


def kept() -> dict[str, list[tuple[Any, ...]]]:
    """The rows of every table that storing writes, without what numbers them."""
    found = {}
    with connection.cursor() as cursor:
        for table, order in (
            ("usage_event", "event_id"),
            ("usage_event_key", "event_id"),
            ("usage_usagerollup", "customer_id, billing_month, day, api_key_id, model_id, app_id"),
            ("usage_usagehour", "customer_id, hour_at, billing_month, api_key_id, model_id, app_id"),
            ("usage_quarantinedevent", "event_id"),
        ):
            cursor.execute(f"SELECT to_jsonb(kept) - 'seq' - 'id' FROM {table} AS kept ORDER BY {order}")
            found[table] = cursor.fetchall()
    return found


def stored_by(*batches: list[bytes]) -> tuple[list[dict[str, Any]], dict[str, list[tuple[Any, ...]]]]:
    """Answers and rows of these batches, which leave nothing behind."""
    with transaction.atomic():
        answers = [answer.as_dict() | {"index": 0} for batch in batches for answer in ingest(*batch)]
        assert violations() == []
        rows = kept()
        transaction.set_rollback(True)
    return answers, rows


def test_many_events_are_stored_as_few_are() -> None:
    model()
    close_period(customer("second"), OCTOBER)
    lines = odd_lines()
    # Rows of their own: otherwise each of the two would have made them, under other numbers.
    app_ids((owner.pk, REFERER, title) for owner in Customer.objects.all() for title in TITLES)
    at_once, rows = stored_by(lines)
    few, same_rows = stored_by(lines[:40], lines[40:80], lines[80:])
    assert at_once == few
    assert rows == same_rows
    assert [answer for answer in at_once if answer["status"] != "accepted"] == []
    assert [len(rows["usage_event"]), len(rows["usage_event_key"])] == [MANY, MANY]
    assert len(rows["usage_quarantinedevent"]) == sum(number % 7 == 0 for number in range(MANY))


def test_what_is_known_is_told_however_many_there_are() -> None:
    customer(), model()
    lines = [line(f"gen-{number}") for number in range(MANY)]
    ingest(*lines)
    again = [*lines[:-2], line(f"gen-{MANY - 2}", model="x/other"), line("gen-new")]
    before = kept()

    def statuses(answers: list[ItemResult]) -> list[str]:
        return [answer.status.value for answer in answers]

    assert statuses(ingest(*again)) == ["duplicate"] * (MANY - 2) + ["conflict", "accepted"]
    assert statuses(ingest(*again[-3:])) == ["duplicate", "conflict", "duplicate"]
    assert len(kept()["usage_event"]) == len(before["usage_event"]) + 1
    # Twice in one transaction: what the first batch copied is not copied again.
    with transaction.atomic():
        assert statuses(ingest(*(line(f"more-{number}") for number in range(MANY)))) == ["accepted"] * MANY
        assert statuses(ingest(*(line(f"most-{number}") for number in range(MANY)))) == ["accepted"] * MANY
    assert violations() == []


@pytest.mark.parametrize("count", [1, MANY])
def test_a_price_that_changed_a_moment_ago_is_the_price(count: int) -> None:
    customer()
    price = model()
    assert current_catalog().version == kept_catalog().version
    # Behind the back of this process: what it remembers is old now.
    Price.objects.filter(pk=price.pk).update(effective_to="2026-10-05T00:00Z")
    newer = model(components={"prompt": "0.000005", "completion": "0.00002"}, at=price_from())
    answers = ingest(*(line(f"gen-{number}") for number in range(count)))
    assert {answer.cost_usd for answer in answers} == {Decimal("0.00056")}
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT price_id FROM usage_event")
        assert cursor.fetchall() == [(newer.pk,)]


def price_from() -> Any:
    """The instant at which the newer price begins."""
    return LONG_AGO.replace(year=2026, month=10, day=5)
