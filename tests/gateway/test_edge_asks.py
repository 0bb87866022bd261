"""What the gateway reads from a request before anything is spent on it, and the request that goes to the upstream."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.calls import CallRefused
from gateway.edge.asks import Ask, read_ask

CHAT = "chat/completions"
NO_JSON = "The body is not a JSON object in UTF-8, or is nested too deeply."
MESSAGES = [{"role": "user", "content": "hi"}]


def ask(route: str = CHAT, **body: Any) -> Ask:
    return read_ask(route, "application/json", json.dumps({"model": "m", **body}).encode())


def refusal(raw: bytes | str, route: str = CHAT, content_type: str = "application/json") -> tuple[int, str]:
    with pytest.raises(CallRefused) as refused:
        read_ask(route, content_type, raw.encode() if isinstance(raw, str) else raw)
    return refused.value.status, refused.value.message


def sent(asked: Ask, dialect: str = "openrouter", granted: int | None = None) -> Any:
    return json.loads(asked.body_for(dialect, granted))


def test_what_a_chat_asks_for() -> None:
    raw = b'{"model":"a/b", "models":["c/d","a/b"],"stream":true,"n":3,"max_tokens":5,"max_completion_tokens":9}'
    asked = read_ask(CHAT, "application/json; charset=utf-8", raw)
    assert (asked.model, asked.models) == ("a/b", ("c/d",))
    assert (asked.is_stream, asked.n, asked.max_tokens, asked.wants_usage) == (True, 3, 9, False)
    assert (asked.size, asked.prompt_tokens_worst) == (len(raw), len(raw) + 256)


def test_a_fallback_list_may_stand_alone() -> None:
    asked = read_ask(CHAT, "", b'{"models":["a","b"]}')
    assert (asked.model, asked.models) == ("a", ("b",))


@pytest.mark.parametrize(
    ("route", "body", "n", "images"),
    [
        ("completions", {"prompt": ["a", "b"], "n": 2, "best_of": 5}, 10, 0),
        ("completions", {"prompt": [1, 2, 3]}, 1, 0),
        ("completions", {"prompt": [[1], [2], [3]]}, 3, 0),
        ("completions", {"prompt": "a"}, 1, 0),
        ("images/generations", {"prompt": "a", "n": 4}, 1, 4),
        ("images/generations", {"prompt": "a"}, 1, 1),
        ("embeddings", {"input": ["a", "b"]}, 1, 0),
        ("responses", {"input": "a", "n": 7}, 1, 0),
    ],
)
def test_how_many_answers(route: str, body: dict[str, Any], n: int, images: int) -> None:
    asked = ask(route, **body)
    assert (asked.n, asked.images) == (n, images)


@pytest.mark.parametrize(
    ("route", "name"),
    [
        (CHAT, "max_completion_tokens"),
        ("completions", "max_tokens"),
        ("responses", "max_output_tokens"),
        ("messages", "max_tokens"),
    ],
)
def test_each_route_names_its_limit(route: str, name: str) -> None:
    assert ask(route, **{name: 77}).max_tokens == 77


@pytest.mark.parametrize(
    ("body", "searches"),
    [
        ({}, 0),
        ({"plugins": [{"id": "web"}, {"id": "file-parser"}]}, 1),
        ({"web_search_options": {}}, 1),
        ({"tools": [{"type": "web_search_20250305", "max_uses": 3}, {"type": "function"}]}, 3),
        ({"tools": [{"type": "web_search"}], "max_tool_calls": 2}, 2),
        ({"tools": [{"type": "web_search_preview"}]}, 10),
    ],
)
def test_how_often_the_web_may_be_searched(body: dict[str, Any], searches: int) -> None:
    assert ask(**body).web_searches == searches


def test_usage_is_asked_for_and_everything_else_goes_as_it_came() -> None:
    raw = b'{"model":"m","temperature":0.10,"seed":12345678901234567890123,"x":{"b":1,  "a":"\\u00e9"},"stream":true}'
    asked = read_ask(CHAT, "application/json", raw)
    assert asked.body_for("openai", None) == (
        b'{"model":"m","temperature":0.10,"seed":12345678901234567890123,"x":{"b":1,  "a":"\\u00e9"},"stream":true,'
        b'"stream_options":{"include_usage":true}}'
    )
    assert sent(asked)["usage"] == {"include": True}
    assert sent(ask(stream=True, stream_options={"include_usage": False, "x": 1}))["stream_options"] == {
        "include_usage": True,
        "x": 1,
    }
    assert sent(ask(stream=True, stream_options=None), "openai")["stream_options"] == {"include_usage": True}
    wanted = ask(stream=True, stream_options={"include_usage": True})
    assert wanted.wants_usage
    assert sent(wanted, "openai") == {"model": "m", "stream": True, "stream_options": {"include_usage": True}}
    # Not where it would be refused: without a stream, or on routes that always say it.
    assert sent(ask(), "openai") == {"model": "m"}
    assert sent(ask("responses", stream=True)) == {"model": "m", "stream": True}
    assert sent(ask("messages", stream=True)) == {"model": "m", "stream": True}


def test_a_granted_limit_is_written_where_the_upstream_reads_it() -> None:
    assert sent(ask(), "openrouter", 50)["max_tokens"] == 50
    assert sent(ask(), "openai", 50)["max_completion_tokens"] == 50
    assert sent(ask("responses"), "openai", 50)["max_output_tokens"] == 50
    assert sent(ask("messages"), "openai", 50)["max_tokens"] == 50
    assert sent(ask("embeddings"), "openai", 50) == {"model": "m"}


@pytest.mark.parametrize("name", ["model", "max_tokens", "n", "stream", "messages"])
def test_what_costs_money_may_not_be_there_twice(name: str) -> None:
    raw = f'{{"model":"m","messages":[],"{name}":1, "{name}" : 2}}'
    assert refusal(raw) == (400, f"{name}: is there twice.")


def test_the_same_name_further_inside_is_no_double() -> None:
    asked = ask(messages=[{"role": "user", "content": [{"model": 1, "n": 2}]}, {"n": 1}], n=2)
    assert asked.n == 2


def test_a_double_behind_an_escape_is_not_sent_on() -> None:
    asked = read_ask(CHAT, "application/json", b'{"model":"cheap","mod\\u0065l":"dear"}')
    assert asked.model == "dear"
    assert asked.body_for("openai", None) == b'{"model":"dear"}'


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("", NO_JSON),
        ("[]", NO_JSON),
        ('{"model":"m","x":NaN}', NO_JSON),
        ('{"model":"m","x":' + "[" * 3000 + "]" * 3000 + "}", NO_JSON),
        ("{}", "model: is missing."),
        ('{"model":null}', "model: is missing."),
        ('{"model":["m"]}', "model: must be the name of a model."),
        ('{"model":"m\\u0000"}', "model: must be the name of a model."),
        ('{"model":"' + "m" * 201 + '"}', "model: must be the name of a model."),
        ('{"models":"m"}', "models: must be a list of at most 10 names."),
        ('{"model":"m","stream":"true"}', "stream: must be true or false."),
        ('{"model":"m","n":0}', "n: must be a whole number from 1 to 128."),
        ('{"model":"m","n":1.0}', "n: must be a whole number from 1 to 128."),
        ('{"model":"m","n":true}', "n: must be a whole number from 1 to 128."),
        ('{"model":"m","max_tokens":-1}', "max_tokens: must be a whole number from 1 to 100000000."),
        ('{"model":"m","max_tokens":"5"}', "max_tokens: must be a whole number from 1 to 100000000."),
        ('{"model":"m","stream_options":1}', "stream_options: must be an object."),
        ('{"model":"m","background":true}', "background: answers that are fetched later are not offered here."),
    ],
)  # fmt: skip
def test_what_cannot_be_charged_is_refused(raw: str, message: str) -> None:
    assert refusal(raw) == (400, message)


def test_invalid_utf8_and_other_types_are_refused() -> None:
    assert refusal(b'{"model":"\xff"}')[0] == 400
    assert refusal(b"model=m", content_type="application/x-www-form-urlencoded")[0] == 415
    assert refusal(b"{}", "audio/transcriptions")[0] == 415


def form(*parts: tuple[str, bytes], boundary: str = "bOuNd") -> tuple[str, bytes]:
    body = b"".join(
        b"--%b\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (boundary.encode(), head.encode(), value)
        for head, value in parts
    )
    return f'multipart/form-data; boundary="{boundary}"', body + f"--{boundary}--\r\n".encode()


FILE = ('name="file"; filename="a.wav"', b"RIFF\r\n--bOu\r\n\r\n" + bytes(range(256)) * 50)


def test_a_form_is_read_for_its_fields_and_sent_as_it_came() -> None:
    content_type, body = form(FILE, ('name="model"', b"whisper-1"), ('name="stream"', b"true"))
    asked = read_ask("audio/transcriptions", content_type, body)
    assert (asked.model, asked.is_stream, asked.prompt_tokens_worst) == ("whisper-1", True, None)
    assert asked.body_for("openai", 5) == body
    assert asked.content_type == content_type


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([FILE], "model: is missing, or is no name of a model."),
        ([('name="model"', b"a"), ('name="model"', b"b")], "model: is there twice."),
        ([('name="model"', b"a"), ('name="stream"', b"1")], "stream: must be true or false."),
    ],
)
def test_forms_that_are_refused(parts: list[tuple[str, bytes]], message: str) -> None:
    content_type, body = form(*parts)
    assert refusal(body, "audio/transcriptions", content_type) == (400, message)


def test_broken_forms_are_refused() -> None:
    content_type, body = form(('name="model"', b"a"))
    assert refusal(body, "audio/transcriptions", "multipart/form-data") == (400, "The form names no boundary.")
    cut = "The form is cut short, or has too many parts."
    assert refusal(body[:-12], "audio/transcriptions", content_type) == (400, cut)
    assert refusal(body * 0, "audio/transcriptions", content_type)[1].startswith("model: is missing")
    _, many = form(*[(f'name="f{number}"', b"") for number in range(200)])
    assert refusal(many, "audio/transcriptions", content_type) == (400, cut)


def test_a_dropped_body_is_forgotten() -> None:
    asked = ask(messages=MESSAGES)
    asked.drop()
    assert (asked.raw, asked.members) == (b"", None)
