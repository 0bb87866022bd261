"""What is read from an answer, in the shapes of every route and dialect, and from broken ones."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from gateway.streams import AnswerReader, Event, Seen, SseSplitter
from tests.shared import shared_data
from usage.dialects import read_usage

OPENROUTER_USAGE = {
    "prompt_tokens": 4020,
    "completion_tokens": 5,
    "total_tokens": 4025,
    "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 4012, "audio_tokens": 0, "video_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0, "image_tokens": 0},
    "cost": 0.025265,
    "is_byok": False,
    "cost_details": {"upstream_inference_cost": 0.025265},
}


def read(route: str, *chunks: Any) -> tuple[AnswerReader, list[Seen]]:
    """A reader that was fed these chunks as one stream; a str goes as it is."""
    reader, splitter, seen = AnswerReader(route), SseSplitter(), []
    for chunk in chunks:
        text = chunk if isinstance(chunk, str) else json.dumps(chunk)
        for event in splitter.feed(f"data: {text}\n\n".encode()):
            seen.append(reader.read_event(event))
    for event in splitter.finish():
        seen.append(reader.read_event(event))
    return reader, seen


def read_body(route: str, body: Any) -> AnswerReader:
    reader = AnswerReader(route)
    reader.read_body(body if isinstance(body, bytes) else json.dumps(body).encode())
    return reader


def usage_of(reader: AnswerReader) -> Any:
    text = reader.usage_json()
    return None if text is None else json.loads(text)


def chunk(content: str | None = None, *, finish: str | None = None, **extra: Any) -> dict[str, Any]:
    delta = {} if content is None else {"content": content}
    return {
        "id": "gen-up-1",
        "object": "chat.completion.chunk",
        "model": "openai/gpt-5-mini-2025",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **extra,
    }


def test_a_chat_stream() -> None:
    usage = {"id": "gen-up-1", "model": "openai/gpt-5-mini-2025", "choices": [], "usage": OPENROUTER_USAGE}
    reader, seen = read("chat/completions", chunk("안녕"), chunk("!"), chunk(finish="stop"), usage, "[DONE]")
    assert seen == [Seen.CONTENT, Seen.CONTENT, Seen.CONTENT, Seen.USAGE_ONLY, Seen.END]
    assert usage_of(reader) == OPENROUTER_USAGE
    assert (reader.upstream_id, reader.served_model) == ("gen-up-1", "openai/gpt-5-mini-2025")
    assert (reader.finish_reason, reader.answered_bytes, reader.answered_chunks) == ("stop", 7, 2)
    assert reader.is_ended


def test_usage_beside_content_is_no_usage_chunk() -> None:
    reader, seen = read(
        "chat/completions", chunk("a", finish="stop", usage={"prompt_tokens": 3, "completion_tokens": 1})
    )
    assert seen == [Seen.CONTENT]
    assert usage_of(reader) == {"prompt_tokens": 3, "completion_tokens": 1}


def test_null_usage_on_every_chunk_is_none() -> None:
    reader, seen = read("chat/completions", chunk("a", usage=None), {"choices": [], "usage": None})
    assert seen == [Seen.CONTENT, Seen.CONTENT]
    assert usage_of(reader) is None


def test_of_two_usage_chunks_the_last_counts() -> None:
    first = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}}
    second = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16}}
    reader, _ = read("chat/completions", first, second, "[DONE]", "[DONE]")
    assert usage_of(reader) == second["usage"]


def test_an_empty_usage_object_takes_nothing_back() -> None:
    reader, _ = read(
        "chat/completions",
        {"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0}},
        {"usage": {}, "choices": []},
    )
    assert usage_of(reader) == {"prompt_tokens": 0, "completion_tokens": 0}


def test_an_error_after_the_usage_keeps_the_usage() -> None:
    error = {
        "id": "x",
        "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}],
        "error": {"code": 502, "message": "secret"},
    }
    reader, seen = read("chat/completions", chunk("a"), {"choices": [], "usage": {"prompt_tokens": 1}}, error)
    assert seen == [Seen.CONTENT, Seen.USAGE_ONLY, Seen.CONTENT]
    assert usage_of(reader) == {"prompt_tokens": 1}
    assert (reader.finish_reason, reader.error_code, reader.error_status) == ("error", "502", 502)


def test_text_is_counted_in_all_its_forms() -> None:
    reader, _ = read(
        "chat/completions",
        {"choices": [{"delta": {"reasoning": "ab", "reasoning_details": [{"text": "ab"}]}}]},
        {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": '{"x":'}}]}}]},
        {"choices": [{"delta": {"content": "é"}}, {"delta": {"content": "z"}}]},
        {"choices": [{"delta": {"content": None, "role": "assistant"}}]},
    )
    assert (reader.answered_bytes, reader.answered_chunks) == (2 + 6 + 3, 3)


def test_a_completions_stream() -> None:
    reader, seen = read(
        "completions", {"id": "c", "model": "m", "choices": [{"text": "abc", "finish_reason": None}]}, "[DONE]"
    )
    assert seen == [Seen.CONTENT, Seen.END]
    assert (reader.upstream_id, reader.served_model, reader.answered_bytes) == ("c", "m", 3)


def test_anthropic_counts_are_merged_and_never_added() -> None:
    start = {
        "input_tokens": 504,
        "cache_creation_input_tokens": 123,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 23},
        "output_tokens": 1,
        "service_tier": "standard",
    }
    reader, seen = read(
        "messages",
        {"type": "message_start", "message": {"id": "msg_1", "model": "claude-sonnet-4-5", "usage": start}},
        {"type": "ping"},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hello"}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
        {"type": "message_delta", "delta": {"stop_reason": None}, "usage": {"output_tokens": 40}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 97}},
        {"type": "message_stop"},
    )
    assert usage_of(reader) == {**start, "output_tokens": 97}
    quantities = read_usage("anthropic_messages", usage_of(reader)).quantities
    assert (quantities.prompt, quantities.completion, quantities.cache_write_1h) == (627, 97, 23)
    assert seen == [Seen.CONTENT] * 8 + [Seen.END]
    assert (reader.upstream_id, reader.served_model, reader.finish_reason) == ("msg_1", "claude-sonnet-4-5", "end_turn")
    assert (reader.answered_bytes, reader.answered_chunks) == (9, 3)


def test_anthropic_input_counts_are_not_taken_back_by_zeros_and_the_output_is() -> None:
    reader, _ = read(
        "messages",
        {
            "type": "message_start",
            "message": {"usage": {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 1}},
        },
        {
            "type": "message_delta",
            "usage": {
                "input_tokens": 0,
                "cache_read_input_tokens": None,
                "cache_creation_input_tokens": 0,
                "output_tokens": 0,
            },
        },
    )
    assert usage_of(reader) == {
        "input_tokens": 10,
        "cache_read_input_tokens": 5,
        "cache_creation_input_tokens": 0,
        "output_tokens": 0,
    }


def test_anthropic_counts_that_come_only_at_the_end() -> None:
    reader, _ = read(
        "messages",
        {"type": "message_start", "message": {"usage": {"input_tokens": 0, "output_tokens": 0}}},
        {"type": "message_delta", "usage": {"input_tokens": 12, "output_tokens": 3, "cost": 0.00001}},
    )
    assert reader.usage_json() == '{"input_tokens":12,"output_tokens":3,"cost":0.00001}'


def test_an_anthropic_error_event() -> None:
    reader, seen = read("messages", {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    assert seen == [Seen.CONTENT]
    assert (reader.error_code, reader.error_status, usage_of(reader)) == ("overloaded_error", None, None)


def response(status: str, **extra: Any) -> dict[str, Any]:
    return {"id": "resp_1", "model": "gpt-5-2025-08-07", "status": status, "output": [], "usage": None, **extra}


def test_a_responses_stream() -> None:
    usage = {
        "input_tokens": 120,
        "input_tokens_details": {"cached_tokens": 64},
        "output_tokens": 40,
        "total_tokens": 160,
    }
    reader, seen = read(
        "responses",
        {"type": "response.created", "response": response("in_progress")},
        {"type": "response.output_text.delta", "delta": "four"},
        {"type": "response.function_call_arguments.delta", "delta": "{}"},
        {"type": "response.output_text.done", "text": "four"},
        {"type": "response.completed", "response": response("completed", usage=usage)},
    )
    assert seen == [Seen.CONTENT] * 4 + [Seen.END]
    assert usage_of(reader) == usage
    assert (reader.upstream_id, reader.served_model, reader.finish_reason) == (
        "resp_1",
        "gpt-5-2025-08-07",
        "completed",
    )
    assert (reader.answered_bytes, reader.answered_chunks) == (6, 2)


@pytest.mark.parametrize(
    ("status", "extra", "finish", "error"),
    [
        ("incomplete", {"incomplete_details": {"reason": "max_output_tokens"}}, "max_output_tokens", ""),
        ("failed", {"error": {"code": "server_error", "message": "?"}}, "failed", "server_error"),
    ],
)
def test_responses_that_end_otherwise_count_too(status: str, extra: dict[str, Any], finish: str, error: str) -> None:
    usage = {"input_tokens": 1, "output_tokens": 2}
    reader, seen = read("responses", {"type": f"response.{status}", "response": response(status, usage=usage, **extra)})
    assert seen == [Seen.END]
    assert usage_of(reader) == usage
    assert (reader.finish_reason, reader.error_code) == (finish, error)


def test_web_searches_that_were_made_are_added_to_a_usage_that_leaves_them_out() -> None:
    output = [
        {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "x"}},
        {"type": "web_search_call", "status": "completed", "action": {"type": "open_page", "url": "x"}},
        {"type": "web_search_call", "status": "completed"},
        {"type": "web_search_call", "status": "failed"},
        {"type": "message", "content": [{"type": "output_text", "text": "abc"}]},
    ]
    reader = read_body("responses", response("completed", output=output, usage={"input_tokens": 1, "output_tokens": 2}))
    assert usage_of(reader) == {
        "input_tokens": 1,
        "output_tokens": 2,
        "tool_usage": {"web_search": {"num_requests": 2}},
    }
    assert read_usage("openai_responses", usage_of(reader)).quantities.web_searches == 2
    assert reader.answered_bytes == 3
    stated = {"tool_usage": {"web_search": {"num_requests": 1}}, "usage": {"input_tokens": 1, "output_tokens": 2}}
    reader = read_body("responses", response("completed", output=output) | stated)
    assert usage_of(reader)["tool_usage"] == {"web_search": {"num_requests": 1}}


def test_image_and_transcript_streams() -> None:
    usage = {"input_tokens": 8, "output_tokens": 272, "total_tokens": 280}
    reader, seen = read(
        "images/generations",
        {"type": "image_generation.partial_image", "b64_json": "xxxx"},
        {"type": "image_generation.completed", "b64_json": "xxxx", "usage": usage},
    )
    assert (seen, usage_of(reader)) == ([Seen.CONTENT, Seen.END], usage)
    reader, seen = read(
        "audio/transcriptions",
        {"type": "transcript.text.delta", "delta": "abc"},
        {
            "type": "transcript.text.done",
            "text": "abc",
            "usage": {"type": "tokens", "input_tokens": 3, "output_tokens": 1},
        },
    )
    assert (seen, reader.answered_bytes) == ([Seen.CONTENT, Seen.END], 3)
    assert usage_of(reader) == {"type": "tokens", "input_tokens": 3, "output_tokens": 1}


def test_bodies_of_every_route() -> None:
    reader = read_body(
        "chat/completions",
        {
            "id": "c1",
            "model": "m1",
            "choices": [{"message": {"content": "abc"}, "finish_reason": "length"}],
            "usage": OPENROUTER_USAGE,
        },
    )
    assert (reader.upstream_id, reader.served_model, reader.finish_reason) == ("c1", "m1", "length")
    assert (reader.answered_bytes, usage_of(reader)) == (3, OPENROUTER_USAGE)
    reader = read_body("completions", {"choices": [{"text": "ab"}, {"text": "c"}]})
    assert (reader.answered_bytes, reader.answered_chunks, usage_of(reader)) == (3, 2, None)
    message = {"id": "msg", "model": "c", "content": [{"type": "text", "text": "abcd"}], "stop_reason": "end_turn"}
    reader = read_body("messages", {**message, "usage": {"input_tokens": 3, "output_tokens": 2}})
    assert (reader.upstream_id, reader.finish_reason, reader.answered_bytes) == ("msg", "end_turn", 4)
    reader = read_body(
        "embeddings", {"data": [{"embedding": [0.1]}], "model": "e", "usage": {"prompt_tokens": 4, "total_tokens": 4}}
    )
    assert (reader.served_model, usage_of(reader)) == ("e", {"prompt_tokens": 4, "total_tokens": 4})
    reader = read_body(
        "images/generations",
        {"created": 1, "data": [{"b64_json": "eA=="}], "usage": {"input_tokens": 4, "output_tokens": 9}},
    )
    assert usage_of(reader) == {"input_tokens": 4, "output_tokens": 9}
    reader = read_body("audio/transcriptions", {"text": "abc", "usage": {"type": "duration", "seconds": 3}})
    assert (usage_of(reader), reader.answered_bytes) == ({"type": "duration", "seconds": 3}, 3)


def test_an_error_body_inside_a_200() -> None:
    reader = read_body("chat/completions", {"error": {"message": "no", "code": 429}})
    assert (reader.error_code, reader.error_status, usage_of(reader), reader.answered_bytes) == ("429", 429, None, 0)
    reader = read_body("chat/completions", {"error": {"message": "no", "code": "rate_limited", "type": "x"}})
    assert (reader.error_code, reader.error_status) == ("rate_limited", None)
    assert read_body("chat/completions", {"error": "no"}).error_code == "error"


@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"1\n00:00 --> 00:01\nhi", b"[1]", b"", b"[" * 5000])
def test_what_is_not_a_json_object_has_a_size_only(body: bytes) -> None:
    reader = read_body("audio/transcriptions", body)
    assert (usage_of(reader), reader.answered_bytes) == (None, len(body))


def test_invalid_utf8_and_lone_surrogates_are_read_past() -> None:
    reader = AnswerReader("chat/completions")
    for raw in (
        b'{"id":"a","model":"m","choices":[{"delta":{"content":"x\xff\xfe"}}]}',
        b'{"choices":[{"delta":{"content":"\\ud83d"}}]}',
        b'{"choices":[],"usage":{"prompt_tokens":1,"cost":1e-05},"note":"\xff"}',
        b'{"choices":[{"delta":{"content":"never fini',
    ):
        reader.read_event(Event(raw, raw))
    assert (reader.upstream_id, reader.served_model) == ("a", "m")
    assert reader.usage_json() == '{"prompt_tokens":1,"cost":0.00001}'
    assert (reader.answered_bytes, reader.answered_chunks) == (1 + 3 + 3 + 3, 2)


def test_the_usage_of_an_event_too_long_to_keep_is_found_at_its_end() -> None:
    answer = response(
        "completed",
        output=[{"type": "image", "result": "A" * 3_000_000}],
        usage={"input_tokens": 5, "output_tokens": 6},
    )
    reader, _ = read("responses", {"type": "response.completed", "response": answer})
    assert usage_of(reader) == {"input_tokens": 5, "output_tokens": 6}


def test_generated_text_cannot_pass_for_usage() -> None:
    text = "A" * 2_000_000 + '"usage": {"input_tokens": 1, "output_tokens": 1}'
    reader, _ = read("chat/completions", chunk(text))
    assert usage_of(reader) is None


def test_only_counts_and_names_are_kept_of_a_usage_object() -> None:
    usage = {
        "prompt_tokens": 1,
        "service_tier": "flex",
        "note": "a canary that was the prompt " * 10,
        "lines": "a\nb",
        "words": ["canary"],
        "iterations": [{"type": "message", "model": "m", "input_tokens": 1}],
    }
    reader, _ = read("chat/completions", {"choices": [], "usage": usage})
    assert usage_of(reader) == {
        "prompt_tokens": 1,
        "service_tier": "flex",
        "words": [],
        "iterations": [{"type": "message", "model": "m", "input_tokens": 1}],
    }
    assert usage_of(read("chat/completions", {"choices": [], "usage": {"note": "canary"}})[0]) is None


def test_recorded_usage_objects_come_through_exactly() -> None:
    cases = json.loads(shared_data("openrouter_recorded_usage.json").read_text())["cases"]
    for case in cases:
        raw = json.dumps({"id": "gen-1", "model": case["model"], "choices": [], "usage": case["usage"]})
        reader, _ = read("chat/completions", raw)
        text = reader.usage_json()
        assert text is not None
        assert json.loads(text, parse_float=Decimal) == json.loads(json.dumps(case["usage"]), parse_float=Decimal)
        assert reader.served_model == case["model"]
    assert len(cases) == 22
