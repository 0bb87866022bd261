"""Calls through the edge: what goes to the upstream, what comes back to the client, what is left in the books."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import pytest

from accounts.models import Customer
from gateway.models import CallAttempt, GatewayCall
from tests.gateway.events import Metered, metered
from tests.gateway.gate import (
    ANSWER,
    DONE,
    MODEL,
    SERVED,
    USAGE,
    USAGE_CHUNK,
    Answer,
    Gate,
    Upstream,
    at_the_gate,
    content,
    reply,
    sse,
    stream,
)
from tests.gateway.money import forget
from tests.gateway.shop import new_customer, set_limits
from tests.gateway.site import Site
from usage.models import UsageEvent

#: 11 prompt and 7 completion tokens at USD 0.25 and 2 a million.
EVENT = Metered(MODEL, SERVED, 11, 7, "0.00001675")
STREAM = [content("he"), content("llo", finish="stop"), USAGE_CHUNK, DONE]


@pytest.fixture
def caller(site: Site) -> tuple[Customer, str]:
    forget()
    return new_customer()


def call_of(customer: Customer) -> GatewayCall:
    return GatewayCall.objects.get(customer=customer)


def test_an_answer_comes_back_to_the_byte_and_is_billed(caller: tuple[Customer, str]) -> None:
    customer, key = caller
    usage = json.dumps(USAGE)
    raw = f'{{ "id":"gen-up", "model":"{SERVED}","choices":[],"usage":{usage},"x":0.10,"y":"\\u00e9" }}\n'.encode()
    upstream = Upstream(reply(200, raw, x_generation_id="gen-up"))

    async def scenario(gate: Gate) -> Answer:
        return await gate.chat(headers={"X-Title": "Desk", "HTTP-Referer": "https://desk.example", "Cookie": "a=b"})

    answer = at_the_gate(key, [upstream], scenario)
    call = call_of(customer)
    assert (answer.status, answer.body) == (200, raw)
    assert answer.headers["x-generation-id"] == answer.headers["x-request-id"] == call.call_id
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == str(len(raw))
    [got] = upstream.got
    assert got.path == "/v1/chat/completions"
    assert got.json == {
        "model": MODEL,
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 50,
        "usage": {"include": True},
    }
    assert got.headers == {
        "host": f"127.0.0.1:{upstream.port}",
        "authorization": "Bearer sk-upstream-1-0",
        "content-type": "application/json",
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": "jeongsan",
        "x-client-request-id": call.call_id,
        "x-title": "Desk",
        "http-referer": "https://desk.example",
        "content-length": str(len(got.body)),
    }
    assert metered(customer) == [EVENT]
    [event] = UsageEvent.objects.filter(customer=customer)
    assert (event.event_id, event.app_title, event.app_referer) == (call.call_id, "Desk", "https://desk.example")
    assert (call.status, call.is_billed, call.upstream_generation_id, call.upstream_id) == (
        "settled",
        True,
        "gen-up",
        1,
    )
    [attempt] = CallAttempt.objects.filter(call=call)
    assert (attempt.number, attempt.upstream_id, attempt.key_id, attempt.status) == (1, 1, 10, 200)
    assert attempt.upstream_generation_id == "gen-up"


def test_a_stream_comes_back_to_the_byte_and_its_event_is_there_before_its_end(caller: tuple[Customer, str]) -> None:
    customer, key = caller
    pieces = [b": PROCESSING\n\n", *STREAM[:3], DONE + DONE]

    async def scenario(gate: Gate) -> tuple[bytes, int, dict[str, str]]:
        body, events = b"", -1
        headers = {"Authorization": f"Bearer {key}"}
        async with gate.client.post(
            gate.url + "/api/v1/chat/completions", json=gate.body(stream=True), headers=headers
        ) as answer:
            async for piece in answer.content.iter_any():
                body += piece
                if b"[DONE]" in body and events < 0:
                    events = await asyncio.to_thread(UsageEvent.objects.filter(customer=customer).count)
            return body, events, {name.lower(): value for name, value in answer.headers.items()}

    body, events, headers = at_the_gate(key, [Upstream(stream(*pieces))], scenario)
    assert body == b"".join(pieces)
    assert events == 1
    assert headers["content-type"] == "text/event-stream"
    assert headers["x-accel-buffering"] == "no"
    assert metered(customer) == [EVENT]
    assert call_of(customer).is_stream


@pytest.mark.parametrize(("asked", "shown"), [({}, False), ({"stream_options": {"include_usage": True}}, True)])
def test_usage_that_only_we_asked_for_stays_here(
    caller: tuple[Customer, str], asked: dict[str, Any], shown: bool
) -> None:
    customer, key = caller
    upstream = Upstream(stream(*STREAM), dialect="openai")
    answer = at_the_gate(key, [upstream], lambda gate: gate.chat(stream=True, **asked))
    assert answer.body == b"".join(STREAM if shown else [STREAM[0], STREAM[1], DONE])
    assert upstream.got[0].json["stream_options"] == {"include_usage": True}
    assert "usage" not in upstream.got[0].json
    assert metered(customer) == [EVENT]


def test_what_openrouter_sends_to_everybody_is_shown(caller: tuple[Customer, str]) -> None:
    answer = at_the_gate(caller[1], [Upstream(stream(*STREAM))], lambda gate: gate.chat(stream=True))
    assert answer.body == b"".join(STREAM)


def test_a_granted_limit_is_written_into_the_body(caller: tuple[Customer, str]) -> None:
    upstream = Upstream(reply(200, ANSWER))
    at_the_gate(caller[1], [upstream], lambda gate: gate.chat(max_tokens=None))
    sent = upstream.got[0].json
    assert sent["max_tokens"] is None or sent["max_tokens"] > 0


def test_an_upstream_that_compresses_is_understood(caller: tuple[Customer, str]) -> None:
    customer, key = caller
    upstream = Upstream(reply(200, gzip.compress(json.dumps(ANSWER).encode()), content_encoding="gzip"))
    answer = at_the_gate(key, [upstream], lambda gate: gate.chat())
    assert answer.json == ANSWER
    assert "content-encoding" not in answer.headers
    assert metered(customer) == [EVENT]


def test_anthropics_clients_are_served_in_their_own_way(caller: tuple[Customer, str]) -> None:
    customer, key = caller
    start = {"input_tokens": 5, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 6, "output_tokens": 1}
    events = [
        {"type": "message_start", "message": {"id": "msg_1", "model": SERVED, "usage": start}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hello"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}},
        {"type": "message_stop"},
    ]
    pieces = [b"event: " + str(event["type"]).encode() + b"\n" + sse(event) for event in events]
    upstream = Upstream(stream(*pieces), dialect="openai")
    body = {"model": MODEL, "max_tokens": 9, "stream": True, "messages": []}

    async def scenario(gate: Gate) -> list[Answer]:
        good = {"Authorization": "", "x-api-key": key, "anthropic-version": "2023-06-01"}
        wrong = await gate.post("/v1/messages", body, headers={"Authorization": "", "x-api-key": "sk-jeongsan-no"})
        return [await gate.post("/v1/messages", body, headers=good), wrong]

    answer, wrong = at_the_gate(key, [upstream], scenario)
    assert answer.body == b"".join(pieces)
    assert metered(customer)[0][:4] == (MODEL, SERVED, 11, 7)
    [got] = upstream.got
    assert (got.headers["x-api-key"], got.headers["anthropic-version"]) == ("sk-upstream-1-0", "2023-06-01")
    assert wrong.status == 401
    assert wrong.json["type"] == "error"
    assert wrong.json["error"]["type"] == "authentication_error"


def test_audio_goes_through_as_it_came(caller: tuple[Customer, str]) -> None:
    customer, key = caller
    body = (
        b'--XX\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        + bytes(range(256)) * 400
        + b"\r\n"
        b'--XX\r\nContent-Disposition: form-data; name="model"\r\n\r\n' + MODEL.encode() + b"\r\n--XX--\r\n"
    )
    usage = {"seconds": 9.2, "input_tokens": 83, "output_tokens": 30, "total_tokens": 113, "cost": 0.000508}
    upstream = Upstream(reply(200, {"text": "hello", "usage": usage}))
    headers = {"Content-Type": "multipart/form-data; boundary=XX"}
    answer = at_the_gate(key, [upstream], lambda gate: gate.post("/v1/audio/transcriptions", body, headers=headers))
    assert answer.json["text"] == "hello"
    assert (upstream.got[0].body, upstream.got[0].headers["content-type"]) == (body, headers["Content-Type"])
    assert metered(customer)[0][1:4] == (MODEL, 83, 30)


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "kind"),
    [
        ("/v1/chat/completions", {"model": MODEL}, {"Authorization": ""}, 401, "authentication"),
        ("/v1/chat/completions", {"model": MODEL}, {"Authorization": "Bearer sk-jeongsan-nobody"}, 401, "authentication"),
        ("/v1/chat/completions", b"{", {}, 400, "invalid_request"),
        ("/v1/chat/completions", {"model": "nobody/knows"}, {}, 404, "not_found"),
        ("/api/v1/embeddings", {"model": MODEL}, {"Content-Encoding": "gzip"}, 415, "invalid_request"),
        ("/api/v1/responses", {"model": MODEL, "background": True}, {}, 400, "invalid_request"),
        ("/v1/chat/completions", {"model": MODEL}, {"Idempotency-Key": "k" * 256}, 400, "invalid_request"),
    ],
)  # fmt: skip
def test_what_is_refused_never_reaches_an_upstream(
    caller: tuple[Customer, str], path: str, body: Any, headers: dict[str, str], status: int, kind: str
) -> None:
    customer, key = caller
    upstream = Upstream(reply(200, ANSWER))
    answer = at_the_gate(key, [upstream], lambda gate: gate.post(path, body, headers=headers))
    error = answer.json["error"]
    assert (answer.status, error["code"], error["type"]) == (status, status, kind)
    assert error["metadata"]["error_type"] == kind
    assert ("www-authenticate" in answer.headers) == (status == 401)
    assert upstream.got == []
    assert not GatewayCall.objects.filter(customer=customer).exists()


def test_other_methods_are_named_and_other_paths_are_not_ours(caller: tuple[Customer, str]) -> None:
    async def scenario(gate: Gate) -> list[Answer]:
        return [
            await gate.post("/v1/chat/completions", b"", method="GET"),
            await gate.post("/v1/chat/completions/", b""),
            await gate.post("/v1/chat/completions", b"", method="DELETE"),
        ]

    get, slash, delete = at_the_gate(caller[1], [Upstream(reply())], scenario)
    assert (get.status, get.headers["allow"], delete.status) == (405, "POST", 405)
    assert (slash.status, slash.body) == (404, b"elsewhere")


def test_a_body_beyond_the_limit_is_refused_before_it_is_read(caller: tuple[Customer, str]) -> None:
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {caller[1]}\r\n"
    piece = b"100000\r\n" + b" " * 0x100000 + b"\r\n"

    async def scenario(gate: Gate) -> list[bytes]:
        first_lines = []
        for more, pieces in ((b"Content-Length: 99999999\r\n\r\n", 0), (b"Transfer-Encoding: chunked\r\n\r\n", 17)):
            reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
            writer.write(head.encode() + more + piece * pieces)
            first_lines.append(await reader.readline())
            writer.close()
        return first_lines

    lines = at_the_gate(caller[1], [Upstream(reply())], scenario)
    assert [line.split()[1] for line in lines] == [b"413", b"413"]


def test_money_is_asked_for_before_the_upstream(caller: tuple[Customer, str]) -> None:
    customer, key = caller
    set_limits(customer, credit_limit_krw=1)
    upstream = Upstream(reply(200, ANSWER))
    answer = at_the_gate(key, [upstream], lambda gate: gate.chat(max_tokens=10_000))
    assert answer.status == 402
    affordable = answer.json["error"]["metadata"]["affordable_max_tokens"]
    assert 0 < affordable < 10_000
    assert upstream.got == []
    again = at_the_gate(key, [upstream], lambda gate: gate.chat(max_tokens=affordable))
    assert again.status == 200


def test_limits_are_told_in_headers(caller: tuple[Customer, str]) -> None:
    customer, key = caller
    set_limits(customer, rpm_limit=1)

    async def scenario(gate: Gate) -> list[Answer]:
        return [await gate.chat(), await gate.chat()]

    first, second = at_the_gate(key, [Upstream(reply(200, ANSWER))], scenario)
    assert (first.status, first.headers["x-ratelimit-limit-requests"]) == (200, "1")
    assert first.headers["x-ratelimit-remaining-requests"] == "0"
    assert second.status == 429
    assert 1 <= int(second.headers["retry-after"]) <= 60


def test_an_idempotency_key_makes_one_call(caller: tuple[Customer, str]) -> None:
    customer, key = caller
    upstream = Upstream(reply(200, ANSWER))

    async def scenario(gate: Gate) -> list[Answer]:
        return [await gate.chat(headers={"Idempotency-Key": "order-7"}) for _ in range(2)]

    first, second = at_the_gate(key, [upstream], scenario)
    assert (first.status, second.status) == (200, 409)
    assert second.json["error"]["metadata"]["generation_id"] == first.headers["x-generation-id"]
    assert len(upstream.got) == 1
    assert metered(customer) == [EVENT]
