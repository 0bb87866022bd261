"""Prices of the past: filled in where nothing was known, never rewritten. The database holds it against raw SQL."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.utils import DatabaseError

from accounts.errors import InvalidInput
from catalog.errors import FutureListing, HistoryConflict
from catalog.models import Model, Price
from tests.catalog.listings import JULY, JUNE, MAY, NOW, counts, entry, history, row_versions, sync, usd

pytestmark = pytest.mark.django_db

MARCH = datetime(2026, 3, 3, tzinfo=UTC)
LATER_IN_MAY = datetime(2026, 5, 20, tzinfo=UTC)


def test_an_earlier_listing_fills_in_what_was_before() -> None:
    sync(entry("a/x", "0.000003"))

    report = sync(entry("a/x", "0.000009"), at=MARCH)

    assert counts(report) == {"listed": 1, "price_changes": 1}
    assert history("a/x") == [("listed", MARCH, MAY, usd("0.000009")), ("listed", MAY, None, usd("0.000003"))]


def test_an_earlier_listing_with_the_same_price_still_says_since_when() -> None:
    sync(entry("a/x", "0.000003"))
    sync(entry("a/x", "0.000003"), at=MARCH)

    assert history("a/x") == [("listed", MARCH, MAY, usd("0.000003")), ("listed", MAY, None, usd("0.000003"))]


def test_an_earlier_listing_says_nothing_of_what_is_on_sale_now() -> None:
    sync(entry("a/x", name="X today"), entry("a/y"))
    sync(entry("a/x", name="X today"), entry("a/z"), at=JUNE)

    report = sync(entry("a/x", name="X then"), entry("a/y"), entry("a/old"), at=MARCH)

    assert counts(report) == {"listed": 3, "created": 1, "price_changes": 2}
    states = {model.model_id: (model.name, model.status, model.retired_at) for model in Model.objects.all()}
    assert states == {
        "a/x": ("X today", "active", None),
        "a/y": ("a/y", "retired", JUNE),
        "a/z": ("a/z", "active", None),
        "a/old": ("a/old", "retired", MAY),  # the listing of May lacked it
    }
    assert history("a/old") == [("listed", MARCH, None, usd("0.000003"))]


def test_a_closed_price_that_a_late_listing_confirms_is_left_alone() -> None:
    sync(entry("a/x", "0.000003"))
    sync(entry("a/x", "0.000002"), at=JUNE)
    before = row_versions()

    assert not sync(entry("a/x", "0.000003"), at=LATER_IN_MAY).changed
    assert row_versions() == before


@pytest.mark.parametrize("at", [MAY, LATER_IN_MAY, JUNE])
def test_a_price_that_was_in_force_is_never_rewritten(at: datetime) -> None:
    sync(entry("a/x", "0.000003"), entry("a/y"))
    sync(entry("a/x", "0.000002"), entry("a/y"), at=JUNE)
    before = row_versions()

    with pytest.raises(HistoryConflict) as refusal:
        sync(entry("a/x", "0.000007"), entry("a/y"), entry("a/new"), at=at)

    assert refusal.value.as_dict()["code"] == "history_conflict"
    assert refusal.value.data == {"models": ["a/x"], "count": 1}
    assert row_versions() == before


def test_an_open_price_that_a_later_listing_left_alone_was_in_force_too() -> None:
    sync(entry("a/x", "0.000003"), entry("a/y"))
    sync(entry("a/x", "0.000003"), entry("a/y", "0.000004"), at=JUNE)
    before = row_versions()

    with pytest.raises(HistoryConflict) as refusal:
        sync(entry("a/x", "0.000001"), entry("a/y"), at=LATER_IN_MAY)

    assert refusal.value.data == {"models": ["a/x"], "count": 1}
    assert row_versions() == before


def test_a_price_whose_end_is_known_is_not_rewritten_either() -> None:
    sync(entry("a/x", "0.000003"))
    Price.objects.update(effective_to=JULY)

    with pytest.raises(HistoryConflict):
        sync(entry("a/x", "0.000002"), at=JUNE)

    assert history("a/x") == [("listed", MAY, JULY, usd("0.000003"))]


def test_a_conflict_names_ten_models_and_counts_all() -> None:
    sync(*(entry(f"a/{number:02}", "0.000003") for number in range(12)))

    with pytest.raises(HistoryConflict) as refusal:
        sync(*(entry(f"a/{number:02}", "0.000002") for number in range(12)))

    assert refusal.value.data == {"models": [f"a/{number:02}" for number in range(10)], "count": 12}
    assert "a/09 and 2 more" in refusal.value.message


def test_prices_follow_one_another_without_a_gap() -> None:
    sync(entry("a/x", "0.000003"))
    sync(entry("a/x", "0.000002"), at=JULY)

    sync(entry("a/x", "0.000001"), at=JULY + timedelta(days=1))

    assert [row[1:3] for row in history("a/x")] == [
        (MAY, JULY),
        (JULY, JULY + timedelta(days=1)),
        (JULY + timedelta(days=1), None),
    ]


def test_a_listing_cannot_be_of_the_future() -> None:
    with pytest.raises(FutureListing) as refusal:
        sync(entry("a/x"), at=NOW + timedelta(seconds=61))
    assert (refusal.value.code, refusal.value.field) == ("effective_in_future", "at")
    assert Model.objects.count() == 0

    sync(entry("a/x"), at=NOW + timedelta(seconds=60))
    assert history("a/x")[0][1] == NOW + timedelta(seconds=60)


def test_an_instant_has_a_time_zone() -> None:
    with pytest.raises(InvalidInput) as refusal:
        sync(entry("a/x"), at=datetime(2026, 5, 12))  # noqa: DTZ001 - that is the point
    assert refusal.value.field == "at"


def _execute(sql: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)


def test_the_database_keeps_intervals_of_a_model_apart() -> None:
    sync(entry("a/x"))

    insert = """
        INSERT INTO catalog_price (model_id, kind, effective_from, effective_to, components, overrides, listed_pricing,
                                   quarantine_code, quarantine_reason, source, created_at, created_by)
        SELECT model_id, kind, '{since}', {until}, components, overrides, listed_pricing, '', '', source, now(), 'raw'
        FROM catalog_price LIMIT 1"""
    for since, until in [
        ("2026-05-12T00:00Z", "NULL"),
        ("2026-06-01T00:00Z", "'2026-06-02T00:00Z'"),
        ("2026-05-01T00:00Z", "'2026-05-12T00:00:00.000001Z'"),
    ]:
        with pytest.raises(IntegrityError, match="price_intervals_of_a_model_never_overlap"):
            _execute(insert.format(since=since, until=until))
    _execute(insert.format(since="2026-05-01T00:00Z", until="'2026-05-12T00:00Z'"))
    assert Price.objects.count() == 2


@pytest.mark.parametrize(
    "change",
    [
        """components = '{"prompt": "0", "completion": "0"}'""",
        "effective_from = effective_from - interval '1 day'",
        "kind = 'variable', components = '{}'",
        "source = 'elsewhere'",
        "effective_to = '2026-06-01T00:00Z', source = 'elsewhere'",
    ],
)
def test_the_database_refuses_to_edit_a_price(change: str) -> None:
    sync(entry("a/x"))
    before = row_versions()

    with pytest.raises(DatabaseError, match="a price is history: UPDATE refused"):
        _execute(f"UPDATE catalog_price SET {change}")

    assert row_versions() == before


def test_the_database_ends_an_interval_once() -> None:
    sync(entry("a/x"))

    _execute("UPDATE catalog_price SET effective_to = '2026-06-01T00:00Z'")
    for again in ("NULL", "'2026-07-01T00:00Z'"):
        with pytest.raises(DatabaseError, match="a price is history: UPDATE refused"):
            _execute(f"UPDATE catalog_price SET effective_to = {again}")


@pytest.mark.parametrize("sql", ["DELETE FROM catalog_price", "TRUNCATE catalog_price CASCADE"])
def test_the_database_refuses_to_forget_a_price(sql: str) -> None:
    sync(entry("a/x"))

    with pytest.raises(DatabaseError):
        _execute(sql)

    assert Price.objects.count() == 1


@pytest.mark.parametrize("text", ["-1", "1e-6", "NaN", "", " 1", "0.00000000000000000000000000001"])
def test_the_database_takes_plain_decimals_only(text: str) -> None:
    sync(entry("a/x"))

    with pytest.raises(IntegrityError, match="price_components_are_plain_decimals"), transaction.atomic():
        Price.objects.create(
            model=Model.objects.get(),
            kind="listed",
            effective_from=MARCH,
            effective_to=MAY,
            components={"prompt": text},
            source="raw",
            created_by="raw",
        )
