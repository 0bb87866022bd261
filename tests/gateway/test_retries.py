"""Before the first byte another upstream or key may be asked: which, when, what is recorded, and what the client is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from accounts.models import Customer
from gateway.models import CallAttempt, GatewayCall
from gateway.upstreams.client import Unreachable, UpstreamClient
from gateway.upstreams.pool import Target
from tests.gateway.events import Metered, metered
from tests.gateway.gate import (
    ANSWER,
    DONE,
    MODEL,
    SERVED,
    USAGE_CHUNK,
    Answer,
    Gate,
    Step,
    Upstream,
    at_the_gate,
    content,
    hang_up,
    reply,
    silence,
    stream,
)
from tests.gateway.money import forget
from tests.gateway.shop import new_customer
from tests.gateway.site import Site

EVENT = Metered(MODEL, SERVED, 11, 7, "0.00001675")
SECRET = {"error": {"message": "No credit on sk-upstream-1-0", "code": 402}, "user_id": "org_ours"}


@pytest.fixture
def caller(site: Site) -> tuple[Customer, str]:
    forget()
    return new_customer()


def tried(customer: Customer) -> list[tuple[int, int, int | None, str]]:
    """Number, key, status and error of each attempt of the customer's only call."""
    call = GatewayCall.objects.get(customer=customer)
    attempts = CallAttempt.objects.filter(call=call).order_by("number")
    return [(each.number, each.key_id, each.status, each.error_code) for each in attempts]


def chat(gate: Gate) -> Any:
    return gate.chat()


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (reply(429, {"error": "busy"}, retry_after="2"), 429, "http_429"),
        (reply(500, b"<html>", kind="text/html"), 500, "http_500"),
        (reply(503, b""), 503, "http_503"),
        (reply(529, {}), 529, "http_529"),
        (reply(401, SECRET), 401, "http_401"),
        (reply(402, SECRET), 402, "http_402"),
        (reply(403, SECRET), 403, "http_403"),
        (reply(302, b"", location="http://169.254.169.254/"), 302, "http_302"),
        (reply(200, {"error": {"code": 429, "message": "busy"}}), 200, "error_in_200_429"),
        (reply(200, {"error": {"message": "no"}}), 200, "error_in_200_502"),
        (hang_up, None, "connection_lost"),
        (stream(), None, "empty_answer"),
    ],
)
def test_another_upstream_answers_for_one_that_fails(
    caller: tuple[Customer, str], fault: Step, status: int | None, code: str
) -> None:
    customer, key = caller
    first, second = Upstream(fault), Upstream(reply(200, ANSWER), number=2)
    answer = at_the_gate(key, [first, second], chat)
    assert (answer.status, answer.json) == (200, ANSWER)
    assert tried(customer) == [(1, 10, status, code), (2, 20, 200, "")]
    assert (len(first.got), len(second.got)) == (1, 1)
    assert first.got[0].headers["x-client-request-id"] == second.got[0].headers["x-client-request-id"]
    assert metered(customer) == [EVENT]
    assert GatewayCall.objects.get(customer=customer).upstream_id == 2


def test_another_key_is_asked_where_one_is_limited_but_not_where_the_upstream_is_broken(
    caller: tuple[Customer, str],
) -> None:
    customer, key = caller
    first = Upstream(reply(429, {}), reply(500, b""), keys=3)
    second = Upstream(reply(200, ANSWER), number=2)
    assert at_the_gate(key, [first, second], chat).status == 200
    assert tried(customer) == [(1, 10, 429, "http_429"), (2, 11, 500, "http_500"), (3, 20, 200, "")]


def test_an_upstream_that_is_not_there(caller: tuple[Customer, str]) -> None:
    customer, key = caller
    gone = Upstream(reply(200, ANSWER), number=3)

    async def scenario(gate: Gate) -> Answer:
        gate.edge._pool.replace([*nowhere, *gate.edge._pool.targets])
        return await gate.chat()

    gone.port = 9  # nobody listens on it
    nowhere = gone.targets()
    assert at_the_gate(key, [Upstream(reply(200, ANSWER))], scenario).status == 200
    assert tried(customer) == [(1, 30, None, "connect_error"), (2, 10, 200, "")]


def test_the_only_upstream_gets_a_second_chance(caller: tuple[Customer, str]) -> None:
    customer, key = caller
    assert at_the_gate(key, [Upstream(hang_up, reply(200, ANSWER))], chat).status == 200
    assert tried(customer) == [(1, 10, None, "connection_lost"), (2, 10, 200, "")]


def test_a_stream_is_retried_until_its_first_byte_and_never_after(caller: tuple[Customer, str]) -> None:
    customer, key = caller
    first = Upstream(stream(content("he"), end=False))
    second = Upstream(stream(content("x"), USAGE_CHUNK, DONE), number=2)
    answer = at_the_gate(key, [first, second], lambda gate: gate.chat(stream=True))
    assert answer.status == 200
    assert answer.body.startswith(content("he"))
    assert b'"finish_reason":"error"' in answer.body
    assert answer.body.endswith(DONE)
    assert second.got == []
    assert tried(customer) == [(1, 10, 200, "cut")]


