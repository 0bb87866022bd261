"""The shortcut for plain events against the rule: the same event, or none at all."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.shared import shared_data
from tests.usage.factories import NOW, event
from usage.dialects import DIALECTS
from usage.events import EventRefused, parse_event_line
from usage.services.decoding import DecodedEvent, _decode_plain, _decode_strictly

ENCODER = msgspec.json.Encoder(decimal_format="number")


def by_the_rule(raw: bytes) -> DecodedEvent | tuple[str, str, str | None]:
    try:
        return _decode_strictly(raw, NOW)
    except EventRefused as refused:
        return refused.field, refused.reason, refused.event_id


def check(raw: bytes) -> bool:
    """Whether the shortcut took the line; it may take only what the rule takes, as the rule reads it."""
    short = _decode_plain(raw, NOW)
    if short is None:
        return False
    rule = by_the_rule(raw)
    assert isinstance(rule, DecodedEvent), (raw, rule)
    assert msgspec.structs.replace(short, is_plain=False) == rule
    assert short.body_hash(customer_id=7, api_key_id=None) == parse_event_line(raw, now=NOW).body_hash(
        customer_id=7, api_key_id=None
    )
    return True


def body(**changes: Any) -> bytes:
    return ENCODER.encode(event(**changes))


def recorded_usages() -> list[dict[str, Any]]:
    read = [
        json.loads(shared_data(name).read_text(encoding="utf-8"), parse_float=Decimal)
        for name in ("openrouter_recorded_usage.json", "provider_usage_bodies.json")
    ]
    return [case["usage"] for case in read[0]["cases"]] + [
        case["body"]["usage"] for case in read[1] if isinstance(case["body"].get("usage"), dict)
    ]


def test_every_recorded_usage_in_every_dialect() -> None:
    taken = Counter(
        dialect for usage in recorded_usages() for dialect in DIALECTS if check(body(dialect=dialect, usage=usage))
    )
    # Most bodies of a dialect's own are plain; the others cost time and nothing else.
    assert taken["openrouter"] >= 80
    assert taken["openai_chat"] >= 80
    assert taken["openai_responses"] >= 50
    assert taken["anthropic_messages"] >= 50


GEMINI = {"promptTokenCount": 20, "candidatesTokenCount": 5, "thoughtsTokenCount": 2, "totalTokenCount": 27}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"api_key": "sk-jeongsan-12345678"},
        {"customer": None, "api_key": "sk-jeongsan-12345678"},
        {"requested_model": "openrouter/auto"},
        {"requested_model": None, "app": None, "api_key": None},
        {"app": {"title": "상담 도우미", "referer": "https://desk.example/?a=b:c"}},
        {"app": {"title": None}},
        {"app": {}},
        {"app": {"title": "", "referer": "x" * 300}},
        {"model": "한" * 200},
        {"id": "🙂" * 200},
        {"occurred_at": "2026-10-05T12:00:00.123Z"},
        {"occurred_at": "2026-10-05T12:00:00.123456-03:30"},
        {"occurred_at": "2026-10-05T12:00:00.999999+00:00"},
        {"dialect": "gemini", "usage": GEMINI},
        {"dialect": "gemini", "usage": {**GEMINI, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 20}]}},
        {"dialect": "anthropic_messages", "usage": {"input_tokens": 1, "output_tokens": 2, "service_tier": "standard"}},
        {"dialect": "openrouter", "usage": {"prompt_tokens": 3, "completion_tokens": 1, "cost": Decimal("9.5e-05")}},
        {"dialect": "openrouter", "usage": {"prompt_tokens": 3, "completion_tokens": 1, "cost": 0}},
        {"dialect": "openrouter", "usage": {"prompt_tokens": 3, "completion_tokens": 1, "cost": None}},
        {"dialect": "openrouter", "usage": {"prompt_tokens": 3, "completion_tokens": 1, "cost": Decimal("1.250")}},
    ],
)
def test_plain_events_take_the_shortcut(changes: dict[str, Any]) -> None:
    assert check(body(**changes))
    assert check(b"  " + body(**changes) + b"\r\n")
    assert check(json.dumps(json.loads(body(**changes)), ensure_ascii=False).encode())


USAGE = {"prompt_tokens": 100, "completion_tokens": 3, "total_tokens": 103}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"7",
        b"[]",
        b"\x0b" + body(),
        b"\xef\xbb\xbf" + body(),
        body().replace(b'"gen-1"', b'"gen-1","id":"gen-1"'),
        body().replace(b'"gen-1"', b'"gen-1","id" :"gen-1"'),
        body().replace(b'"gen-1"', b'"gen-1","id"\t:"gen-1"'),
        body().replace(b'"gen-1"', b'"gen-1","\\u0069d":"gen-1"'),
        body().replace(b'"prompt_tokens":100', b'"prompt_tokens":100,"prompt_tokens":1'),
        body(usage={**USAGE, "prompt_tokens_details": {}}).replace(b"{}", b'{"cached_tokens":1,"cached_tokens":2}'),
        body(id=":a").replace(b'":a"', b'":a","id":":a"'),
        body(id=""),
        body(id="x" * 201),
        body(id="a\u200bb"),
        body(id="a\x7f"),
        body(id="a\nb"),
        body(id="a").replace(b'"a"', b'"\\ud800"'),
        body(id="a").replace(b'"a"', b'"\xff"'),
        body(customer=None),
        body(customer=""),
        body(flags=["estimated"]),
        body(app={"title": "x" * 301}),
        body(app={"name": "x"}),
        body(app=[]),
        body(model=None),
        body(dialect="unheard"),
        body(occurred_at="2026-10-05 12:00:00Z"),
        body(occurred_at="2026-10-05T12:00:00"),
        body(occurred_at="2026-W40-1T12:00:00Z"),
        body(occurred_at="2026-10-05T12:00:00+25:00"),
        body(occurred_at="2026-10-05T12:00:00,123Z"),
        body(occurred_at="2026-02-30T12:00:00Z"),
        body(occurred_at="2019-12-31T23:59:59Z"),
        body(occurred_at=(NOW + timedelta(seconds=61)).isoformat()),
        body(usage=None),
        body(usage=[]),
        body(usage={**USAGE, "prompt_tokens": -1}),
        body(usage={**USAGE, "prompt_tokens": 10**12 + 1}),
        body(usage={**USAGE, "prompt_tokens": Decimal("100.0")}),
        body(usage={**USAGE, "prompt_tokens": True}),
        body(usage={**USAGE, "total_tokens": 104}),
        body(usage={**USAGE, "unheard": 1}),
        body(usage={**USAGE, "service_tier": "priority"}),
        body(usage={**USAGE, "service_tier": "x" * 257}),
        body(usage={**USAGE, "prompt_tokens_details": {"cached_tokens": 101}}),
        body(usage={**USAGE, "completion_tokens_details": {"reasoning_tokens": 4}}),
        body(usage={**USAGE, "cost": {"a": 1}}),
        body(usage={**USAGE, "cost": -1}),
        body(usage={**USAGE, "cost": True}),
        body(usage={**USAGE, "cost": 1}).replace(b'"cost":1', b'"cost":1e-0000000000000000000000000000000000000000005'),
        body(dialect="openrouter", usage={**USAGE, "cost": Decimal("1e-29")}),
        body(dialect="openrouter", usage={**USAGE, "cost": 10**10}),
        body(dialect="openrouter", usage={**USAGE, "cost": 1, "is_byok": True}),
        body(dialect="anthropic_messages", usage={"input_tokens": 1, "output_tokens": 2, "inference_geo": "US"}),
        body(
            dialect="anthropic_messages",
            usage={
                "input_tokens": 1,
                "output_tokens": 2,
                "cache_creation_input_tokens": 5,
                "cache_creation": {"ephemeral_5m_input_tokens": 4},
            },
        ),
        body(dialect="gemini", usage={**GEMINI, "totalTokenCount": 25}),
        body(dialect="gemini", usage={**GEMINI, "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 20}]}),
    ],
)
def test_whatever_is_odd_is_left_to_the_rule(raw: bytes) -> None:
    assert _decode_plain(raw, NOW) is None


COUNTS = st.none() | st.integers(0, 300) | st.sampled_from([-1, 10**12, 10**12 + 1, 10**19, True, "1", Decimal("1.0")])
NUMBERS = (
    st.none()
    | st.integers(-1, 10**10)
    | st.decimals(min_value=0, max_value=2, places=9)
    | st.sampled_from([Decimal("1E-7"), Decimal("9.5e-05"), Decimal("0E-30"), Decimal("1E+2"), "0.1"])
)
INPUTS = {"audio_tokens": COUNTS, "cache_write_tokens": COUNTS, "cached_tokens": COUNTS, "video_tokens": COUNTS}
OUTPUTS = {"audio_tokens": COUNTS, "image_tokens": COUNTS, "reasoning_tokens": COUNTS, "odd": COUNTS}
WORDS = st.none() | st.sampled_from(["standard", "Default", "priority", "us", "", "상담", ":", 'a"b', 5])
SHAPES = {
    "prompt_tokens": COUNTS,
    "completion_tokens": COUNTS,
    "total_tokens": COUNTS,
    "input_tokens": COUNTS,
    "output_tokens": COUNTS,
    "prompt_tokens_details": st.none() | st.fixed_dictionaries({}, optional=INPUTS),
    "input_tokens_details": st.none() | st.fixed_dictionaries({}, optional=INPUTS),
    "completion_tokens_details": st.none() | st.fixed_dictionaries({}, optional=OUTPUTS),
    "output_tokens_details": st.fixed_dictionaries(
        {}, optional={"reasoning_tokens": COUNTS, "thinking_tokens": COUNTS}
    ),
    "cache_creation_input_tokens": COUNTS,
    "cache_read_input_tokens": COUNTS,
    "cache_creation": st.none()
    | st.fixed_dictionaries({}, optional={"ephemeral_5m_input_tokens": COUNTS, "ephemeral_1h_input_tokens": COUNTS}),
    "server_tool_use": st.fixed_dictionaries({}, optional={"web_search_requests": COUNTS}),
    "server_tool_use_details": st.fixed_dictionaries({}, optional={"web_search_requests": COUNTS}),
    "service_tier": WORDS,
    "inference_geo": WORDS,
    "is_byok": st.booleans() | st.none(),
    "cost": NUMBERS,
    "cost_details": st.none() | st.fixed_dictionaries({}, optional={"upstream_inference_cost": NUMBERS}),
    "promptTokenCount": COUNTS,
    "candidatesTokenCount": COUNTS,
    "thoughtsTokenCount": COUNTS,
    "totalTokenCount": COUNTS,
    "cachedContentTokenCount": COUNTS,
    "trafficType": WORDS,
}
FAMILIES = [
    [
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "prompt_tokens_details",
        "completion_tokens_details",
        "cost",
    ],
    ["input_tokens", "output_tokens", "total_tokens", "input_tokens_details", "output_tokens_details", "is_byok"],
    ["input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "cache_creation"],
    ["promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "totalTokenCount", "trafficType"],
]
USAGES = st.one_of(
    *(
        st.fixed_dictionaries({}, optional={name: SHAPES[name] for name in family} | {extra: SHAPES[extra]})
        for family in FAMILIES
        for extra in SHAPES
    )
)


@given(st.sampled_from(DIALECTS), USAGES)
@settings(max_examples=600)
def test_any_usage_is_read_as_the_rule_reads_it(dialect: str, usage: dict[str, Any]) -> None:
    check(body(dialect=dialect, usage=usage))


def plain_chat(prompt: int, completion: int, parts: list[int], cost: Decimal | int | None) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "cost": cost,
        "prompt_tokens_details": {"cached_tokens": parts[0], "cache_write_tokens": parts[1], "audio_tokens": parts[2]},
        "completion_tokens_details": {"reasoning_tokens": parts[3], "image_tokens": parts[4]},
    }


@given(
    st.builds(
        plain_chat,
        st.integers(0, 2000),
        st.integers(0, 2000),
        st.lists(st.integers(0, 700), min_size=5, max_size=5),
        st.none() | st.integers(0, 9) | st.decimals(min_value=0, max_value=2, places=9),
    ),
    st.sampled_from(["openrouter", "openai_chat"]),
)
def test_fitting_and_contradicting_counts_are_read_as_the_rule_reads_them(usage: dict[str, Any], dialect: str) -> None:
    check(body(dialect=dialect, usage=usage))


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=30))
def test_any_texts_are_read_as_the_rule_reads_them(event_id: str, title: str, at: str) -> None:
    try:
        check(json.dumps(event(event_id, app={"title": title}), ensure_ascii=False).encode())
        check(body(occurred_at=at))
    except UnicodeEncodeError:
        pass
