"""The local upstream: its rules hold to the token, each fault is the one that was asked for, its log says the truth."""

from __future__ import annotations

import base64
import json
import struct
import time
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
import requests
import yaml
from jsonschema import Draft202012Validator

from gateway.localupstream.answers import text_of
from gateway.localupstream.asks import BadAsk, read_ask
from gateway.localupstream.journal import Entry, Journal, read_journal
from gateway.localupstream.knobs import Knobs, UnknownKnob, read_knobs
from tests.gateway.local import KEY, LocalUpstream
from tests.shared import shared_data
from usage.dialects import read_usage

HELLO = "안녕하세요"  # 15 bytes: 4 tokens, 12 with the frame; 16 + 12 % 17 = 28 tokens of answer


class Client:
    """Asks the local upstream; every request has an id of its own, by which its log line is found."""

    def __init__(self, upstream: LocalUpstream, prefix: str) -> None:
        self._upstream = upstream
        self._base = f"{upstream.url}/{prefix}"
        self.name = ""

    def post(self, route: str, body: dict[str, Any], **options: Any) -> requests.Response:
        self.name = f"test-{uuid4()}"
        headers = {"Authorization": f"Bearer {KEY}", "X-Client-Request-Id": self.name}
        return requests.post(f"{self._base}/{route}", json=body, headers=headers, timeout=20, **options)

    def chat(self, text: str, **body: Any) -> requests.Response:
        messages = [{"role": "user", "content": text}]
        body = {"model": "openai/gpt-5-mini", "messages": messages, **body}
        return self.post("chat/completions", body, stream=body.get("stream", False))

    def generation(self, name: str) -> requests.Response:
        headers = {"Authorization": f"Bearer {KEY}"}
        return requests.get(f"{self._base}/generation", params={"id": name}, headers=headers, timeout=20)

    def logged(self) -> Entry:
        """The log line of the last request."""
        for _ in range(100):
            if entries := self._upstream.entries(self.name):
                [entry] = entries
                return entry
            time.sleep(0.02)
        raise AssertionError("nothing was logged")


@pytest.fixture
def openrouter(upstream: LocalUpstream) -> Client:
    return Client(upstream, "api/v1")


@pytest.fixture
def native(upstream: LocalUpstream) -> Client:
    return Client(upstream, "v1")


