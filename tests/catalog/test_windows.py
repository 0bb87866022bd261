"""Time-of-day prices: a listing shows the window of its hour as if it were the price; that is no price change."""

from datetime import UTC, datetime
from typing import Any

import pytest

from catalog.models import Price
from catalog.pricing import Quantities
from catalog.selectors import load_catalog
from tests.catalog.listings import counts, entry, row_versions, sync

pytestmark = pytest.mark.django_db

AT_NOON = datetime(2026, 5, 12, 12, tzinfo=UTC)
AT_NIGHT = datetime(2026, 5, 13, 20, tzinfo=UTC)
NEXT_NOON = datetime(2026, 5, 14, 12, tzinfo=UTC)

NIGHT = {"utc_start": 1630, "utc_end": 30, "prompt": "0.000001"}
DAY = {"utc_start": 30, "utc_end": 1630, "prompt": "0.000002"}


def model(prompt: str, *overrides: dict[str, Any], **prices: str) -> dict[str, Any]:
    return entry("a/x", pricing={"prompt": prompt, "completion": "0.000008", **prices, "overrides": list(overrides)})


def test_windows_that_cover_the_day_hide_nothing() -> None:
    sync(model("0.000002", NIGHT, DAY), at=AT_NOON)
    before = row_versions()

    report = sync(model("0.000001", NIGHT, DAY), at=AT_NIGHT)

    assert counts(report) == {"listed": 1, "unchanged": 1}
    assert row_versions() == before


def test_a_window_that_moves_is_a_change() -> None:
    sync(model("0.000002", NIGHT, DAY), at=AT_NOON)

    later = [{**NIGHT, "utc_end": 100}, {**DAY, "utc_start": 100}]
    assert sync(model("0.000001", *later), at=AT_NIGHT).price_changes == 1


def test_a_price_outside_the_windows_that_moves_is_a_change() -> None:
    sync(model("0.000002", NIGHT, DAY, input_cache_read="0.0000005"), at=AT_NOON)

    assert sync(model("0.000001", NIGHT, DAY, input_cache_read="0.0000004"), at=AT_NIGHT).price_changes == 1


def test_the_same_windows_in_another_order_or_spelling_are_no_change() -> None:
    sync(model("0.000002", NIGHT, DAY), at=AT_NOON)

    spelled = {"utc_start": "1630", "utc_end": "0030", "prompt": "0.0000010"}
    assert not sync(model("0.000002", DAY, spelled), at=NEXT_NOON).changed


def test_a_first_reading_inside_a_window_does_not_know_the_price_outside() -> None:
    report = sync(model("0.000001", NIGHT), at=AT_NIGHT)

    [(model_id, code, reason)] = report.quarantined
    assert (model_id, code) == ("a/x", "hidden_base_price")
    assert "prompt" in reason
    assert Price.objects.get().kind == "quarantined"


def test_a_reading_inside_a_window_keeps_the_price_outside_that_is_known() -> None:
    sync(model("0.000003", NIGHT), at=AT_NOON)
    before = row_versions()

    report = sync(model("0.000001", NIGHT), at=AT_NIGHT)

    assert counts(report) == {"listed": 1, "unchanged": 1}
    assert report.quarantined == ()
    assert row_versions() == before
    priced = load_catalog().lookup("a/x", at=AT_NIGHT)
    assert priced is not None
    assert priced.sheet is not None
    assert str(priced.sheet.cost(Quantities(prompt=1), at=AT_NIGHT).total_usd) == "0.000001"
    assert str(priced.sheet.cost(Quantities(prompt=1), at=NEXT_NOON).total_usd) == "0.000003"


def test_a_reading_inside_a_window_that_changed_is_not_guessed() -> None:
    sync(model("0.000003", NIGHT), at=AT_NOON)

    report = sync(model("0.0000009", {**NIGHT, "prompt": "0.0000009"}), at=AT_NIGHT)

    assert [code for _, code, _ in report.quarantined] == ["hidden_base_price"]
    assert list(Price.objects.order_by("effective_from").values_list("kind", "effective_to")) == [
        ("listed", AT_NIGHT),
        ("quarantined", None),
    ]


def test_a_visible_price_that_moves_beside_a_hidden_one_is_not_guessed() -> None:
    sync(model("0.000003", NIGHT, input_cache_read="0.0000005"), at=AT_NOON)

    report = sync(model("0.000001", NIGHT, input_cache_read="0.0000004"), at=AT_NIGHT)

    assert [code for _, code, _ in report.quarantined] == ["hidden_base_price"]


def test_a_reading_outside_the_window_ends_the_doubt() -> None:
    sync(model("0.000001", NIGHT), at=AT_NIGHT)

    sync(model("0.000003", NIGHT), at=NEXT_NOON)

    assert Price.objects.get(effective_to=None).components["prompt"] == "0.000003"


def test_a_threshold_that_moves_is_a_change() -> None:
    sync(model("0.000003", {"min_prompt_tokens": 200_000, "prompt": "0.000006"}), at=AT_NOON)

    same = model("0.000003", {"min_prompt_tokens": "200000", "prompt": "0.0000060"})
    assert not sync(same, at=AT_NIGHT).changed
    moved = model("0.000003", {"min_prompt_tokens": 200_001, "prompt": "0.000006"})
    assert sync(moved, at=AT_NIGHT).price_changes == 1
