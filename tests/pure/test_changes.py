"""How far two prices are apart: by what a unit costs, not by which keys are written down."""

from decimal import Decimal
from typing import Any

import pytest

from catalog.changes import component_changes, exceeds, overall_percent
from catalog.pricing import PriceSheet

BASE = {"prompt": "0.000003", "completion": "0.000015"}
TIER = {"min_prompt_tokens": 200_000, "prompt": "0.000006"}
NIGHT = {"utc_start": 1630, "utc_end": 30, "prompt": "0.0000015"}


def changes(
    before: dict[str, str], after: dict[str, str], *, old: Any = (), new: Any = ()
) -> dict[str, Decimal | None]:
    found = component_changes(PriceSheet.parse(before, old), PriceSheet.parse(after, new))
    return {change.key: change.percent for change in found}


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (BASE, {}),
        ({**BASE, "prompt": "0.0000030"}, {}),
        ({**BASE, "prompt": "0.0000045"}, {"prompt": Decimal(50)}),
        ({**BASE, "prompt": "0.000001"}, {"prompt": Decimal("-66.6667")}),
        ({**BASE, "prompt": "0"}, {"prompt": Decimal(-100)}),
        # Tokens read from the cache cost 3 so far, like any other, and 0.3 now.
        ({**BASE, "input_cache_read": "0.0000003"}, {"input_cache_read": Decimal(-90)}),
        ({**BASE, "input_cache_read": "0.000003"}, {}),
        ({**BASE, "internal_reasoning": "0"}, {}),
        ({**BASE, "internal_reasoning": "0.00003"}, {"internal_reasoning": Decimal(100)}),
        ({**BASE, "request": "0.01"}, {"request": None}),
        ({**BASE, "web_search": "0.01"}, {"web_search": None}),
        ({**BASE, "image_token": "0.01"}, {}),
    ],
)
def test_components(after: dict[str, str], expected: dict[str, Decimal | None]) -> None:
    assert changes(BASE, after) == expected


def test_a_tier_is_a_change_for_those_whom_it_meets() -> None:
    assert changes(BASE, BASE, new=[TIER]) == {"prompt": Decimal(100)}
    assert changes(BASE, BASE, old=[TIER]) == {"prompt": Decimal(-50)}
    assert changes(BASE, BASE, old=[TIER], new=[{**TIER, "min_prompt_tokens": 272_000}]) == {"prompt": Decimal(-50)}


def test_a_window_is_a_change_at_its_hours() -> None:
    assert changes(BASE, BASE, new=[NIGHT]) == {"prompt": Decimal(-50)}
    assert changes(BASE, {**BASE, "prompt": "0.0000033"}, new=[NIGHT]) == {"prompt": Decimal(-50)}


@pytest.mark.parametrize(
    ("after", "percent", "over"),
    [
        ("0.0000045", Decimal(50), False),
        ("0.0000045000000000000000000001", Decimal(50), True),
        ("0.0000015", Decimal(-50), False),
        ("0.0000014", Decimal("-53.3333"), True),
    ],
)
def test_over_means_more_than(after: str, percent: Decimal, over: bool) -> None:
    found = component_changes(PriceSheet.parse(BASE), PriceSheet.parse({**BASE, "prompt": after}))
    assert (overall_percent(found), exceeds(found, Decimal(50))) == (percent, over)


@pytest.mark.parametrize(
    ("before", "after", "percent"), [("0", "0.000001", None), ("0.000001", "0", Decimal(-100)), ("0", "0", None)]
)
def test_beginning_or_ceasing_to_be_free_is_beyond_every_percentage(
    before: str, after: str, percent: Decimal | None
) -> None:
    found = component_changes(PriceSheet.parse({**BASE, "prompt": before}), PriceSheet.parse({**BASE, "prompt": after}))
    assert (overall_percent(found), exceeds(found, Decimal(10**6))) == (percent, before != after)


def test_the_first_price_of_a_component_is_no_change_of_one() -> None:
    found = component_changes(PriceSheet.parse(BASE), PriceSheet.parse({**BASE, "web_search": "0.01"}))
    assert (overall_percent(found), exceeds(found, Decimal(0))) == (None, False)


def test_the_largest_counts_whichever_way_it_goes() -> None:
    found = component_changes(
        PriceSheet.parse(BASE), PriceSheet.parse({"prompt": "0.0000012", "completion": "0.000018"})
    )
    assert {change.key: change.percent for change in found} == {"prompt": Decimal(-60), "completion": Decimal(20)}
    assert overall_percent(found) == Decimal(-60)