def events(response: requests.Response) -> list[dict[str, Any]]:
    """The JSON of all data lines."""
    lines = [line.removeprefix(b"data: ") for line in response.content.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


def counts(entry: Entry) -> tuple[int, int]:
    return entry.prompt_tokens, entry.completion_tokens


def test_counts_follow_from_the_text_and_the_cost_is_the_list_price(openrouter: Client) -> None:
    body = openrouter.chat(HELLO).json()

    assert body["model"] == "openai/gpt-5-mini-2025-08-07"
    assert body["choices"][0]["message"]["content"] == text_of(0, 28)
    usage = body["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (12, 28, 40)
    assert Decimal(str(usage["cost"])) == 12 * Decimal("0.00000025") + 28 * Decimal("0.000002")
    entry = openrouter.logged()
    assert (entry.id, entry.cost_usd, entry.ending, counts(entry)) == (body["id"], "0.000059", "finished", (12, 28))
    assert openrouter.chat(HELLO).json()["usage"] == usage


def test_every_kind_of_count_can_be_asked_for(openrouter: Client) -> None:
    usage = openrouter.chat("@upstream(completion=40, cached=6, cache_write=2, reasoning=10)").json()["usage"]

    reading = read_usage("openrouter", usage)
    taken = reading.quantities
    assert (taken.completion, taken.cache_read, taken.cache_write, taken.reasoning) == (40, 6, 2, 10)
    assert reading.flags == ()
    limited = openrouter.chat("@upstream(completion=40)", max_tokens=7, n=3).json()
    assert [choice["finish_reason"] for choice in limited["choices"]] == ["length"] * 3
    assert limited["usage"]["completion_tokens"] == 21


@pytest.mark.parametrize(
    ("prefix", "route", "body", "dialect", "expected"),
    [
        ("v1", "chat/completions", {"messages": [{"role": "user", "content": HELLO}]}, "openai_chat", (12, 28)),
        ("v1", "completions", {"prompt": HELLO}, "openai_chat", (12, 28)),
        ("v1", "responses", {"input": HELLO}, "openai_responses", (12, 28)),
        ("v1", "messages", {"messages": [{"role": "user", "content": HELLO}]}, "anthropic_messages", (12, 28)),
        ("v1", "embeddings", {"input": [HELLO, [1, 2, 3]]}, "openai_chat", (15, 0)),
        ("v1", "images/generations", {"prompt": HELLO, "n": 2}, "openai_responses", (12, 544)),
        ("api/v1", "responses", {"input": HELLO}, "openrouter", (12, 28)),
        ("api/v1", "messages", {"messages": [{"role": "user", "content": HELLO}]}, "openrouter", (12, 28)),
        ("api/v1", "images/generations", {"prompt": HELLO}, "openrouter", (12, 272)),
    ],
)
def test_each_route_counts_in_its_dialect(
    upstream: LocalUpstream, prefix: str, route: str, body: dict[str, Any], dialect: str, expected: tuple[int, int]
) -> None:
    client = Client(upstream, prefix)
    limits = {"max_tokens": 99} if route == "messages" else {}

    answer = client.post(route, {"model": "openai/gpt-5-nano", **body, **limits}).json()

    quantities = read_usage(dialect, answer["usage"]).quantities
    assert (quantities.prompt, quantities.completion) == expected
    entry = client.logged()
    assert (counts(entry), entry.route, entry.ending) == (expected, route, "finished")


@pytest.mark.parametrize("prefix", ["v1", "api/v1"])
@pytest.mark.parametrize("route", ["chat/completions", "completions", "responses", "messages"])
def test_a_stream_adds_up_to_the_same_answer(upstream: LocalUpstream, prefix: str, route: str) -> None:
    client = Client(upstream, prefix)
    text = {"messages": [{"role": "user", "content": HELLO}], "prompt": HELLO, "input": HELLO}
    body = {"model": "openai/gpt-5-nano", "max_tokens": 99, "stream": True, **text}

    response = client.post(route, body | ({"stream_options": {"include_usage": True}} if "comp" in route else {}))

    assert response.headers["content-type"] == "text/event-stream"
    said, usages = "", []
    for event in events(response):
        for choice in event.get("choices", []):
            said += choice.get("text", "") + choice.get("delta", {}).get("content", "")
        delta = event.get("delta", "")
        said += delta if isinstance(delta, str) else delta.get("text", "")
        holder = event.get("response", event.get("message", event))
        usages += [holder["usage"]] if holder.get("usage") else []
    assert said == text_of(0, 28)
    if (prefix, route) == ("v1", "messages"):  # Anthropic's own: the input at the start, the output at the end
        usages = [usages[0] | usages[1]]
    dialect = {"chat/completions": "openai_chat", "completions": "openai_chat", "messages": "anthropic_messages"}
    quantities = read_usage(dialect.get(route, "openai_responses"), usages[-1]).quantities
    assert (quantities.prompt, quantities.completion) == (12, 28)
    assert counts(client.logged()) == (12, 28)


def test_openai_tells_usage_in_a_stream_only_to_who_asks(native: Client) -> None:
    unasked = events(native.chat(HELLO, stream=True))
    asked = events(native.chat(HELLO, stream=True, stream_options={"include_usage": True}))

    assert [event.get("usage") for event in unasked] == [None] * len(unasked)
    assert (asked[-1]["choices"], asked[-1]["usage"]["total_tokens"]) == ([], 40)
    refused = native.chat(HELLO, stream_options={"include_usage": True})
    assert (refused.status_code, refused.json()["error"]["type"]) == (400, "invalid_request_error")


def test_who_answers(openrouter: Client) -> None:
    assert openrouter.chat(HELLO, model="openrouter/auto").json()["model"] == "openai/gpt-5-nano-2025-08-07"
    listed = openrouter.chat(HELLO, models=["openai/gpt-5-mini", "anthropic/claude-haiku-4.5"]).json()
    assert listed["model"] == "anthropic/claude-4.5-haiku-20251001"
    assert openrouter.chat(HELLO, model="openai/gpt-5-mini:nitro").json()["model"] == "openai/gpt-5-mini-2025-08-07"
    assert openrouter.chat("@upstream(served=openai/gpt-4.1-nano)").json()["model"] == "openai/gpt-4.1-nano-2025-04-14"
    unknown = openrouter.chat(HELLO, model="nobody/nothing")
    assert unknown.status_code == 400
    assert unknown.json()["error"] == {
        "code": 400,
        "message": "nobody/nothing is not a valid model ID",
        "metadata": {"provider_name": "Local"},
    }


def test_audio_and_vectors(native: Client, openrouter: Client) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    for client, dialect in ((native, "openai_responses"), (openrouter, "openrouter")):
        answer = requests.post(
            f"{client._base}/audio/transcriptions",
            data={"model": "openai/gpt-4o-mini-transcribe"},
            files={"file": ("a.wav", b"\0" * 6401)},
            headers=headers,
            timeout=20,
        ).json()
        taken = read_usage(dialect, answer["usage"]).quantities
        assert (answer["text"], taken.prompt, taken.completion) == (text_of(0, 28), 29, 28)
    body = {"model": "openai/text-embedding-3-small", "input": "a", "dimensions": 3}
    numbers = native.post("embeddings", body).json()["data"][0]["embedding"]
    packed = native.post("embeddings", body | {"encoding_format": "base64"}).json()["data"][0]["embedding"]
    assert list(struct.unpack("<3f", base64.b64decode(packed))) == numbers


def test_only_its_key_and_its_routes(upstream: LocalUpstream, native: Client) -> None:
    for headers in ({}, {"Authorization": "Bearer sk-other"}, {"x-api-key": "sk-other"}):
        refused = requests.post(f"{upstream.url}/v1/chat/completions", json={}, headers=headers, timeout=20)
        assert refused.status_code == 401
    allowed = requests.post(f"{upstream.url}/v1/chat/completions", json={}, headers={"x-api-key": KEY}, timeout=20)
    assert (allowed.status_code, allowed.json()["error"]["message"]) == (400, "model: is missing")
    assert native.post("nowhere", {}).status_code == 404
    assert len(requests.get(f"{upstream.url}/v1/models", timeout=20).json()["data"]) == 60


@pytest.mark.parametrize(
    ("knob", "status", "content"),
    [
        ("html_502", 502, b"<!DOCTYPE html>"),
        ("error_200", 200, b'{"error":{"code":502'),
        ("status=429, retry_after=3", 429, b'{"error":{"code":429'),
    ],
)
def test_refusals_cost_nothing(openrouter: Client, knob: str, status: int, content: bytes) -> None:
    answer = openrouter.chat(f"@upstream({knob})")

    assert (answer.status_code, answer.content[: len(content)]) == (status, content)
    assert answer.headers.get("retry-after") == ("3" if status == 429 else None)
    entry = openrouter.logged()
    assert (entry.ending, entry.status, counts(entry), entry.cost_usd) == ("refused", status, (0, 0), "0")
    assert openrouter.generation(entry.id).status_code == 404


def test_a_refusal_can_pass(upstream: LocalUpstream) -> None:
    headers = {"Authorization": f"Bearer {KEY}", "X-Client-Request-Id": f"test-{uuid4()}"}
    body = {"model": "openai/gpt-5-nano", "prompt": "@upstream(status=500, times=2)"}

    statuses = [
        requests.post(f"{upstream.url}/v1/completions", json=body, headers=headers, timeout=20).status_code
        for _ in range(4)
    ]

    assert statuses == [500, 500, 200, 200]


def test_a_reset_before_the_answer(openrouter: Client) -> None:
    with pytest.raises(requests.ConnectionError):
        openrouter.chat("@upstream(reset)")
    assert openrouter.logged().ending == "refused"


@pytest.mark.parametrize(
    ("stream", "text", "expected"),
    [(True, "@upstream(cut_stream=2, chunks=4)", 8), (False, "@upstream(cut_stream=0)", 30)],
)
def test_what_was_cut_is_charged_as_far_as_it_came(openrouter: Client, stream: bool, text: str, expected: int) -> None:
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        openrouter.chat(text, stream=stream).content  # noqa: B018
    entry = openrouter.logged()
    assert (entry.ending, entry.completion_tokens) == ("cut", expected)
    told = openrouter.generation(openrouter.name).json()["data"]
    assert (told["id"], told["cancelled"], told["native_tokens_completion"]) == (entry.id, True, expected)
    assert Decimal(str(told["total_cost"])) == Decimal(entry.cost_usd)


def test_who_hangs_up_stops_a_stream_and_nothing_else(openrouter: Client) -> None:
    with openrouter.chat("@upstream(endless, slow_chunks=0.02)", stream=True) as response:
        lines = response.iter_lines()
        heard = [next(lines) for _ in range(12)]
    entry = openrouter.logged()
    pieces = sum(b'"content"' in line for line in heard)
    assert entry.ending == "cut"
    assert entry.completion_tokens % 4 == 0
    assert pieces * 4 <= entry.completion_tokens < pieces * 4 + 400

    with pytest.raises(requests.Timeout):
        requests.post(
            f"{openrouter._base}/completions",
            json={"model": "openai/gpt-5-nano", "prompt": "@upstream(slow_first_byte=0.3, completion=9)"},
            headers={"Authorization": f"Bearer {KEY}", "X-Client-Request-Id": "test-left-early"},
            timeout=0.1,
        )
    assert openrouter.generation("test-left-early").status_code == 404
    openrouter.name = "test-left-early"
    entry = openrouter.logged()
    assert (entry.ending, entry.completion_tokens) == ("cut", 9)
    assert openrouter.generation("test-left-early").json()["data"]["native_tokens_completion"] == 9


def test_faults_inside_a_stream(openrouter: Client) -> None:
    def stream(knobs: str) -> requests.Response:
        return openrouter.chat(f"@upstream(completion=20, chunks=2, {knobs})", stream=True)

    assert [event["usage"] for event in events(stream("no_usage")) if "usage" in event] == []
    assert openrouter.logged().completion_tokens == 20
    told = [event["usage"]["completion_tokens"] for event in events(stream("two_usage")) if "usage" in event]
    assert told == [10, 20]
    *_, usage, error = events(stream("usage_then_error"))
    assert usage["usage"]["completion_tokens"] == 20
    assert (error["choices"][0]["finish_reason"], error["error"]["code"]) == ("error", 502)
    assert openrouter.logged().ending == "failed"
    assert stream("double_done").content.count(b"data: [DONE]") == 2
    with pytest.raises(UnicodeDecodeError):
        stream("bad_utf8").content.decode()
    assert max(map(len, stream("long_line=10000000").content.split(b"\n"))) > 10_000_000
    empty = events(stream("empty"))
    assert [event["choices"][0]["finish_reason"] for event in empty] == [None, None]
    assert empty[-1]["usage"]["completion_tokens"] == 0


def test_slowness(openrouter: Client) -> None:
    response = openrouter.chat("@upstream(slow_first_byte=0.2, slow_chunks=0.05, chunks=2)", stream=True)
    assert response.elapsed.total_seconds() >= 0.2
    assert len(events(response)) == 4


def test_generation_can_come_late_or_never(openrouter: Client) -> None:
    openrouter.chat("@upstream(generation_delay=0.2)")
    assert openrouter.generation(openrouter.name).status_code == 404
    time.sleep(0.25)
    told = openrouter.generation(openrouter.name)
    schema = yaml.safe_load(shared_data("openrouter-openapi.yaml").read_bytes())
    schema |= schema["paths"]["/generation"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert [error.message for error in Draft202012Validator(schema).iter_errors(told.json())] == []
    openrouter.chat("@upstream(no_generation)")
    assert openrouter.generation(openrouter.name).status_code == 404


def test_the_log_goes_on_after_a_crash(tmp_path: Any) -> None:
    path = tmp_path / "log" / "answers.jsonl"
    entry = Entry("gen-1", "call-1", "2026-01-01T00:00:00Z", "completions", "a/b", "a/b", False, 200, "finished", 3, 4)
    Journal(path).write(entry)
    with path.open("ab") as file:
        file.write(b'{"id":"gen-2","cli')

    journal = Journal(path)

    assert (journal.count, journal.find("gen-1", now=1), journal.find("call-1", now=1)) == (1, entry, entry)
    assert read_journal(path) == [entry]
    journal.write(entry)
    assert read_journal(path) == [entry, entry]


def test_what_it_does_not_understand_it_refuses() -> None:
    assert read_knobs(b'{"prompt": "@upstream(completion=3, slow_chunks=0.5, endless, served=a/b)"}') == Knobs(
        completion=3, slow_chunks=0.5, endless=True, served="a/b"
    )
    for text in ("@upstream(nothing)", "@upstream(endless=1)", "@upstream(chunks=many)", "@upstream(chunks)"):
        with pytest.raises(UnknownKnob):
            read_knobs(text.encode())
    with pytest.raises(BadAsk, match="max_tokens"):
        read_ask("messages", "application/json", b'{"model": "a/b"}')
    for body in (b"", b"[]", b"{", b"{}"):
        with pytest.raises(BadAsk):
            read_ask("completions", "application/json", body)
