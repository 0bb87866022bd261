"""Reading usage objects: inclusions, contradictions, refusals."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.pricing import Quantities
from usage.dialects import DIALECTS, Flag, Reading, UsageRefused, read_usage


def quantities_of(dialect: str, usage: dict[str, Any]) -> Quantities:
    """The quantities of a body in which nothing is odd."""
    reading = read_usage(dialect, usage)
    assert reading.flags == ()
    return reading.quantities


def refusal_of(dialect: str, usage: Any) -> tuple[str, str]:
    with pytest.raises(UsageRefused) as refused:
        read_usage(dialect, usage)
    assert str(refused.value) == f"{refused.value.field}: {refused.value.reason}"
    return refused.value.field, refused.value.reason


def chat(prompt: int, completion: int, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion, **more}


def test_openai_chat() -> None:
    usage = chat(
        2006,
        300,
        prompt_tokens_details={"cached_tokens": 1920, "cache_write_tokens": 16, "audio_tokens": 30},
        completion_tokens_details={
            "reasoning_tokens": 64,
            "audio_tokens": 5,
            "accepted_prediction_tokens": 3,
            "rejected_prediction_tokens": 4,
        },
    )
    assert quantities_of("openai_chat", usage) == Quantities(
        prompt=2006,
        completion=300,
        cache_read=1920,
        cache_write=16,
        audio_input=30,
        reasoning=64,
        audio_output=5,
    )


def test_openai_responses() -> None:
    usage = {
        "input_tokens": 120,
        "input_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 8},
        "output_tokens": 40,
        "output_tokens_details": {"reasoning_tokens": 16},
        "total_tokens": 160,
    }
    expected = Quantities(prompt=120, completion=40, cache_read=64, cache_write=8, reasoning=16)
    assert quantities_of("openai_responses", usage) == expected
    assert quantities_of("openrouter", usage) == expected


def test_anthropic_counts_its_cache_outside_the_input() -> None:
    usage = {
        "input_tokens": 504,
        "cache_creation_input_tokens": 123,
        "cache_read_input_tokens": 1000,
        "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 23},
        "output_tokens": 97,
        "output_tokens_details": {"thinking_tokens": 33},
        "service_tier": "standard",
        "inference_geo": "not_available",
        "server_tool_use": {"web_search_requests": 1, "web_fetch_requests": 7},
        "iterations": None,
    }
    expected = Quantities(
        prompt=1627,
        completion=97,
        cache_read=1000,
        cache_write=123,
        cache_write_1h=23,
        reasoning=33,
        web_searches=1,
    )
    assert quantities_of("anthropic_messages", usage) == expected
    assert quantities_of("openrouter", usage) == expected  # its messages route answers in this shape


@pytest.mark.parametrize(
    ("cache", "cache_write", "one_hour", "flags"),
    [
        ({"cache_creation_input_tokens": 10}, 10, 0, ()),
        ({"cache_creation_input_tokens": 10, "cache_creation": None}, 10, 0, ()),
        ({"cache_creation_input_tokens": None, "cache_creation": None, "cache_read_input_tokens": None}, 0, 0, ()),
        ({"cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 6}}, 10, 6, ()),
        (
            {"cache_creation_input_tokens": 10, "cache_creation": {"ephemeral_1h_input_tokens": 4}},
            10,
            4,
            (Flag.CACHE_WRITE_SPLIT_MISMATCH,),
        ),
        (
            {"cache_creation_input_tokens": 10, "cache_creation": {"ephemeral_1h_input_tokens": 14}},
            10,
            10,
            (Flag.CACHE_WRITE_SPLIT_MISMATCH, Flag.CACHE_WRITE_1H_EXCEEDS_CACHE_WRITE),
        ),
    ],
)
def test_anthropic_cache_writes(cache: dict[str, Any], cache_write: int, one_hour: int, flags: tuple[str, ...]) -> None:
    reading = read_usage("anthropic_messages", {"input_tokens": 5, "output_tokens": 1, **cache})
    expected = Quantities(prompt=5 + cache_write, completion=1, cache_write=cache_write, cache_write_1h=one_hour)
    assert reading.quantities == expected
    assert reading.flags == flags


def iteration(kind: str, fresh: int, output: int, **more: Any) -> dict[str, Any]:
    counts = {"cache_creation": None, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    return {"type": kind, "input_tokens": fresh, "output_tokens": output, **counts, **more}


def test_compaction_is_billed_beside_the_answer() -> None:
    iterations = [
        iteration("compaction", 180_000, 3_500, cache_read_input_tokens=9),
        iteration("message", 23_000, 1_000),
    ]
    reading = read_usage(
        "anthropic_messages", {"input_tokens": 23_000, "output_tokens": 1_000, "iterations": iterations}
    )
    assert reading.quantities == Quantities(prompt=203_009, completion=4_500, cache_read=9)
    assert reading.flags == (Flag.COMPACTION_ADDED,)


def test_compaction_that_the_top_level_holds_already_is_not_added_again() -> None:
    iterations = [iteration("compaction", 180_000, 3_500), iteration("message", 23_000, 1_000)]
    usage = {"input_tokens": 203_000, "output_tokens": 4_500, "iterations": iterations}
    assert quantities_of("anthropic_messages", usage) == Quantities(prompt=203_000, completion=4_500)


@pytest.mark.parametrize(
    ("iterations", "flags"),
    [
        ([], ()),
        ([iteration("message", 100, 50)], ()),
        ([iteration("message", 60, 30, model="a"), iteration("message", 40, 20, model="a")], ()),
        (
            [iteration("message", 60, 30, model="a"), iteration("message", 40, 20, model="b")],
            (Flag.ITERATIONS_OF_ANOTHER_MODEL,),
        ),
        (
            [iteration("message", 100, 50), iteration("advisor_message", 823, 1612, model="opus")],
            (Flag.ITERATIONS_OF_ANOTHER_MODEL,),
        ),
        ([iteration("message", 100, 50), {"type": "something_new"}], (Flag.ITERATIONS_OF_ANOTHER_MODEL,)),
        ([iteration("message", 1, 1)], (Flag.ITERATIONS_MISMATCH,)),
    ],
)
def test_other_iterations_are_only_flagged(iterations: list[Any], flags: tuple[str, ...]) -> None:
    reading = read_usage("anthropic_messages", {"input_tokens": 100, "output_tokens": 50, "iterations": iterations})
    assert reading.quantities == Quantities(prompt=100, completion=50)
    assert reading.flags == flags


def test_gemini_counts_thoughts_and_tool_use_outside() -> None:
    usage = {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 40,
        "candidatesTokenCount": 20,
        "thoughtsTokenCount": 30,
        "toolUsePromptTokenCount": 5,
        "totalTokenCount": 155,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 70}, {"modality": "AUDIO", "tokenCount": 30}],
        "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 10}, {"modality": "TEXT", "tokenCount": 30}],
        "toolUsePromptTokensDetails": [{"modality": "AUDIO", "tokenCount": 2}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 8}, {"modality": "AUDIO", "tokenCount": 3}],
        "trafficType": "ON_DEMAND",
        "serviceTier": "standard",
    }
    expected = Quantities(
        prompt=105,
        completion=50,
        cache_read=40,
        reasoning=30,
        audio_input=22,
        audio_output=3,
        image_output=8,
    )
    assert quantities_of("gemini", usage) == expected


def test_gemini_in_snake_case_reads_alike() -> None:
    usage = {
        "prompt_token_count": 100,
        "cached_content_token_count": 40,
        "candidates_token_count": 20,
        "thoughts_token_count": None,
        "tool_use_prompt_token_count": None,
        "total_token_count": 120,
        "prompt_tokens_details": [{"modality": "AUDIO", "token_count": 30}],
        "cache_tokens_details": None,
        "candidates_tokens_details": [{"modality": "IMAGE", "token_count": 8}],
        "traffic_type": "ON_DEMAND",
    }
    expected = Quantities(prompt=100, completion=20, cache_read=40, audio_input=30, image_output=8)
    assert quantities_of("gemini", usage) == expected


@pytest.mark.parametrize(
    ("usage", "expected", "flags"),
    [
        # zero counts are left out
        ({"promptTokenCount": 7}, Quantities(prompt=7), ()),
        ({"promptTokenCount": 7, "totalTokenCount": 7}, Quantities(prompt=7), ()),
        (
            {"promptTokenCount": 7, "thoughtsTokenCount": 3, "totalTokenCount": 10},
            Quantities(prompt=7, completion=3, reasoning=3),
            (),
        ),
        (
            {"promptTokenCount": 7, "responseTokenCount": 3, "totalTokenCount": 10},
            Quantities(prompt=7, completion=3),
            (),
        ),
        # the total says where the part was counted
        (
            {"promptTokenCount": 10, "toolUsePromptTokenCount": 4, "candidatesTokenCount": 5, "totalTokenCount": 15},
            Quantities(prompt=10, completion=5),
            (Flag.TOOL_USE_INSIDE_PROMPT,),
        ),
        (
            {"promptTokenCount": 10, "thoughtsTokenCount": 4, "candidatesTokenCount": 5, "totalTokenCount": 15},
            Quantities(prompt=10, completion=5, reasoning=4),
            (Flag.THOUGHTS_INSIDE_CANDIDATES,),
        ),
        (
            {"promptTokenCount": 10, "thoughtsTokenCount": 6, "candidatesTokenCount": 5, "totalTokenCount": 15},
            Quantities(prompt=10, completion=11, reasoning=6),
            (Flag.TOTAL_MISMATCH,),
        ),
        (
            {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 99},
            Quantities(prompt=10, completion=5),
            (Flag.TOTAL_MISMATCH,),
        ),
    ],
)
def test_gemini_against_its_total(usage: dict[str, Any], expected: Quantities, flags: tuple[str, ...]) -> None:
    reading = read_usage("gemini", usage)
    assert reading.quantities == expected
    assert reading.flags == flags


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        # embeddings: the total proves that there was no output
        ({"prompt_tokens": 8, "total_tokens": 8}, Quantities(prompt=8)),
        ({"prompt_tokens": 8, "completion_tokens": None, "total_tokens": 8}, Quantities(prompt=8)),
        (chat(8, 0), Quantities(prompt=8)),
        # details may be absent, null or empty
        (chat(8, 2, prompt_tokens_details=None, completion_tokens_details=None), Quantities(prompt=8, completion=2)),
        (chat(8, 2, prompt_tokens_details={}, completion_tokens_details={}), Quantities(prompt=8, completion=2)),
        (chat(8, 2, prompt_tokens_details={"cached_tokens": None}), Quantities(prompt=8, completion=2)),
        ({"prompt_tokens": 8, "completion_tokens": 2}, Quantities(prompt=8, completion=2)),
        # other spellings of the cached count
        (
            chat(8, 2, prompt_cache_hit_tokens=5, prompt_cache_miss_tokens=3),
            Quantities(prompt=8, completion=2, cache_read=5),
        ),
        (chat(8, 2, cached_tokens=5), Quantities(prompt=8, completion=2, cache_read=5)),
        (chat(8, 2, num_cached_tokens=5), Quantities(prompt=8, completion=2, cache_read=5)),
        (
            chat(8, 2, prompt_tokens_details={"cached_tokens": 5}, cached_tokens=5),
            Quantities(prompt=8, completion=2, cache_read=5),
        ),
        # cached audio is billed as cached
        (
            chat(
                50,
                2,
                prompt_tokens_details={
                    "cached_tokens": 20,
                    "audio_tokens": 30,
                    "cached_tokens_details": {"audio_tokens": 20},
                },
            ),
            Quantities(prompt=50, completion=2, cache_read=20, audio_input=10),
        ),
        (
            chat(50, 2, prompt_tokens_details={"cached_tokens": 40, "audio_tokens": 30}),
            Quantities(prompt=50, completion=2, cache_read=40, audio_input=10),
        ),
        (
            chat(8, 6, completion_tokens_details={"image_tokens": 5}),
            Quantities(prompt=8, completion=6, image_output=5),
        ),
        (
            chat(
                9, 1, prompt_tokens_details={"cache_write_tokens": 9}, cache_creation={"ephemeral_1h_input_tokens": 4}
            ),
            Quantities(prompt=9, completion=1, cache_write=9, cache_write_1h=4),
        ),
    ],
)
def test_chat_as_its_imitators_write_it(usage: dict[str, Any], expected: Quantities) -> None:
    assert quantities_of("openai_chat", usage) == expected
    assert quantities_of("openrouter", usage) == expected


def test_transcription_and_images_say_input_and_output_too() -> None:
    transcription = {
        "type": "tokens",
        "input_tokens": 14,
        "input_token_details": {"text_tokens": 10, "audio_tokens": 4},
        "output_tokens": 101,
        "total_tokens": 115,
    }
    assert quantities_of("openai_responses", transcription) == Quantities(prompt=14, completion=101, audio_input=4)
    image = {
        "input_tokens": 50,
        "input_tokens_details": {"image_tokens": 40, "text_tokens": 10},
        "output_tokens": 4160,
        "output_tokens_details": {"image_tokens": 4160},
        "total_tokens": 4210,
    }
    assert quantities_of("openai_responses", image) == Quantities(prompt=50, completion=4160, image_output=4160)


@pytest.mark.parametrize(
    ("usage", "expected", "flag"),
    [
        (chat(10, 5, prompt_tokens_details={"cached_tokens": 15}), {"cache_read": 10}, Flag.CACHE_READ_EXCEEDS_PROMPT),
        (
            chat(10, 5, prompt_tokens_details={"cached_tokens": 8, "cache_write_tokens": 6}),
            {"cache_read": 8, "cache_write": 2},
            Flag.CACHE_WRITE_EXCEEDS_PROMPT,
        ),
        (
            chat(
                10, 5, prompt_tokens_details={"cache_write_tokens": 6}, cache_creation={"ephemeral_1h_input_tokens": 7}
            ),
            {"cache_write": 6, "cache_write_1h": 6},
            Flag.CACHE_WRITE_1H_EXCEEDS_CACHE_WRITE,
        ),
        (
            chat(10, 5, completion_tokens_details={"reasoning_tokens": 8}),
            {"reasoning": 5},
            Flag.REASONING_EXCEEDS_COMPLETION,
        ),
        (chat(10, 5, prompt_tokens_details={"audio_tokens": 11}), {"audio_input": 10}, Flag.AUDIO_INPUT_EXCEEDS_PROMPT),
        (
            chat(10, 5, completion_tokens_details={"reasoning_tokens": 3, "audio_tokens": 3}),
            {"reasoning": 3, "audio_output": 2},
            Flag.AUDIO_OUTPUT_EXCEEDS_COMPLETION,
        ),
        (
            chat(10, 5, completion_tokens_details={"audio_tokens": 3, "image_tokens": 3}),
            {"audio_output": 3, "image_output": 2},
            Flag.IMAGE_OUTPUT_EXCEEDS_COMPLETION,
        ),
        (
            chat(10, 5, prompt_tokens_details={"cached_tokens": 3}, prompt_cache_hit_tokens=4),
            {"cache_read": 3},
            Flag.CACHE_READ_DISAGREES,
        ),
        (chat(10, 5) | {"total_tokens": 16}, {}, Flag.TOTAL_MISMATCH),
        (chat(10, 5) | {"total_tokens": 0}, {}, Flag.TOTAL_MISMATCH),
        (chat(10, 5, citation_tokens=7), {}, Flag.UNREAD_COUNTS),
        (chat(10, 5, service_tier="priority"), {}, Flag.NON_STANDARD_TIER),
    ],
)
def test_contradictions_are_cut_and_flagged(usage: dict[str, Any], expected: dict[str, int], flag: Flag) -> None:
    reading = read_usage("openai_chat", usage)
    assert reading.quantities == Quantities(prompt=10, completion=5, **expected)
    assert reading.flags == (flag,)
    assert reading.flags == (flag.value,)


def test_reasoning_is_outside_where_only_that_gives_the_total() -> None:
    """xAI counts so; there reasoning is neither lost nor, when the total says it is inside, added."""
    details = {"reasoning_tokens": 94}
    outside = {"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 135, "completion_tokens_details": details}
    reading = read_usage("openai_chat", outside)
    assert reading.quantities == Quantities(prompt=32, completion=103, reasoning=94)
    assert reading.flags == (Flag.REASONING_OUTSIDE_COMPLETION,)
    inside = chat(32, 103, completion_tokens_details=details)
    assert quantities_of("openai_chat", inside) == reading.quantities


@pytest.mark.parametrize(
    "mark",
    [
        {"service_tier": "batch"},
        {"service_tier": "priority"},
        {"speed": "fast"},
        {"inference_geo": "us"},
    ],
)
def test_another_price_list_is_flagged(mark: dict[str, str]) -> None:
    reading = read_usage("anthropic_messages", {"input_tokens": 1, "output_tokens": 1, **mark})
    assert reading.flags == (Flag.NON_STANDARD_TIER,)


@pytest.mark.parametrize(
    ("usage", "searches", "flags"),
    [
        (
            {
                "server_tool_use_details": {
                    "tool_calls_requested": 4,
                    "tool_calls_executed": 3,
                    "web_search_requests": 2,
                }
            },
            2,
            (),
        ),
        ({"server_tool_use_details": {"tool_calls_requested": 4, "tool_calls_executed": 3}}, 0, ()),
        ({"server_tool_use_details": None, "server_tool_use": {"web_search_requests": 2}}, 2, ()),
        ({"server_tool_use_details": {"web_search_requests": 2}, "server_tool_use": {"web_search_requests": 2}}, 2, ()),
        (
            {"server_tool_use_details": {"web_search_requests": 2}, "server_tool_use": {"web_search_requests": 3}},
            3,
            (Flag.WEB_SEARCHES_DISAGREE,),
        ),
        ({"tool_usage": {"web_search": {"num_requests": 1}, "image_gen": {"input_tokens": 5}}}, 1, ()),
    ],
)
def test_searches_are_counted_once(usage: dict[str, Any], searches: int, flags: tuple[str, ...]) -> None:
    for dialect in ("openrouter", "openai_chat"):
        reading = read_usage(dialect, chat(1, 1, **usage))
        assert reading.quantities == Quantities(prompt=1, completion=1, web_searches=searches)
        assert reading.flags == flags


@pytest.mark.parametrize(
    ("usage", "cost", "flags"),
    [
        ({}, None, ()),
        ({"cost": None}, None, ()),
        ({"cost": 0}, "0", ()),
        ({"cost": Decimal("0.0012")}, "0.0012", ()),
        ({"cost": 4.1400000000000003e-05}, "0.000041400000000000003", ()),
        ({"cost": Decimal("4.1400000000000003e-05")}, "0.000041400000000000003", ()),
        (
            {"cost": Decimal("0.1"), "is_byok": False, "cost_details": {"upstream_inference_cost": Decimal("0.1")}},
            "0.1",
            (),
        ),
        (
            {"cost": 0, "is_byok": True, "cost_details": {"upstream_inference_cost": Decimal("0.0003253")}},
            "0.0003253",
            (),
        ),
        ({"cost": Decimal("0.05"), "is_byok": True, "cost_details": {"upstream_inference_cost": 1}}, "1.05", ()),
        (
            {"cost": 0, "is_byok": True, "cost_details": {"upstream_inference_cost": None}},
            None,
            (Flag.UPSTREAM_COST_INCOMPLETE,),
        ),
        ({"cost": 0, "is_byok": True}, None, (Flag.UPSTREAM_COST_INCOMPLETE,)),
        ({"is_byok": True, "cost_details": {"upstream_inference_cost": 1}}, None, ()),
        *[
            pytest.param({"cost": cost}, None, (Flag.UPSTREAM_COST_UNREADABLE,), id=type(cost).__name__)
            for cost in (
                -1,
                Decimal("-0.1"),
                float("nan"),
                float("inf"),
                Decimal("NaN"),
                Decimal("sNaN"),
                Decimal("-Infinity"),
                Decimal("1e400000"),
                Decimal("1e-400000"),
                10**5000,
                "0.1",
                True,
                {"total": 1},
                [],
            )
        ],
        (
            {"cost": 1, "is_byok": True, "cost_details": {"upstream_inference_cost": -1}},
            None,
            (Flag.UPSTREAM_COST_UNREADABLE, Flag.UPSTREAM_COST_INCOMPLETE),
        ),
    ],
)
def test_what_openrouter_says_it_charged(usage: dict[str, Any], cost: str | None, flags: tuple[str, ...]) -> None:
    reading = read_usage("openrouter", chat(1, 1, **usage))
    assert reading.upstream_cost_usd == (None if cost is None else Decimal(cost))
    assert reading.flags == flags
    assert reading.quantities == Quantities(prompt=1, completion=1)


def test_only_openrouter_states_a_cost_in_usd() -> None:
    reading = read_usage("openai_chat", chat(1, 1, cost={"total_cost": 0.006}))
    assert (reading.upstream_cost_usd, reading.flags) == (None, ())


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (-1, "must not be negative"),
        (10**12 + 1, "must be at most 1000000000000"),
        pytest.param(10**4999, "must be at most 1000000000000", id="5000 digits"),
        (True, "must be a whole number"),
        (False, "must be a whole number"),
        ("12", "must be a whole number"),
        ("1_000", "must be a whole number"),
        ("１２", "must be a whole number"),
        (12.0, "must be a whole number"),
        (12.5, "must be a whole number"),
        (Decimal("12.0"), "must be a whole number"),
        (Decimal(12), "must be a whole number"),
        (float("nan"), "must be a whole number"),
        ([12], "must be a whole number"),
        ({}, "must be a whole number"),
    ],
)
def test_what_is_no_count_is_refused_with_its_path(value: Any, reason: str) -> None:
    places = {
        "usage.prompt_tokens": ("openai_chat", chat(1, 1) | {"prompt_tokens": value}),
        "usage.completion_tokens_details.reasoning_tokens": (
            "openrouter",
            chat(1, 1, completion_tokens_details={"reasoning_tokens": value}),
        ),
        "usage.total_tokens": ("openai_responses", {"input_tokens": 1, "output_tokens": 1, "total_tokens": value}),
        "usage.cache_creation.ephemeral_1h_input_tokens": (
            "anthropic_messages",
            {"input_tokens": 1, "output_tokens": 1, "cache_creation": {"ephemeral_1h_input_tokens": value}},
        ),
        "usage.promptTokensDetails[1].tokenCount": (
            "gemini",
            {"promptTokenCount": 1, "promptTokensDetails": [{"modality": "TEXT"}, {"tokenCount": value}]},
        ),
    }
    for path, (dialect, usage) in places.items():
        assert refusal_of(dialect, usage) == (path, reason)


@pytest.mark.parametrize(
    ("dialect", "usage", "field", "reason"),
    [
        (
            "openai",
            {},
            "dialect",
            "must be one of openai_chat, openai_responses, openrouter, anthropic_messages, gemini",
        ),
        (
            "",
            chat(1, 1),
            "dialect",
            "must be one of openai_chat, openai_responses, openrouter, anthropic_messages, gemini",
        ),
        *[(dialect, None, "usage", "is missing") for dialect in DIALECTS],
        *[(dialect, [], "usage", "must be an object") for dialect in DIALECTS],
        *[(dialect, "12", "usage", "must be an object") for dialect in DIALECTS],
        *[(dialect, {}, "usage", "has no token counts") for dialect in DIALECTS],
        ("openai_chat", {"prompt_tokens": None, "completion_tokens": None}, "usage", "has no token counts"),
        ("openai_chat", {"input_tokens": 1, "output_tokens": 1}, "usage", "has no token counts"),
        ("openai_chat", {"total_tokens": 5}, "usage", "has no token counts"),
        ("openai_chat", {"completion_tokens": 5}, "usage.prompt_tokens", "is missing"),
        ("openai_chat", {"prompt_tokens": 5}, "usage.completion_tokens", "is missing"),
        ("openai_chat", {"prompt_tokens": 5, "total_tokens": 9}, "usage.completion_tokens", "is missing"),
        ("openrouter", {"completion_tokens": 5}, "usage.prompt_tokens", "is missing"),
        ("openrouter", {"cost": 0.5, "is_byok": False}, "usage", "has no token counts"),
        ("openai_responses", {"prompt_tokens": 1, "completion_tokens": 1}, "usage", "has no token counts"),
        ("openai_responses", {"output_tokens": 5}, "usage.input_tokens", "is missing"),
        ("openai_responses", {"type": "duration", "seconds": 23}, "usage", "counts seconds, not tokens"),
        ("openrouter", {"seconds": 9.2, "cost": 0.0005}, "usage", "counts seconds, not tokens"),
        ("anthropic_messages", {"input_tokens": 5}, "usage.output_tokens", "is missing"),
        ("anthropic_messages", {"output_tokens": 5}, "usage.input_tokens", "is missing"),
        ("anthropic_messages", {"inputTokens": 5, "outputTokens": 5}, "usage", "has no token counts"),
        (
            "anthropic_messages",
            {"input_tokens": 1, "output_tokens": 1, "iterations": [{"type": "compaction"}]},
            "usage.iterations[0]",
            "has no token counts",
        ),
        (
            "anthropic_messages",
            {"input_tokens": 1, "output_tokens": 1, "iterations": {}},
            "usage.iterations",
            "must be a list",
        ),
        (
            "anthropic_messages",
            {"input_tokens": 1, "output_tokens": 1, "iterations": [5]},
            "usage.iterations[0]",
            "must be an object",
        ),
        ("gemini", {"candidatesTokenCount": 5}, "usage", "has no token counts"),
        ("gemini", {"totalTokenCount": 5}, "usage.promptTokenCount", "is missing"),
        ("gemini", {"promptTokenCount": 5, "totalTokenCount": 9}, "usage.candidatesTokenCount", "is missing"),
        (
            "gemini",
            {"promptTokenCount": 5, "promptTokensDetails": "TEXT"},
            "usage.promptTokensDetails",
            "must be a list",
        ),
        ("openai_chat", chat(1, 1, prompt_tokens_details=[]), "usage.prompt_tokens_details", "must be an object"),
        ("openai_chat", chat(1, 1, prompt_tokens_details=5), "usage.prompt_tokens_details", "must be an object"),
        ("openrouter", chat(1, 1, server_tool_use="x"), "usage.server_tool_use", "must be an object"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_reason(dialect: str, usage: Any, field: str, reason: str) -> None:
    assert refusal_of(dialect, usage) == (field, reason)


@pytest.mark.parametrize(
    ("dialect", "usage", "field"),
    [
        (
            "openai_responses",
            {
                "input_tokens": 4,
                "cache_read_input_tokens": 14210,
                "cache_creation_input_tokens": 426,
                "output_tokens": 290,
            },
            "usage.cache_read_input_tokens",
        ),
        (
            "openai_responses",
            {"input_tokens": 4, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 426, "output_tokens": 290},
            "usage.cache_creation_input_tokens",
        ),
        ("openai_chat", chat(4, 290, cache_read_input_tokens=14210), "usage.cache_read_input_tokens"),
        (
            "anthropic_messages",
            {"input_tokens": 4020, "input_tokens_details": {"cached_tokens": 4012}, "output_tokens": 5},
            "usage.input_tokens_details.cached_tokens",
        ),
    ],
)
def test_cache_counts_of_another_dialect_are_never_read_past(dialect: str, usage: dict[str, Any], field: str) -> None:
    """The first body would be billed as 4 input tokens instead of 14,640, the last at eight times its price."""
    assert refusal_of(dialect, usage) == (field, "belongs to another dialect than the declared one")


def test_cache_counts_in_both_spellings_are_read_in_the_declared_one() -> None:
    usage = chat(100, 5, prompt_tokens_details={"cached_tokens": 60}, cache_read_input_tokens=60)
    assert quantities_of("openai_chat", usage) == Quantities(prompt=100, completion=5, cache_read=60)


def test_a_refusal_never_repeats_what_it_refuses() -> None:
    with pytest.raises(UsageRefused) as refused:
        read_usage("openai_chat", chat(1, 1) | {"prompt_tokens": "my secret prompt"})
    assert "secret" not in str(refused.value)


NAMES = [
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "input_tokens",
    "output_tokens",
    "promptTokenCount",
    "candidatesTokenCount",
    "thoughtsTokenCount",
    "toolUsePromptTokenCount",
    "cachedContentTokenCount",
    "totalTokenCount",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "cached_tokens",
    "num_cached_tokens",
    "prompt_cache_hit_tokens",
    "cost",
    "is_byok",
]
PARTS = [
    "cached_tokens",
    "cache_write_tokens",
    "audio_tokens",
    "reasoning_tokens",
    "image_tokens",
    "thinking_tokens",
    "ephemeral_5m_input_tokens",
    "ephemeral_1h_input_tokens",
    "web_search_requests",
    "upstream_inference_cost",
]
OBJECTS = [
    "prompt_tokens_details",
    "completion_tokens_details",
    "input_tokens_details",
    "output_tokens_details",
    "cache_creation",
    "server_tool_use",
    "server_tool_use_details",
    "cost_details",
]
counts = st.integers(min_value=0, max_value=50) | st.integers(min_value=0, max_value=10**12) | st.none()
junk = st.none() | st.booleans() | st.integers() | st.floats() | st.decimals() | st.text(max_size=3)
plausible = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(NAMES, counts)
    | {name: st.dictionaries(st.sampled_from(PARTS), counts, max_size=4) for name in OBJECTS}
    | {
        "promptTokensDetails": st.lists(
            st.fixed_dictionaries({"modality": st.sampled_from(["TEXT", "AUDIO"]), "tokenCount": counts}), max_size=3
        ),
        "iterations": st.lists(
            st.fixed_dictionaries(
                {
                    "type": st.sampled_from(["message", "compaction", "advisor_message"]),
                    "input_tokens": counts,
                    "output_tokens": counts,
                }
            ),
            max_size=3,
        ),
    },
)
broken = st.dictionaries(
    st.sampled_from([*NAMES, *OBJECTS, "iterations", "promptTokensDetails", "service_tier"]),
    junk | st.lists(junk, max_size=2) | st.dictionaries(st.sampled_from(PARTS), junk, max_size=3),
    max_size=12,
)


def reading_or_refusal(dialect: str, usage: dict[str, Any]) -> Reading | UsageRefused:
    try:
        return read_usage(dialect, usage)
    except UsageRefused as refused:
        return refused


@given(st.sampled_from(DIALECTS), plausible | broken)
def test_every_body_is_read_within_its_bounds_or_refused(dialect: str, usage: dict[str, Any]) -> None:
    reading = reading_or_refusal(dialect, usage)
    if isinstance(reading, UsageRefused):
        assert reading.field.startswith("usage")
        return
    read = reading.quantities
    assert min(read.prompt, read.completion, read.web_searches) >= 0
    parts = (read.cache_read, read.cache_write, read.cache_write_1h, read.audio_input)
    assert min(*parts, read.reasoning, read.audio_output, read.image_output) >= 0
    assert read.cache_read + read.cache_write + read.audio_input <= read.prompt
    assert read.cache_write_1h <= read.cache_write
    assert read.reasoning + read.audio_output + read.image_output <= read.completion
    assert (read.images, read.requests) == (0, 1)
    assert reading.upstream_cost_usd is None or reading.upstream_cost_usd >= 0
    assert len(set(reading.flags)) == len(reading.flags)
    assert set(reading.flags) <= {flag.value for flag in Flag}
