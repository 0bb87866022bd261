"""One event from JSON: what is read, what is refused and under which name."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.usage.factories import NOW, event, line
from usage.events import EventDraft, EventRefused, parse_event_line


def parse(raw: bytes) -> EventDraft:
    return parse_event_line(raw, now=NOW)


def refusal(raw: bytes) -> tuple[str, str]:
    with pytest.raises(EventRefused) as caught:
        parse(raw)
    return caught.value.field, caught.value.reason


def with_prompt_tokens(literal: str) -> bytes:
    return line().replace(b'"prompt_tokens": 100', b'"prompt_tokens": ' + literal.encode())


def test_an_event_is_read_whole() -> None:
    draft = parse(
        line(
            "gen-7",
            api_key="sk-jeongsan-abcdefgh",
            requested_model="openrouter/auto",
            usage={"b": 1, "a": {"cost": 0.5}},
            app={"title": "Help desk", "referer": "https://desk.example"},
        )
    )
    assert draft == EventDraft(
        event_id="gen-7",
        customer="hanbit",
        api_key="sk-jeongsan-abcdefgh",
        requested_model="openrouter/auto",
        served_model="anthropic/claude-sonnet-4.5",
        occurred_at=datetime(2026, 10, 5, 3, 0, tzinfo=UTC),
        dialect="openai_chat",
        usage={"b": 1, "a": {"cost": Decimal("0.5")}},
        usage_json='{"a":{"cost":0.5},"b":1}',
        app_title="Help desk",
        app_referer="https://desk.example",
    )


def test_what_may_be_left_out_has_a_plain_meaning() -> None:
    draft = parse(line(api_key=None, app=None, requested_model=None))
    assert (draft.requested_model, draft.api_key) == ("anthropic/claude-sonnet-4.5", None)
    assert (draft.app_title, draft.app_referer) == ("", "")


def test_a_key_never_shows_in_the_text_of_a_draft() -> None:
    assert "sk-jeongsan-secret" not in repr(parse(line(api_key="sk-jeongsan-secret")))


@pytest.mark.parametrize("field", ["id", "model", "occurred_at", "dialect", "usage"])
@pytest.mark.parametrize("absent", [True, False])
def test_a_missing_field_is_named(field: str, absent: bool) -> None:
    body: dict[str, Any] = event()
    body[field] = None
    if absent:
        del body[field]
    assert refusal(json.dumps(body).encode()) == (field, "is missing")


def test_an_event_without_any_owner_is_refused() -> None:
    assert refusal(line(customer=None)) == ("customer", "is missing: name the customer or one of its API keys")


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"custmer": "x"}, "custmer", "is not a field that is known here"),
        ({"app": {"name": "x"}}, "app.name", "is not a field that is known here"),
        ({"app": "x"}, "app", "must be an object"),
        ({"app": {"title": 1}}, "app.title", "must be text"),
        ({"app": {"title": "x" * 301}}, "app.title", "has more than 300 characters"),
        ({"app": {"referer": "x\x00"}}, "app.referer", "has a control character or half a surrogate pair"),
        ({"id": 7}, "id", "must be text"),
        ({"id": ""}, "id", "must have 1 to 200 characters"),
        ({"id": "x" * 201}, "id", "must have 1 to 200 characters"),
        ({"id": "a\u00a0b"}, "id", "has a character that cannot be printed"),
        ({"id": "gen\x00"}, "id", "has a control character or half a surrogate pair"),
        ({"customer": ["hanbit"]}, "customer", "must be text"),
        ({"model": "x" * 201}, "model", "must have 1 to 200 characters"),
        ({"model": "x\ny"}, "model", "has a control character or half a surrogate pair"),
        ({"requested_model": {}}, "requested_model", "must be text"),
        ({"dialect": 1}, "dialect", "must be text"),
        ({"usage": []}, "usage", "must be an object"),
        (
            {"usage": {"a": "x" * 257}},
            "usage.a",
            "is a text of more than 256 characters: prompts and answers are not kept",
        ),
        ({"usage": {"x" * 257: 1}}, "usage.'" + "x" * 60 + "'", "is not a name that is taken here"),
        ({"usage": {"a\x00": 1}}, "usage.'a\\x00'", "is not a name that is taken here"),
        ({"usage": {"a": [{"b": "\ud800"}]}}, "usage.a[0].b", "has a control character or half a surrogate pair"),
        (
            {"usage": {"a": ["x" * 250] * 70}},
            "usage",
            "has more than 16384 bytes: it holds counts, never prompts or answers",
        ),
        ({"occurred_at": 1759633200}, "occurred_at", "must be text"),
        ({"occurred_at": "2026-11-21T03:01:01Z"}, "occurred_at", "lies in the future (it is 2026-11-21T03:00:00Z now)"),
        ({"occurred_at": "2019-12-31T23:59:59Z"}, "occurred_at", "lies before 2020-01-01"),
    ],
)
def test_a_wrong_value_is_refused_with_its_field(changes: dict[str, Any], field: str, reason: str) -> None:
    assert refusal(line(**changes)) == (field, reason)


@pytest.mark.parametrize(
    "text",
    [
        "2026-10-05T12:00:00",
        "2026-02-30T00:00:00Z",
        "2026-10-05 12:00",
        "2026-12-31T23:59:60Z",
        "２０２６-10-05T12:00:00Z",
    ],
)
def test_a_time_that_is_no_instant_is_refused(text: str) -> None:
    assert refusal(line(occurred_at=text))[0] == "occurred_at"


def test_a_sender_whose_clock_is_a_minute_ahead_is_believed() -> None:
    assert parse(line(occurred_at="2026-11-21T03:01:00Z")).occurred_at == datetime(2026, 11, 21, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("literal", "reason"),
    [
        ("9" * 5000, "is a number of 5000 digits"),
        ("-" + "9" * 19, "is a number of 19 digits"),
        ("NaN", "is NaN, which is no number"),
        ("Infinity", "is Infinity, which is no number"),
        ("-Infinity", "is -Infinity, which is no number"),
        ("1e999999999999999999999", "is a number out of all bounds"),
        ("0." + "1" * 5000, "is a number out of all bounds"),
        ('1, "prompt_tokens": 2', "is given twice"),
    ],
)
def test_a_literal_that_is_no_count_is_refused_with_its_path(literal: str, reason: str) -> None:
    assert refusal(with_prompt_tokens(literal)) == ("usage.prompt_tokens", reason)


def test_a_top_level_field_given_twice_is_named() -> None:
    assert refusal(line().replace(b"{", b'{"model": "x", ', 1)) == ("model", "is given twice")


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_endless_nesting_is_refused(opening: str) -> None:
    closing = "]" if opening == "[" else "}"
    deep = opening * 2000 + "1" + closing * 2000
    assert refusal(with_prompt_tokens(deep)) == ("event", "is nested too deeply")
    assert refusal(with_prompt_tokens(opening * 64 + "1" + closing * 64))[1] == "is nested too deeply"
    assert parse(with_prompt_tokens(opening * 60 + "1" + closing * 60)).event_id == "gen-1"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "is not JSON: Expecting value (character 0)"),
        (b"<html>", "is not JSON: Expecting value (character 0)"),
        (b'{"id": "x"', "is not JSON: Expecting ',' delimiter (character 10)"),
        (b'{"id": "\xff"}', "is not UTF-8 (byte 8)"),
        ('{"id": １}'.encode(), "is not JSON: Expecting value (character 7)"),
        (b"\xef\xbb\xbf{}", "is not JSON: Expecting value (character 0)"),
        (b"[1]", "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b" " * 1_000_001, "has more than 1000000 bytes"),
    ],
)
def test_what_is_no_event_at_all_is_refused_as_a_whole(raw: bytes, reason: str) -> None:
    assert refusal(raw) == ("event", reason)


def test_a_refusal_carries_the_id_when_it_was_readable() -> None:
    with pytest.raises(EventRefused) as caught:
        parse(line("gen-9", usage=1))
    assert caught.value.event_id == "gen-9"


def test_a_refusal_never_repeats_the_value() -> None:
    secret = "the prompt that nobody may store " * 10
    assert "prompt that nobody" not in "".join(refusal(line(usage={"a": secret})))


def body_hash(raw: bytes, customer_id: int = 1, api_key_id: int | None = None) -> str:
    return parse(raw).body_hash(customer_id=customer_id, api_key_id=api_key_id).hex()


def test_the_hash_does_not_see_how_an_event_is_written() -> None:
    plain = body_hash(line())
    assert body_hash(json.dumps(event(), indent=2).encode()) == plain
    assert body_hash(json.dumps(event(), sort_keys=True).encode()) == plain
    assert body_hash(line(occurred_at="2026-10-05T03:00:00.000Z")) == plain
    assert body_hash(line(requested_model="anthropic/claude-sonnet-4.5", app={})) == plain
    assert body_hash(line().replace(b'"usage": {', b'"usage": {  ')) == plain


def test_the_hash_sees_every_value() -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 3}
    hashes = [
        body_hash(line()),
        body_hash(line(), customer_id=2),
        body_hash(line(), api_key_id=1),
        body_hash(line(model="x/y")),
        body_hash(line(requested_model="x/y")),
        body_hash(line(occurred_at="2026-10-05T03:00:00.000001Z")),
        body_hash(line(dialect="gemini")),
        body_hash(line(app={"title": "x"})),
        body_hash(line(app={"referer": "x"})),
        body_hash(line(usage=usage)),
        body_hash(line(usage=usage | {"cost": None})),
        body_hash(line(usage=usage | {"cost": 1})),
        body_hash(with_prompt_tokens("101")),
        body_hash(line(usage=usage | {"cost": 1}).replace(b'"cost": 1', b'"cost": 1.0')),
        body_hash(line(usage=usage | {"cost": 1}).replace(b'"cost": 1', b'"cost": 1.00')),
    ]
    assert len(set(hashes)) == len(hashes)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def outcome(raw: bytes) -> EventDraft | EventRefused:
    try:
        return parse(raw)
    except EventRefused as refused:
        return refused


@given(field=st.sampled_from(sorted(event())), value=JSON_VALUES)
def test_no_value_of_any_field_does_worse_than_a_refusal(field: str, value: Any) -> None:
    answer = outcome(json.dumps(event() | {field: value}).encode())
    assert isinstance(answer, EventDraft) or answer.field.isprintable()


@given(raw=st.binary(max_size=200))
def test_no_bytes_do_worse_than_a_refusal(raw: bytes) -> None:
    assert isinstance(outcome(raw), EventRefused)
