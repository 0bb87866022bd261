"""Large price changes wait for an operator, and the old price stays in force meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from accounts.errors import DomainError
from accounts.models import AuditEntry
from catalog.models import CatalogSync, Price, PriceChange
from catalog.selectors import find_price
from catalog.services import SyncReport, approve_price_change, reject_price_change
from tests.catalog.listings import JULY, JUNE, MAY, NOW, counts, entry, history, row_versions, sync, usd

pytestmark = pytest.mark.django_db

AUGUST = datetime(2026, 8, 3, tzinfo=UTC)
FIFTY = Decimal(50)
STRANGE = {**usd("0.000004"), "per_thought": "0.1"}
NIGHT = {"utc_start": 1630, "utc_end": 30, "prompt": "0.000001"}


def resync(*entries: dict[str, Any], at: datetime = JUNE) -> SyncReport:
    return sync(*entries, at=at, approval_percent=FIFTY)


def changes() -> list[tuple[str, str, str | None, dict[str, str | None]]]:
    """Model, status, percent and percents of every change, in the order in which they were found."""
    return [
        (change.model.model_id, change.status, change.percent and str(change.percent), change.percents)
        for change in PriceChange.objects.select_related("model").order_by("pk")
    ]


def in_force(model_id: str, at: datetime) -> Decimal | None:
    found = find_price(model_id, at=at)
    return found.sheet.prices["prompt"] if found and found.sheet else None


def waiting_change() -> PriceChange:
    """a/x from 3 to 5 USD per million: two thirds more."""
    sync(entry("a/x", "0.000003"))
    resync(entry("a/x", "0.000005"))
    return PriceChange.objects.get()


def test_small_changes_apply_and_large_ones_wait() -> None:
    sync(entry("a/half", "0.000002"), entry("a/more", "0.000002"), entry("a/less", "0.000002"), entry("a/same"))

    report = resync(
        entry("a/half", "0.000003"), entry("a/more", "0.0000031"), entry("a/less", "0.0000009"), entry("a/same")
    )

    assert counts(report) == {"listed": 4, "price_changes": 1, "unchanged": 1}
    assert report.as_dict()["awaiting_approval"] == [
        {"model": "a/more", "percent": "55", "percents": {"prompt": "55"}},
        {"model": "a/less", "percent": "-55", "percents": {"prompt": "-55"}},
    ]
    assert changes() == [
        ("a/half", "applied", "50.0000", {"prompt": "50"}),
        ("a/more", "awaiting_approval", "55.0000", {"prompt": "55"}),
        ("a/less", "awaiting_approval", "-55.0000", {"prompt": "-55"}),
    ]
    assert history("a/half")[1:] == [("listed", JUNE, None, usd("0.000003"))]
    for waits in ("a/more", "a/less"):
        assert history(waits) == [("listed", MAY, None, usd("0.000002"))]
    applied = PriceChange.objects.get(status="applied")
    assert applied.before.components == usd("0.000002")
    assert applied.after == Price.objects.get(model__model_id="a/half", effective_to=None)
    assert (applied.sync, applied.effective_at, applied.source) == (
        CatalogSync.objects.get(effective_at=JUNE),
        JUNE,
        "test",
    )


def test_a_first_price_never_waits() -> None:
    report = resync(entry("a/x", "5"), at=MAY)
    assert (report.created, report.awaiting, changes()) == (1, (), [])
    resync(entry("a/x", "5"), entry("a/y", "7"))
    assert history("a/y") == [("listed", JUNE, None, usd("7"))]


@pytest.mark.parametrize(
    ("before", "after", "percent"),
    [("0", "0.000001", None), ("0.000001", "0", "-100.0000")],
)
def test_to_begin_or_cease_to_be_free_waits_whatever_the_percentage(
    before: str, after: str, percent: str | None
) -> None:
    sync(entry("a/x", before))
    sync(entry("a/x", after), at=JUNE, approval_percent=Decimal(10_000))
    assert [(change[1], change[2]) for change in changes()] == [("awaiting_approval", percent)]
    assert in_force("a/x", JULY) == Decimal(before)


def test_to_become_variable_or_listed_waits() -> None:
    sync(entry("a/x", "0.000003"), entry("a/auto", "-1", "-1"))

    report = resync(entry("a/x", "-1", "-1"), entry("a/auto", "0.000003"))

    assert report.as_dict()["awaiting_approval"] == [
        {"model": "a/x", "percent": None, "percents": {}},
        {"model": "a/auto", "percent": None, "percents": {}},
    ]
    assert (in_force("a/x", JULY), history("a/auto")) == (Decimal("0.000003"), [("variable", MAY, None, {})])
    approve_price_change(
        change=PriceChange.objects.get(model__model_id="a/x"), actor="kim", reason="a router now", now=NOW
    )
    assert history("a/x") == [("listed", MAY, NOW, usd("0.000003")), ("variable", NOW, None, {})]


def test_what_cannot_be_read_is_quarantined_at_once() -> None:
    sync(entry("a/x"))
    report = resync(entry("a/x", pricing=STRANGE))
    assert (report.price_changes, [row[1] for row in report.quarantined]) == (1, ["unknown_price_key"])
    assert changes() == [("a/x", "applied", None, {})]


def test_a_quarantine_is_no_way_around_the_approval() -> None:
    sync(entry("a/x", "0.000003"))
    resync(entry("a/x", pricing=STRANGE))

    report = resync(entry("a/x", "0.000030"), at=JULY)

    assert [(one.model_id, one.percent) for one in report.awaiting] == [("a/x", Decimal(900))]
    assert history("a/x")[-1] == ("quarantined", JUNE, None, {})
    approve_price_change(
        change=PriceChange.objects.get(status="awaiting_approval"), actor="kim", reason="asked them", now=NOW
    )
    assert history("a/x")[1:] == [("quarantined", JUNE, NOW, {}), ("listed", NOW, None, usd("0.000030"))]


def test_a_quarantined_model_that_never_had_a_price_gets_its_first() -> None:
    sync(entry("a/x", pricing=STRANGE))
    resync(entry("a/x", "9"))
    assert history("a/x")[-1] == ("listed", JUNE, None, usd("9"))


def test_the_same_waiting_price_is_reported_again_and_not_written_again() -> None:
    waiting_change()
    before = row_versions()

    report = resync(entry("a/x", "0.0000050"), at=JULY)

    assert not report.changed
    assert report.unchanged == 0
    assert report.as_dict()["awaiting_approval"] == [
        {"model": "a/x", "percent": "66.6667", "percents": {"prompt": "66.6667"}}
    ]
    assert row_versions() == before


def test_a_listing_that_goes_back_takes_the_change_with_it() -> None:
    change = waiting_change()
    report = resync(entry("a/x", "0.000003"), at=JULY)
    change.refresh_from_db()
    assert (report.changed, report.awaiting, change.status) == (True, (), "superseded")
    assert not resync(entry("a/x", "0.000003"), at=AUGUST).changed


def test_a_third_price_takes_the_place_of_the_waiting_one() -> None:
    waiting_change()

    resync(entry("a/x", "0.000006"), at=JULY)
    assert [row[1:3] for row in changes()] == [("superseded", "66.6667"), ("awaiting_approval", "100.0000")]

    resync(entry("a/x", "0.000004"), at=AUGUST)
    assert [row[1] for row in changes()] == ["superseded", "superseded", "applied"]
    assert history("a/x") == [("listed", MAY, AUGUST, usd("0.000003")), ("listed", AUGUST, None, usd("0.000004"))]


def test_a_waiting_price_read_inside_its_night_window_still_waits() -> None:
    def windowed(prompt: str) -> dict[str, Any]:
        return entry("a/x", pricing={**usd(prompt), "overrides": [NIGHT]})

    sync(entry("a/x", "0.000003"))
    resync(windowed("0.000006"), at=JUNE.replace(hour=12))
    before = row_versions()

    report = resync(windowed("0.000001"), at=JULY.replace(hour=20))

    assert [(one.model_id, one.percent) for one in report.awaiting] == [("a/x", Decimal(100))]
    assert (report.quarantined, row_versions()) == ((), before)


def test_approval_begins_now_and_never_before() -> None:
    change = approve_price_change(change=waiting_change(), actor="kim", reason="they told us", now=NOW)

    assert history("a/x") == [("listed", MAY, NOW, usd("0.000003")), ("listed", NOW, None, usd("0.000005"))]
    assert (change.status, change.decided_at, change.decided_by, change.reason) == (
        "applied",
        NOW,
        "kim",
        "they told us",
    )
    assert change.after == Price.objects.get(effective_to=None)
    assert (change.after.source, change.after.created_by) == ("test", "kim")
    assert in_force("a/x", NOW - timedelta(microseconds=1)) == Decimal("0.000003")
    audit = AuditEntry.objects.get(action="approve_price_change")
    assert (audit.actor, audit.reason, audit.data["before"], audit.data["after"]) == (
        "kim",
        "they told us",
        usd("0.000003"),
        usd("0.000005"),
    )
    later = NOW + timedelta(minutes=1)
    assert not sync(entry("a/x", "0.000005"), at=later, now=later, approval_percent=FIFTY).changed


def test_a_rejected_price_is_not_asked_for_again() -> None:
    change = reject_price_change(change=waiting_change(), actor="kim", reason="a typing error of theirs", now=NOW)

    assert (change.status, history("a/x")) == ("rejected", [("listed", MAY, None, usd("0.000003"))])
    assert AuditEntry.objects.get(action="reject_price_change").reason == "a typing error of theirs"
    before = row_versions()
    report = resync(entry("a/x", "0.000005"), at=JULY)
    assert (report.changed, report.unchanged, report.awaiting) == (False, 1, ())
    assert row_versions() == before
    # Another price is a new question.
    assert [one.percent for one in resync(entry("a/x", "0.000006"), at=AUGUST).awaiting] == [Decimal(100)]


def test_one_decision_with_a_reason() -> None:
    change = waiting_change()
    for decide in (approve_price_change, reject_price_change):
        for reason in (" ", "x" * 501):
            with pytest.raises(DomainError) as refusal:
                decide(change=change, actor="kim", reason=reason, now=NOW)
            assert (refusal.value.code, refusal.value.field) == ("invalid_input", "reason")
    approve_price_change(change=change, actor="kim", reason="yes", now=NOW)
    for decide in (approve_price_change, reject_price_change):
        with pytest.raises(DomainError) as refusal:
            decide(change=change, actor="kim", reason="again", now=NOW)
        assert refusal.value.code == "price_change_decided"


def test_a_comparison_with_a_price_that_is_gone_decides_nothing() -> None:
    change = waiting_change()
    Price.objects.filter(effective_to=None).update(effective_to=JULY)
    Price.objects.create(
        model=change.model, kind="listed", effective_from=JULY, components=usd("0.000009"), source="x", created_by="x"
    )
    with pytest.raises(DomainError) as refusal:
        approve_price_change(change=change, actor="kim", reason="yes", now=NOW)
    assert refusal.value.code == "price_change_outdated"


def test_a_model_waits_for_one_decision_at_a_time() -> None:
    change = waiting_change()
    change.pk = None
    with pytest.raises(IntegrityError, match="price_change_waits_once_per_model"), transaction.atomic():
        change.save(force_insert=True)


def test_past_listings_are_played_in_without_waiting() -> None:
    sync(entry("a/x", "0.000003"))
    report = sync(entry("a/x", "0.000030"), at=JUNE)
    assert (report.price_changes, report.awaiting) == (1, ())
    assert changes() == [("a/x", "applied", "900.0000", {"prompt": "900"})]
