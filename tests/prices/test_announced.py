"""Prices that begin on a day to come, and what syncs do around that day.

The day lies far ahead, because the database's own clock guards what is history.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from django.db.utils import DatabaseError

from accounts.errors import DomainError
from accounts.models import AuditEntry
from catalog.errors import HistoryConflict
from catalog.models import Model, Price, PriceChange
from catalog.services import SyncReport, announce_price, approve_price_change
from tests.catalog.listings import JUNE, MAY, NOW, entry, history, row_versions, sync, usd

pytestmark = pytest.mark.django_db

NEW_YEAR = datetime(2099, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
FIFTY = Decimal(50)


def announce(prompt: str = "0.000004", *, since: datetime = NEW_YEAR, **changes: Any) -> PriceChange:
    options: dict[str, Any] = {
        "model": Model.objects.get(model_id="a/x"),
        "components": usd(prompt),
        "effective_from": since,
        "actor": "kim",
        "reason": "their letter of November",
        "now": NOW,
    }
    return announce_price(**(options | changes))


def on(at: datetime, prompt: str) -> SyncReport:
    return sync(entry("a/x", prompt), at=at, now=at, approval_percent=FIFTY)


def test_an_announced_price_begins_on_its_day() -> None:
    sync(entry("a/x", "0.000003"))

    change = announce()

    assert history("a/x") == [
        ("listed", MAY, NEW_YEAR, usd("0.000003")),
        ("listed", NEW_YEAR, None, usd("0.000004")),
    ]
    assert (change.status, change.effective_at, str(change.percent), change.percents) == (
        "announced",
        NEW_YEAR,
        "33.3333",
        {"prompt": "33.3333"},
    )
    assert (change.decided_by, change.reason, change.before.components) == (
        "kim",
        "their letter of November",
        usd("0.000003"),
    )
    assert AuditEntry.objects.get(action="announce_price").data["after"] == usd("0.000004")


def test_a_listing_that_stays_leaves_it_alone() -> None:
    sync(entry("a/x", "0.000003"))
    announce()
    before = row_versions()

    assert not on(NOW, "0.000003").changed
    assert row_versions() == before


def test_a_listing_that_moves_before_the_day_counts_until_the_day() -> None:
    sync(entry("a/x", "0.000003"))
    announce()

    on(NOW, "0.0000035")
    on(NOW + DAY, "0.0000036")

    assert history("a/x") == [
        ("listed", MAY, NOW, usd("0.000003")),
        ("listed", NOW, NOW + DAY, usd("0.0000035")),
        ("listed", NOW + DAY, NEW_YEAR, usd("0.0000036")),
        ("listed", NEW_YEAR, None, usd("0.000004")),
    ]


def test_a_large_move_before_the_day_is_approved_until_the_day() -> None:
    sync(entry("a/x", "0.000003"))
    announce()

    assert [one.percent for one in on(NOW, "0.000009").awaiting] == [Decimal(200)]
    approve_price_change(
        change=PriceChange.objects.get(status="awaiting_approval"), actor="kim", reason="yes", now=NOW + DAY
    )

    assert history("a/x") == [
        ("listed", MAY, NOW + DAY, usd("0.000003")),
        ("listed", NOW + DAY, NEW_YEAR, usd("0.000009")),
        ("listed", NEW_YEAR, None, usd("0.000004")),
    ]


def test_from_its_day_on_it_stands_while_the_listing_says_what_it_said() -> None:
    sync(entry("a/x", "0.000003"))
    announce()
    on(NOW, "0.0000035")
    before = row_versions()

    # The listing lags behind; then it follows.
    assert not on(NEW_YEAR, "0.0000035").changed
    assert not on(NEW_YEAR + DAY, "0.00000350").changed
    assert not on(NEW_YEAR + 2 * DAY, "0.000004").changed
    assert row_versions() == before


def test_from_its_day_on_a_listing_that_moves_is_a_change_like_any_other() -> None:
    sync(entry("a/x", "0.000003"))
    announce()

    on(NEW_YEAR + DAY, "0.000005")

    assert history("a/x")[1:] == [
        ("listed", NEW_YEAR, NEW_YEAR + DAY, usd("0.000004")),
        ("listed", NEW_YEAR + DAY, None, usd("0.000005")),
    ]
    # Going back to what it said before the announcement is a change again.
    assert on(NEW_YEAR + 2 * DAY, "0.000003").price_changes == 1


def test_a_change_that_waited_over_the_day_is_compared_anew() -> None:
    sync(entry("a/x", "0.000003"))
    announce()
    on(NOW, "0.000005")

    on(NEW_YEAR, "0.000003")
    assert PriceChange.objects.get(sync__effective_at=NOW).status == "superseded"
    report = on(NEW_YEAR + DAY, "0.000005")
    assert (report.price_changes, report.awaiting) == (1, ())  # a quarter more than 4, which is in force


def test_another_announcement_follows_for_a_later_day_only() -> None:
    sync(entry("a/x", "0.000003"))
    announce()

    for since in (NEW_YEAR, NEW_YEAR - DAY):
        with pytest.raises(DomainError) as refusal:
            announce("0.000005", since=since)
        assert (refusal.value.code, refusal.value.field) == ("conflict", "effective_from")
    announce("0.000005", since=NEW_YEAR + DAY)
    assert [row[1:3] for row in history("a/x")] == [
        (MAY, NEW_YEAR),
        (NEW_YEAR, NEW_YEAR + DAY),
        (NEW_YEAR + DAY, None),
    ]


def test_a_listing_of_the_past_does_not_shorten_what_was_in_force() -> None:
    sync(entry("a/x", "0.000003"))
    announce()
    on(NOW, "0.0000035")
    before = row_versions()

    with pytest.raises(HistoryConflict):
        sync(entry("a/x", "0.000002"), at=JUNE)
    assert row_versions() == before


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"effective_from": NOW}, "effective_from"),
        ({"effective_from": datetime(2099, 1, 1)}, "effective_from"),  # noqa: DTZ001 - that is the point
        ({"components": {"prompt": "0.1"}}, "completion"),
        ({"components": usd("-1")}, "prompt"),
        ({"components": usd("1e-6")}, "prompt"),
        ({"overrides": [{"utc_days": [1], "prompt": "0"}]}, "utc_days"),
        ({"components": usd("0.0000030")}, "components"),
        ({"reason": " "}, "reason"),
    ],
)
def test_what_cannot_be_announced_is_named(change: dict[str, Any], field: str) -> None:
    sync(entry("a/x", "0.000003"))
    before = row_versions()
    with pytest.raises(DomainError) as refusal:
        announce(**change)
    assert (refusal.value.code, refusal.value.field) == ("invalid_input", field)
    assert row_versions() == before


def test_a_model_without_a_price_has_none_to_follow() -> None:
    sync(entry("a/x", "0.000003"), entry("a/y"))
    nobody = Model.objects.create(
        provider=Model.objects.get(model_id="a/x").provider, model_id="a/new", canonical_slug="a/new", name="New"
    )
    with pytest.raises(DomainError) as refusal:
        announce(model=nobody)
    assert (refusal.value.code, refusal.value.field) == ("conflict", "model")


def test_the_database_lets_an_end_that_has_not_come_only_come_earlier() -> None:
    sync(entry("a/x", "0.000003"))
    announce()
    first = Price.objects.get(effective_to=NEW_YEAR)

    for end in (None, NEW_YEAR + DAY):
        with pytest.raises(DatabaseError, match="a price is history: UPDATE refused"), transaction.atomic():
            Price.objects.filter(pk=first.pk).update(effective_to=end)
    Price.objects.filter(pk=first.pk).update(effective_to=JUNE)
    with pytest.raises(DatabaseError, match="a price is history: UPDATE refused"), transaction.atomic():
        Price.objects.filter(pk=first.pk).update(effective_to=MAY + DAY)
