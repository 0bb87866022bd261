"""What a response costs in USD, to the last digit."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.money import exact_sum
from catalog.pricing import PRICE_KEYS, Cost, PriceError, PriceSheet, Quantities
from tests.shared import shared_data

NOON = datetime(2026, 10, 15, 12, tzinfo=UTC)
CLAUDE = {
    "prompt": "0.000003",
    "completion": "0.000015",
    "input_cache_read": "0.0000003",
    "input_cache_write": "0.00000375",
    "input_cache_write_1h": "0.000006",
}
PLAIN = {"prompt": "0.000003", "completion": "0.000015"}


def cost_of(prices: Mapping[str, str], quantities: Quantities, *, overrides: Any = (), at: datetime = NOON) -> Cost:
    return PriceSheet.parse(prices, overrides).cost(quantities, at=at)


def rows(cost: Cost) -> list[tuple[str, int, str]]:
    return [(row.key, row.quantity, f"{row.amount_usd.normalize():f}") for row in cost.components]


def test_every_shared_vector() -> None:
    vectors = json.loads(shared_data("cost_vectors.json").read_text(encoding="utf-8"))["vectors"]
    assert len(vectors) == 11
    for vector in vectors:
        usage = vector["usage"]
        quantities = Quantities(
            prompt=usage["prompt"],
            completion=usage["out"],
            cache_read=usage["cr"],
            cache_write=usage["cw"],
            cache_write_1h=usage["cw1h"],
            web_searches=usage["web"],
        )
        cost = cost_of(vector["prices"], quantities, overrides=vector["overrides"])
        assert cost.total_usd == Decimal(vector["expected_usd"]), vector["name"]
        assert cost.unpriced == ()


def test_each_row_says_which_price_was_applied() -> None:
    cost = cost_of(CLAUDE, Quantities(prompt=627, completion=97, cache_write=123, cache_write_1h=23))
    assert cost.total_usd == Decimal("0.00348")
    assert rows(cost) == [
        ("prompt", 504, "0.001512"),
        ("input_cache_write", 100, "0.000375"),
        ("input_cache_write_1h", 23, "0.000138"),
        ("completion", 97, "0.001455"),
    ]
    assert cost.components[0].unit_price_usd == Decimal("0.000003")


def test_nothing_consumed_costs_nothing_and_has_no_rows() -> None:
    assert cost_of(CLAUDE, Quantities(requests=0)) == Cost(Decimal(0), (), ())


def test_a_free_model_costs_zero_and_shows_its_tokens() -> None:
    cost = cost_of({"prompt": "0", "completion": "0", "request": "0"}, Quantities(prompt=10, completion=5))
    assert rows(cost) == [("prompt", 10, "0"), ("completion", 5, "0")]
    assert cost.total_usd == 0


def test_a_price_of_23_decimals_is_kept_whole() -> None:
    prices = {"prompt": "0", "completion": "0", "input_cache_write": "0.00000008333333333333334"}
    cost = cost_of(prices, Quantities(prompt=999_999_999_999, cache_write=999_999_999_999))
    assert cost.total_usd == Decimal("83333.33333325000666666666666")


def test_the_context_of_the_caller_rounds_nothing() -> None:
    quantities = Quantities(prompt=123_456_789, completion=987_654_321, cache_read=23_456_789)
    with localcontext(Context(prec=2)):
        cost = cost_of(CLAUDE, quantities)
    assert cost.total_usd == Decimal("300") + Decimal("7.0370367") + Decimal("14814.814815")


def test_float_traps_do_not_exist_here() -> None:
    cost = cost_of({"prompt": "0.1", "completion": "0.2"}, Quantities(prompt=1, completion=1))
    assert cost.total_usd == Decimal("0.3")
    assert str(cost.total_usd) == "0.3"


@pytest.mark.parametrize(
    ("prices", "quantities", "expected"),
    [
        # a cache price that is missing is the prompt price, never free
        (PLAIN, Quantities(prompt=100, cache_read=40), [("prompt", 60, "0.00018"), ("prompt", 40, "0.00012")]),
        (
            PLAIN,
            Quantities(prompt=10, cache_write=10, cache_write_1h=4),
            [("prompt", 6, "0.000018"), ("prompt", 4, "0.000012")],
        ),
        # a 1-hour write without a price of its own is a write
        (
            PLAIN | {"input_cache_write": "0.00000375"},
            Quantities(prompt=10, cache_write=10, cache_write_1h=4),
            [("input_cache_write", 6, "0.0000225"), ("input_cache_write", 4, "0.000015")],
        ),
        # a cache price that is listed as 0 is 0
        (PLAIN | {"input_cache_read": "0"}, Quantities(prompt=10, cache_read=10), [("input_cache_read", 10, "0")]),
        (
            PLAIN | {"input_cache_write": "0.00000375", "input_cache_write_1h": "0"},
            Quantities(prompt=10, cache_write=10, cache_write_1h=10),
            [("input_cache_write_1h", 10, "0")],
        ),
    ],
)
def test_cache_prices(prices: dict[str, str], quantities: Quantities, expected: list[Any]) -> None:
    assert rows(cost_of(prices, quantities)) == expected


def test_reasoning_has_its_own_price_only_when_that_is_above_zero() -> None:
    quantities = Quantities(completion=100, reasoning=60)
    listed = cost_of(PLAIN | {"internal_reasoning": "0.000003"}, quantities)
    assert rows(listed) == [("completion", 40, "0.0006"), ("internal_reasoning", 60, "0.00018")]
    for prices in (PLAIN, PLAIN | {"internal_reasoning": "0"}):
        assert rows(cost_of(prices, quantities)) == [("completion", 100, "0.0015")]


def test_audio_and_images_replace_the_plain_price_of_their_tokens() -> None:
    prices = CLAUDE | {"audio": "0.00004", "audio_output": "0.00008", "image_output": "0.00003"}
    quantities = Quantities(prompt=100, audio_input=30, completion=50, audio_output=20, image_output=10)
    assert rows(cost_of(prices, quantities)) == [
        ("prompt", 70, "0.00021"),
        ("completion", 20, "0.0003"),
        ("audio", 30, "0.0012"),
        ("audio_output", 20, "0.0016"),
        ("image_output", 10, "0.0003"),
    ]
    unlisted = CLAUDE | {"audio": "0"}
    assert rows(cost_of(unlisted, quantities)) == [("prompt", 100, "0.0003"), ("completion", 50, "0.00075")]


def test_audio_never_overlaps_cached_tokens() -> None:
    prices = CLAUDE | {"audio": "0.00004"}
    quantities = Quantities(prompt=100, cache_read=60, cache_write=20, audio_input=50)
    assert rows(cost_of(prices, quantities)) == [
        ("input_cache_read", 60, "0.000018"),
        ("input_cache_write", 20, "0.000075"),
        ("audio", 20, "0.0008"),
    ]


def test_fees_by_request_image_and_search() -> None:
    prices = PLAIN | {"request": "0.005", "image": "0.001", "web_search": "0.01"}
    cost = cost_of(prices, Quantities(prompt=1, images=2, web_searches=3))
    assert rows(cost) == [
        ("prompt", 1, "0.000003"),
        ("request", 1, "0.005"),
        ("image", 2, "0.002"),
        ("web_search", 3, "0.03"),
    ]
    assert cost.total_usd == Decimal("0.037003")


def test_what_has_no_listed_price_is_named_and_not_taken_for_free() -> None:
    cost = cost_of(PLAIN, Quantities(prompt=1, images=1, web_searches=1))
    assert cost.total_usd == Decimal("0.000003")
    assert cost.unpriced == ("image", "web_search")
    assert cost_of(PLAIN | {"web_search": "0", "image": "0"}, Quantities(images=1, web_searches=1)).unpriced == ()


@pytest.mark.parametrize(
    ("quantities", "expected"),
    [
        (Quantities(prompt=10, cache_read=15), [("input_cache_read", 10, "0.000003")]),
        (
            Quantities(prompt=10, cache_read=8, cache_write=5, cache_write_1h=5),
            [("input_cache_read", 8, "0.0000024"), ("input_cache_write_1h", 2, "0.000012")],
        ),
        (
            Quantities(prompt=10, cache_write=4, cache_write_1h=9),
            [("prompt", 6, "0.000018"), ("input_cache_write_1h", 4, "0.000024")],
        ),
    ],
)
def test_contradictory_counts_never_cost_more_tokens_than_there_were(
    quantities: Quantities, expected: list[Any]
) -> None:
    assert rows(cost_of(CLAUDE, quantities)) == expected


TIERS = [
    {"min_prompt_tokens": 200_000, "prompt": "0.000006", "completion": "0.00003"},
    {"min_prompt_tokens": 272_000, "prompt": "0.000009"},
]


@pytest.mark.parametrize(
    ("prompt", "prompt_price", "completion_price"),
    [
        (200_000, "0.000003", "0.000015"),  # strictly greater
        (200_001, "0.000006", "0.00003"),
        (272_000, "0.000006", "0.00003"),
        (272_001, "0.000009", "0.00003"),  # the later entry wins by key, the earlier one keeps the other key
    ],
)
def test_long_context_tiers_apply_to_the_whole_request(prompt: int, prompt_price: str, completion_price: str) -> None:
    cost = cost_of(PLAIN, Quantities(prompt=prompt, completion=10), overrides=TIERS)
    assert [str(row.unit_price_usd) for row in cost.components] == [prompt_price, completion_price]
    assert cost.total_usd == Decimal(prompt_price) * prompt + Decimal(completion_price) * 10


def test_a_fallback_follows_the_overridden_prompt_price() -> None:
    cost = cost_of(PLAIN, Quantities(prompt=300_000, cache_read=300_000), overrides=TIERS)
    assert rows(cost) == [("prompt", 300_000, "2.7")]


def test_cached_tokens_count_towards_the_threshold() -> None:
    sheet = PriceSheet.parse(CLAUDE, TIERS)
    quantities = Quantities(prompt=200_001, cache_read=200_001)
    assert rows(sheet.cost(quantities, at=NOON)) == [("input_cache_read", 200_001, "0.0600003")]
    fresh = sheet.cost(Quantities(prompt=200_001, cache_read=200_000), at=NOON)
    assert rows(fresh)[0] == ("prompt", 1, "0.000006")


@pytest.mark.parametrize(
    ("start", "end", "inside", "outside"),
    [
        (100, 400, ["01:00:00", "03:59:59"], ["00:59:59", "04:00:00", "12:00:00"]),
        ("0100", "0400", ["01:00:00", "03:59:59"], ["00:59:59", "04:00:00"]),
        (1630, 30, ["16:30:00", "23:59:59", "00:00:00", "00:29:59"], ["16:29:59", "00:30:00", "12:00:00"]),
        ("1630", "0030", ["16:30:00", "00:29:59"], ["16:29:59", "00:30:00"]),
        (1800, 0, ["18:00:00", "23:59:59"], ["00:00:00", "17:59:59"]),
        (1800, 2400, ["18:00:00", "23:59:59"], ["00:00:00", "17:59:59"]),
        (0, 2400, ["00:00:00", "12:00:00", "23:59:59"], []),
    ],
)
def test_windows_are_half_open_utc_and_may_wrap_midnight(
    start: Any, end: Any, inside: list[str], outside: list[str]
) -> None:
    sheet = PriceSheet.parse(PLAIN, [{"utc_start": start, "utc_end": end, "prompt": "0.000001"}])
    for clock, price in [(clock, "0.000001") for clock in inside] + [(clock, "0.000003") for clock in outside]:
        at = datetime.fromisoformat(f"2026-10-15T{clock}.999999+00:00")
        assert str(sheet.cost(Quantities(prompt=1), at=at).components[0].unit_price_usd) == price, clock
        in_seoul = at.astimezone(ZoneInfo("Asia/Seoul"))
        assert sheet.cost(Quantities(prompt=1), at=in_seoul) == sheet.cost(Quantities(prompt=1), at=at)


def test_all_conditions_of_an_entry_must_hold() -> None:
    overrides = [{"min_prompt_tokens": 100, "utc_start": 100, "utc_end": 400, "prompt": "0.000001"}]
    sheet = PriceSheet.parse(PLAIN, overrides)
    night, day = NOON.replace(hour=2), NOON
    unit_prices = [
        str(sheet.cost(Quantities(prompt=prompt), at=at).components[0].unit_price_usd)
        for prompt, at in [(101, night), (100, night), (101, day), (100, day)]
    ]
    assert unit_prices == ["0.000001", "0.000003", "0.000003", "0.000003"]


def test_an_instant_without_time_zone_is_in_no_window() -> None:
    sheet = PriceSheet.parse(PLAIN, [{"utc_start": 100, "utc_end": 400, "prompt": "0.000001"}])
    with pytest.raises(ValueError, match="no time zone"):
        sheet.cost(Quantities(prompt=1), at=datetime(2026, 10, 15))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("prices", "code", "key"),
    [
        ({"prompt": "0.1"}, "invalid_price", "completion"),
        ({}, "invalid_price", "prompt"),
        (PLAIN | {"prompt_v2": "1"}, "unknown_price_key", "prompt_v2"),
        (PLAIN | {"Prompt": "1"}, "unknown_price_key", "Prompt"),
        (PLAIN | {"discount": "0.5"}, "unknown_price_key", "discount"),
        (PLAIN | {"discount": "half"}, "invalid_price", "discount"),
        *[
            (PLAIN | {"prompt": text}, "invalid_price", "prompt")
            for text in ("-1", "-0.1", "NaN", "Infinity", "1e-6", "", " 1", "１", "1_0", "free", "1,5", "0." + "1" * 29)
        ],
        (PLAIN | {"web_search": None}, "invalid_price", "web_search"),
        (PLAIN | {"web_search": 0.01}, "invalid_price", "web_search"),
    ],
)
def test_prices_that_are_no_prices_are_refused(prices: dict[str, str], code: str, key: str) -> None:
    with pytest.raises(PriceError) as refused:
        PriceSheet.parse(prices)
    assert (refused.value.code, refused.value.key) == (code, key)
    assert key in str(refused.value)


def test_every_known_key_is_taken_and_a_discount_of_zero_is_none() -> None:
    prices = dict.fromkeys(PRICE_KEYS, "0.000001") | {"discount": "0"}
    assert len(prices) == 15
    cost = cost_of(prices, Quantities(prompt=1, completion=1, requests=0))
    assert cost.total_usd == Decimal("0.000002")


@pytest.mark.parametrize(
    ("override", "code", "key"),
    [
        ({"min_prompt_tokens": 1, "utc_days": ["mon"], "prompt": "1"}, "unknown_condition", "utc_days"),
        ({"max_prompt_tokens": 1, "prompt": "1"}, "unknown_condition", "max_prompt_tokens"),
        ({"prompt": "1"}, "unknown_condition", "overrides"),
        ({}, "unknown_condition", "overrides"),
        ({"min_prompt_tokens": -1, "prompt": "1"}, "unknown_condition", "min_prompt_tokens"),
        ({"min_prompt_tokens": True, "prompt": "1"}, "unknown_condition", "min_prompt_tokens"),
        ({"min_prompt_tokens": 1.5, "prompt": "1"}, "unknown_condition", "min_prompt_tokens"),
        ({"min_prompt_tokens": "2e5", "prompt": "1"}, "unknown_condition", "min_prompt_tokens"),
        ({"min_prompt_tokens": Decimal("NaN"), "prompt": "1"}, "unknown_condition", "min_prompt_tokens"),
        ({"min_prompt_tokens": 10**13, "prompt": "1"}, "unknown_condition", "min_prompt_tokens"),
        ({"utc_start": 100, "prompt": "1"}, "unknown_condition", "utc_end"),
        ({"utc_end": 100, "prompt": "1"}, "unknown_condition", "utc_start"),
        ({"utc_start": 100, "utc_end": 100, "prompt": "1"}, "unknown_condition", "utc_end"),
        ({"utc_start": 160, "utc_end": 200, "prompt": "1"}, "unknown_condition", "utc_start"),
        ({"utc_start": 2400, "utc_end": 200, "prompt": "1"}, "unknown_condition", "utc_start"),
        ({"utc_start": 100, "utc_end": 2401, "prompt": "1"}, "unknown_condition", "utc_end"),
        ({"utc_start": "01:00", "utc_end": "04:00", "prompt": "1"}, "unknown_condition", "utc_start"),
        ({"min_prompt_tokens": 1, "prompt": "-1"}, "invalid_price", "prompt"),
        ({"min_prompt_tokens": 1, "discount": "0.5"}, "unknown_price_key", "discount"),
    ],
)
def test_overrides_that_are_not_understood_are_refused(override: dict[str, Any], code: str, key: str) -> None:
    with pytest.raises(PriceError) as refused:
        PriceSheet.parse(PLAIN, [{"min_prompt_tokens": 1, "prompt": "0.1"}, override])
    assert (refused.value.code, refused.value.key) == (code, key)
    assert "overrides[1]" in str(refused.value)


@pytest.mark.parametrize(
    ("top_level", "windows", "hour", "hidden"),
    [
        # the window of the hour is what the top level shows: the price outside it is unknown
        ("0.000001", [(100, 400, "0.000001")], 2, ("prompt",)),
        ("0.000001", [(100, 400, "0.0000010")], 2, ("prompt",)),
        # outside the window, or with another price on top, the top level is the base price
        ("0.000001", [(100, 400, "0.000001")], 12, ()),
        ("0.000003", [(100, 400, "0.000001")], 2, ()),
        # windows that cover the day make the top level irrelevant
        ("0.000001", [(1630, 30, "0.000001"), (30, 1630, "0.000003")], 20, ()),
        ("0.000001", [(1630, 30, "0.000001"), (30, 1629, "0.000003")], 20, ("prompt",)),
        # of two windows at the same hour the later one counts
        ("0.000001", [(0, 1200, "0.000001"), (100, 400, "0.000002")], 2, ()),
        ("0.000002", [(0, 1200, "0.000001"), (100, 400, "0.000002")], 2, ("prompt",)),
    ],
)
def test_a_base_price_hidden_by_the_window_of_the_hour(
    top_level: str, windows: list[tuple[int, int, str]], hour: int, hidden: tuple[str, ...]
) -> None:
    overrides = [{"utc_start": start, "utc_end": end, "prompt": price} for start, end, price in windows]
    sheet = PriceSheet.parse({"prompt": top_level, "completion": "0"}, overrides)
    assert sheet.hidden_base_keys(NOON.replace(hour=hour)) == hidden


def test_one_key_that_differs_shows_that_the_top_level_is_the_base() -> None:
    window = {"utc_start": 100, "utc_end": 400, "prompt": "0.000003", "completion": "0.00001"}
    assert PriceSheet.parse(PLAIN, [window]).hidden_base_keys(NOON.replace(hour=2)) == ()


def test_a_tier_with_a_window_hides_nothing() -> None:
    tier = {"utc_start": 100, "utc_end": 400, "min_prompt_tokens": 1, "prompt": "0.000003"}
    assert PriceSheet.parse(PLAIN, [tier]).hidden_base_keys(NOON.replace(hour=2)) == ()


QUANTITIES = Quantities.__struct_fields__
counts = st.integers(min_value=0, max_value=10**12)
prices = st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,28})?", fullmatch=True)
price_objects = st.fixed_dictionaries(
    {"prompt": prices, "completion": prices},
    optional=dict.fromkeys(sorted(PRICE_KEYS - {"prompt", "completion", "discount"}), prices),
)
all_quantities = st.builds(Quantities, **dict.fromkeys(QUANTITIES, counts))
tiers = st.fixed_dictionaries({"min_prompt_tokens": counts, "prompt": prices}, optional={"completion": prices})
windows = st.fixed_dictionaries({"utc_start": st.just(2200), "utc_end": st.just(400), "completion": prices})
override_lists = st.lists(tiers | windows, max_size=3)


@given(price_objects, override_lists, all_quantities, st.integers(min_value=0, max_value=1439))
def test_every_token_is_priced_once_and_exactly(
    price_object: dict[str, str], overrides: list[dict[str, Any]], quantities: Quantities, minute: int
) -> None:
    at = NOON.replace(hour=0) + timedelta(minutes=minute)
    cost = cost_of(price_object, quantities, overrides=overrides, at=at)
    fees = {"request": quantities.requests, "image": quantities.images, "web_search": quantities.web_searches}
    tokens = sum(row.quantity for row in cost.components if row.key not in fees)
    assert tokens == quantities.prompt + quantities.completion
    for row in cost.components:
        assert row.quantity > 0
        assert Fraction(row.amount_usd) == Fraction(row.unit_price_usd) * row.quantity
        assert row.key not in fees or row.quantity == fees[row.key]
    assert cost.total_usd == exact_sum(row.amount_usd for row in cost.components) >= 0


plain_objects = st.fixed_dictionaries(
    {"prompt": prices, "completion": prices},
    optional=dict.fromkeys(["input_cache_read", "input_cache_write", "input_cache_write_1h"], prices),
)
fitting = st.builds(
    lambda fresh, read, write, one_hour, completion: Quantities(
        prompt=fresh + read + write + one_hour,
        completion=completion,
        cache_read=read,
        cache_write=write + one_hour,
        cache_write_1h=one_hour,
    ),
    *[counts] * 5,
)


@given(price_objects | plain_objects, override_lists, all_quantities | fitting)
def test_the_total_alone_is_the_total_of_the_rows(
    price_object: dict[str, str], overrides: list[dict[str, Any]], quantities: Quantities
) -> None:
    sheet = PriceSheet.parse(price_object, overrides)
    cost = sheet.cost(quantities, at=NOON)
    assert sheet.total_usd(quantities, at=NOON) == (None if cost.unpriced else cost.total_usd)


@given(all_quantities)
def test_without_special_prices_the_cost_is_the_dot_product(quantities: Quantities) -> None:
    cache_read = min(quantities.cache_read, quantities.prompt)
    cache_write = min(quantities.cache_write, quantities.prompt - cache_read)
    one_hour = min(quantities.cache_write_1h, cache_write)
    expected = (
        (quantities.prompt - cache_read - cache_write) * Fraction("0.000003")
        + cache_read * Fraction("0.0000003")
        + (cache_write - one_hour) * Fraction("0.00000375")
        + one_hour * Fraction("0.000006")
        + quantities.completion * Fraction("0.000015")
    )
    assert Fraction(cost_of(CLAUDE, quantities).total_usd) == expected