@pytest.mark.parametrize(
    ("faults", "status", "kind", "retry_after"),
    [
        ([reply(429, SECRET, retry_after="7"), reply(429, SECRET, retry_after="3")], 429, "rate_limit_exceeded", "7"),
        ([reply(500, SECRET), reply(500, SECRET)], 502, "provider_unavailable", None),
        ([reply(500, SECRET), reply(429, SECRET, retry_after="3")], 503, "provider_unavailable", "3"),
        ([reply(401, SECRET), reply(401, SECRET)], 503, "provider_unavailable", "5"),
        ([reply(402, SECRET), reply(200, SECRET)], 503, "provider_unavailable", "5"),
        ([reply(403, SECRET), reply(503, SECRET)], 503, "provider_unavailable", "5"),
        ([reply(502, b"<html>sk-upstream-1-0", kind="text/html"), hang_up], 502, "provider_unavailable", None),
    ],
)
def test_when_nobody_answers_the_client_hears_it_from_us(
    caller: tuple[Customer, str], faults: list[Step], status: int, kind: str, retry_after: str | None
) -> None:
    customer, key = caller
    upstreams = [Upstream(fault, number=number) for number, fault in enumerate(faults, 1)]
    answer = at_the_gate(key, upstreams, chat)
    assert (answer.status, answer.json["error"]["code"], answer.json["error"]["type"]) == (status, status, kind)
    assert answer.headers.get("retry-after") == retry_after
    assert b"sk-upstream" not in answer.body
    assert b"org_ours" not in answer.body
    call = GatewayCall.objects.get(customer=customer)
    assert answer.headers["x-generation-id"] == call.call_id
    assert metered(customer, count=0) == []
    # Where the connection was lost nobody knows yet: the sweep asks. Everything else is over, and its hold gone.
    assert call.status == ("open" if hang_up in faults else "failed")


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_what_is_wrong_with_the_request_is_said_in_the_upstreams_words_and_not_retried(
    caller: tuple[Customer, str], status: int
) -> None:
    customer, key = caller
    body = {"error": {"message": "context too long", "code": status, "metadata": {"provider_name": "X"}}}
    first, second = Upstream(reply(status, body)), Upstream(reply(200, ANSWER), number=2)
    answer = at_the_gate(key, [first, second], chat)
    assert (answer.status, answer.json) == (status, body)
    assert second.got == []
    assert tried(customer) == [(1, 10, status, f"http_{status}")]
    assert GatewayCall.objects.get(customer=customer).status == "failed"


def test_an_error_of_the_request_inside_a_200_is_passed_on_and_free(caller: tuple[Customer, str]) -> None:
    customer, key = caller
    body = {"error": {"message": "bad image", "code": 400}}
    answer = at_the_gate(key, [Upstream(reply(200, body))], chat)
    assert (answer.status, answer.json) == (200, body)
    assert tried(customer) == [(1, 10, 200, "error_in_200_400")]
    assert metered(customer, count=0) == []


def test_an_upstream_that_says_nothing_in_time_is_not_asked_twice(caller: tuple[Customer, str]) -> None:
    customer, key = caller
    first = Upstream(silence, first_byte_seconds=0.2)
    second = Upstream(reply(200, ANSWER), number=2)
    answer = at_the_gate(key, [first, second], chat)
    assert (answer.status, answer.json["error"]["type"]) == (504, "timeout")
    assert second.got == []
    assert tried(customer) == [(1, 10, None, "first_byte_timeout")]
    assert GatewayCall.objects.get(customer=customer).status == "open"  # until the sweep has asked


def test_a_limited_key_is_left_alone_for_a_while(caller: tuple[Customer, str]) -> None:
    upstream = Upstream(reply(429, {}, retry_after="30"), reply(200, ANSWER), keys=2)

    async def scenario(gate: Gate) -> list[int]:
        return [(await gate.chat()).status for _ in range(3)]

    assert at_the_gate(caller[1], [upstream], scenario) == [200, 200, 200]
    assert [got.headers["authorization"][-1] for got in upstream.got] == ["0", "1", "1", "1"]


def test_without_any_upstream_nothing_is_held(caller: tuple[Customer, str]) -> None:
    customer, key = caller
    answer = at_the_gate(key, [], chat)
    assert (answer.status, answer.headers["retry-after"]) == (503, "30")
    assert not GatewayCall.objects.filter(customer=customer).exists()


def test_a_name_that_leads_into_a_private_network_is_not_connected_to() -> None:
    """What its text hides is judged by the address that is about to be connected to."""

    async def ask() -> str:
        client = UpstreamClient()
        target = Target(
            upstream_id=1, key_id=1, name="x", base_url="https://localhost/v1", dialect="openai", secret="x"
        )
        try:
            await client.post(target, "chat/completions", headers={}, body=b"{}")
        except Unreachable as error:
            return error.code
        finally:
            await client.close()
        return "connected"

    assert asyncio.run(ask()) == "address_refused"
