"""Clients that leave, streams that break, a database that is away, a process that ends: every answered token is billed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from pytest_django import Settings

from accounts.models import Customer
from gateway.edge.relay import Bounds
from gateway.models import GatewayCall
from tests.gateway.events import Metered, metered
from tests.gateway.gate import (
    DONE,
    MODEL,
    SERVED,
    USAGE_CHUNK,
    Answer,
    Gate,
    Upstream,
    at_the_gate,
    content,
    endless,
    reply,
    silence,
    sse,
    stream,
)
from tests.gateway.money import forget
from tests.gateway.shop import new_customer
from tests.gateway.site import Site
from tests.outages import database_away

EVENT = Metered(MODEL, SERVED, 11, 7, "0.00001675")
SLOW = [content("he"), 0.15, content("llo", finish="stop"), 0.15, USAGE_CHUNK, DONE]


@pytest.fixture
def caller(site: Site) -> tuple[Customer, str]:
    forget()
    return new_customer()


def call_of(customer: Customer) -> GatewayCall:
    return GatewayCall.objects.get(customer=customer)


async def begin(gate: Gate, *, until: bytes = b"he", **body: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A streaming call over a bare connection, read until some bytes were there."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
    data = json.dumps(gate.body(stream=True, **body)).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gate.key}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
    if until:
        await reader.readuntil(until)
    return reader, writer


@pytest.mark.parametrize("until", [b"", b"he"])
def test_who_hangs_up_is_billed_what_the_upstream_counted(caller: tuple[Customer, str], until: bytes) -> None:
    customer, key = caller

    upstream = Upstream(stream(0.1, *SLOW))

    async def scenario(gate: Gate) -> None:
        _, writer = await begin(gate, until=until)
        while not upstream.got:
            await asyncio.sleep(0.01)
        writer.transport.abort()

    at_the_gate(key, [upstream], scenario)
    assert metered(customer) == [EVENT]
    call = call_of(customer)
    assert (call.status, call.is_billed, call.finish_reason, call.flags) == ("settled", True, "stop", [])


def test_an_answer_without_end_is_read_for_a_while_after_its_client_left(caller: tuple[Customer, str]) -> None:
    customer, key = caller

    async def scenario(gate: Gate) -> None:
        _, writer = await begin(gate, until=b"word")
        writer.transport.abort()
        await asyncio.sleep(0.6)

    at_the_gate(key, [Upstream(endless)], scenario, bounds=Bounds(drain_seconds=0.3))
    call = call_of(customer)
    assert (call.status, call.error_code) == ("estimated", "endless")
    [event] = metered(customer)
    assert event.flags == ("estimated",)
    assert event.completion > 10


def test_nobody_is_read_for_without_bound(caller: tuple[Customer, str]) -> None:
    customer, key = caller
    answer = at_the_gate(
        key, [Upstream(endless)], lambda gate: gate.chat(stream=True), bounds=Bounds(stream_bytes=20_000)
    )
    assert answer.body.endswith(DONE)
    assert b'"finish_reason":"error"' in answer.body
    assert 20_000 <= len(answer.body) < 100_000
    assert call_of(customer).error_code == "endless"


def test_a_client_that_stops_reading_is_as_good_as_gone(caller: tuple[Customer, str]) -> None:
    customer, key = caller
    big = [content("x" * 100_000) for _ in range(80)]

    upstream = Upstream(stream(*big, USAGE_CHUNK, DONE))

    async def scenario(gate: Gate) -> None:
        reader, writer = await begin(gate, until=b"")
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        while not upstream.got or gate.server.server_state.tasks:
            await asyncio.sleep(0.02)
        writer.transport.abort()

    at_the_gate(key, [upstream], scenario, bounds=Bounds(client_stall_seconds=0.3))
    assert metered(customer) == [EVENT]


def test_an_upstream_that_falls_silent(caller: tuple[Customer, str]) -> None:
    customer, key = caller
    upstream = Upstream(stream(content("hello, that is all"), 5.0), idle_seconds=0.2)
    answer = at_the_gate(key, [upstream], lambda gate: gate.chat(stream=True))
    assert answer.body.startswith(content("hello, that is all"))
    assert b'"finish_reason":"error"' in answer.body
    call = call_of(customer)
    assert (call.status, call.error_code, call.upstream_generation_id) == ("estimated", "idle_timeout", "gen-up")
    assert metered(customer)[0].flags == ("estimated",)


def test_counts_that_were_only_provisional_are_not_billed(caller: tuple[Customer, str]) -> None:
    customer, key = caller
    start = {
        "type": "message_start",
        "message": {"id": "m", "model": SERVED, "usage": {"input_tokens": 5, "output_tokens": 1}},
    }
    text = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "hello, that is all"}}
    upstream = Upstream(stream(sse(start), sse(text), end=False))
    body = {"model": MODEL, "max_tokens": 50, "stream": True, "messages": []}
    answer = at_the_gate(key, [upstream], lambda gate: gate.post("/v1/messages", body))
    assert b"event: error" in answer.body
    [event] = metered(customer)
    assert event.flags == ("estimated",)
    assert event.completion == 5  # 18 bytes


@pytest.mark.parametrize("body", [b'{"id":"gen-up","choices":[', b"<html>fine</html>"])
def test_a_body_that_is_none(caller: tuple[Customer, str], body: bytes) -> None:
    customer, key = caller
    answer = at_the_gate(key, [Upstream(reply(200, body))], lambda gate: gate.chat())
    assert (answer.status, answer.json["error"]["type"]) == (502, "provider_unavailable")
    assert call_of(customer).status == "estimated"


def test_the_process_ends_when_its_streams_have(caller: tuple[Customer, str]) -> None:
    customer, key = caller

    async def scenario(gate: Gate) -> bytes:
        reader, _ = await begin(gate)
        gate.server.should_exit = True
        return await reader.read()

    rest = at_the_gate(key, [Upstream(stream(*SLOW))], scenario)
    assert rest.endswith(DONE + b"\r\n0\r\n\r\n")
    assert metered(customer) == [EVENT]


def test_a_process_that_may_not_wait_settles_what_it_cut_off(caller: tuple[Customer, str]) -> None:
    customer, key = caller

    async def scenario(gate: Gate) -> None:
        reader, _ = await begin(gate, until=b"that is all")
        gate.server.should_exit = True
        await reader.read()

    upstream = Upstream(stream(content("hello, that is all"), 20.0))
    started = time.monotonic()
    at_the_gate(key, [upstream], scenario, grace_seconds=1)
    assert time.monotonic() - started < 10
    call = call_of(customer)
    assert (call.status, call.error_code) == ("estimated", "interrupted")
    assert metered(customer)[0].flags == ("estimated",)


def test_a_call_that_waited_for_its_first_byte_is_left_to_the_sweep(caller: tuple[Customer, str]) -> None:
    customer, key = caller

    async def scenario(gate: Gate) -> None:
        task = asyncio.create_task(gate.chat())
        await asyncio.sleep(0.3)
        gate.server.should_exit = True
        with contextlib.suppress(Exception):
            await task

    at_the_gate(key, [Upstream(silence)], scenario, grace_seconds=1)
    call = call_of(customer)
    assert (call.status, call.error_code) == ("open", "interrupted")
    assert call.lease_until <= call.finished_at or call.instance == ""


def test_while_the_database_is_away_calls_wait_on_disk_and_new_ones_are_sent_away(
    caller: tuple[Customer, str], settings: Settings, tmp_path: Path
) -> None:
    customer, key = caller
    settings.GATEWAY_SPOOL_DIR = tmp_path / "spool"
    spool = tmp_path / "spool" / "outcomes.ndjson"

    async def scenario(gate: Gate) -> tuple[bytes, Answer, str, Answer]:
        reader, _ = await begin(gate)
        with database_away():
            refused = await gate.chat()
            rest = await reader.readuntil(b"0\r\n\r\n")
            spooled = spool.read_text()
        await asyncio.sleep(0.05)
        after = await gate.chat()
        await gate.edge._desk._apart(lambda: None)
        for _ in range(200):
            if not spool.exists():
                break
            await asyncio.sleep(0.05)
        return rest, refused, spooled, after

    upstream = Upstream(
        stream(*SLOW),
        reply(
            200, {"id": "gen-2", "model": SERVED, "usage": {"prompt_tokens": 1, "completion_tokens": 1}, "choices": []}
        ),
    )
    rest, refused, spooled, after = at_the_gate(key, [upstream], scenario)
    connections.close_all()
    assert DONE in rest
    assert (refused.status, refused.headers["retry-after"]) == (503, "5")
    assert len(upstream.got) == 2
    assert spooled.count("\n") == 1
    assert "llo" not in spooled
    assert after.status == 200
    rows = metered(customer, count=2)
    assert EVENT in rows
    assert GatewayCall.objects.filter(customer=customer, status="settled").count() == 2
