"""Each fault of an upstream through the running gateway: what the client gets, and the one event that is left."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
import requests
from django.utils import timezone

from gateway.models import CallAttempt, GatewayCall
from gateway.services.sweeping import sweep_calls
from tests.gateway.events import Metered, check_against_log, metered
from tests.gateway.local import LocalUpstream
from tests.gateway.shop import new_customer
from tests.gateway.site import Site
from usage.models import WithdrawnEvent

MODEL, SERVED = "openai/gpt-5-mini", "openai/gpt-5-mini-2025-08-07"


class Caller:
    """A customer of its own, and calls with one fault each: 20 tokens of answer in 4 pieces."""

    def __init__(self, site: Site) -> None:
        self.customer, self._key = new_customer()
        self._url = f"{site.url}/v1"

    def post(self, knobs: str, *, stream: bool = True, lazy: bool = False) -> requests.Response:
        """One call. `lazy`: its answer is read by whoever asked, as far as that one likes."""
        text = f"@upstream(completion=20, chunks=4, {knobs})"
        body = {"model": MODEL, "messages": [{"role": "user", "content": text}], "stream": stream, "max_tokens": 100}
        return requests.post(
            f"{self._url}/chat/completions",
            json=body,
            headers={"Authorization": f"Bearer {self._key}"},
            timeout=30,
            stream=lazy,
        )

    def call(self) -> GatewayCall:
        """The call's row, once it is not open any more (a client that left is settled after it)."""
        for _ in range(200):
            row = GatewayCall.objects.get(customer=self.customer)
            if row.status != GatewayCall.Status.OPEN:
                return row
            time.sleep(0.02)
        return row


@pytest.fixture
def caller(site: Site) -> Caller:
    return Caller(site)


def prompt_of(knobs: str) -> int:
    """Tokens of such a call's prompt, by the local upstream's rule."""
    return 8 + -(-len(f"@upstream(completion=20, chunks=4, {knobs})") // 4)


def event(knobs: str, *, completion: int = 20, flags: tuple[str, ...] = ()) -> Metered:
    """The event of such a call at USD 0.25 and 2 per million."""
    prompt = prompt_of(knobs)
    nano_usd = prompt * 250 + completion * 2000
    cost = "0" if flags == ("zero_completion",) else f"{nano_usd / 1e9:.9f}".rstrip("0")
    return Metered(MODEL, SERVED, prompt, completion, cost, flags)


def sweep_later() -> None:
    """The sweep that comes a while later, when the upstream knows everything."""
    sweep_calls(now=timezone.now() + timedelta(minutes=2), is_final=True)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("knobs", ["slow_first_byte=0.2", "served=openai/gpt-5-mini", "status=500, times=1"])
def test_what_ends_well_is_billed(caller: Caller, upstream: LocalUpstream, knobs: str, stream: bool) -> None:
    answer = caller.post(knobs, stream=stream)

    assert answer.status_code == 200
    assert metered(caller.customer) == [event(knobs)]
    check_against_log(caller.customer, upstream)
    assert CallAttempt.objects.filter(call=caller.call()).count() == (2 if "status" in knobs else 1)


@pytest.mark.parametrize("knobs", ["slow_chunks=0.05", "two_usage", "usage_then_error", "double_done", "bad_utf8"])
def test_odd_streams_pass_untouched_and_the_last_usage_counts(
    caller: Caller, upstream: LocalUpstream, knobs: str
) -> None:
    answer = caller.post(knobs)

    assert answer.content.count(b"data: [DONE]") == (2 if knobs == "double_done" else 1)
    assert (b"\xff\xc3" in answer.content) == (knobs == "bad_utf8")
    assert (b'"finish_reason":"error"' in answer.content) == (knobs == "usage_then_error")
    assert metered(caller.customer) == [event(knobs)]
    check_against_log(caller.customer, upstream)


def test_a_line_of_ten_megabytes(caller: Caller, upstream: LocalUpstream) -> None:
    answer = caller.post("long_line=10000000")

    assert len(answer.content) > 10_000_000
    assert answer.content.endswith(b"data: [DONE]\n\n")
    assert metered(caller.customer) == [event("long_line=10000000")]
    check_against_log(caller.customer, upstream)


@pytest.mark.parametrize("stream", [True, False])
def test_nothing_said_and_no_reason_given_is_free(caller: Caller, stream: bool) -> None:
    assert caller.post("empty", stream=stream).status_code == 200

    assert metered(caller.customer) == [event("empty", completion=0, flags=("zero_completion",))]
    assert (caller.call().status, caller.call().is_billed) == ("settled", False)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("knobs", "status", "error"),
    [
        ("html_502", 502, "provider_unavailable"),
        ("error_200", 502, "provider_unavailable"),
        ("reset", 502, "provider_unavailable"),
        ("status=500", 502, "provider_unavailable"),
        ("status=503", 503, "provider_unavailable"),
        ("status=429, retry_after=3", 429, "rate_limit_exceeded"),
    ],
)
def test_refusals_are_answered_in_our_shape_and_cost_nothing(
    caller: Caller, knobs: str, status: int, error: str, stream: bool
) -> None:
    answer = caller.post(knobs, stream=stream)

    body = answer.json()["error"]
    assert (answer.status_code, body["code"], body["type"]) == (status, status, error)
    assert "DOCTYPE" not in answer.text
    if status == 429:
        assert answer.headers["retry-after"] == "3"
    sweep_later()
    assert metered(caller.customer, count=0) == []
    assert caller.call().status == "failed"


def counted_later(caller: Caller, upstream: LocalUpstream, expected: Metered) -> None:
    """There is an estimate or nothing at first; after the sweep the upstream's own counts stand in its place."""
    caller.call()
    sweep_later()
    gone = set(WithdrawnEvent.objects.filter(customer=caller.customer).values_list("event_id", flat=True))
    rows = metered(caller.customer, count=1 + len(gone))
    assert rows[-1] == expected
    assert [row.flags for row in rows[:-1]] == [("estimated",)] * len(gone)
    call = caller.call()
    assert (call.status, call.is_billed) == ("settled", True)
    assert call.event_id == (f"{call.call_id}~1" if gone else call.call_id)
    [entry] = upstream.entries(call.call_id)
    assert (entry.prompt_tokens, entry.completion_tokens) == (expected.prompt, expected.completion)


@pytest.mark.parametrize("stream", [True, False])
def test_no_usage_is_asked_for_later(caller: Caller, upstream: LocalUpstream, stream: bool) -> None:
    assert caller.post("no_usage", stream=stream).status_code == 200

    [estimate] = metered(caller.customer)
    assert estimate.flags == ("estimated",)
    counted_later(caller, upstream, event("no_usage"))


def test_a_cut_stream_says_so_and_is_billed_as_far_as_it_came(caller: Caller, upstream: LocalUpstream) -> None:
    answer = caller.post("cut_stream=2")

    assert answer.status_code == 200
    *_, broken = [line for line in answer.content.split(b"\n\n") if line.startswith(b"data: {")]
    assert json.loads(broken.removeprefix(b"data: "))["error"]["code"] == 502
    counted_later(caller, upstream, event("cut_stream=2", completion=10))


def test_a_body_that_breaks_off_is_an_error_and_is_billed(caller: Caller, upstream: LocalUpstream) -> None:
    assert caller.post("cut_stream=0", stream=False).status_code == 502

    counted_later(caller, upstream, event("cut_stream=0"))


@pytest.mark.parametrize("read", [lambda answer: None, lambda answer: next(answer.iter_content(300))])
def test_who_hangs_up_pays_for_the_whole_answer(
    caller: Caller, upstream: LocalUpstream, read: Callable[[requests.Response], object]
) -> None:
    with caller.post("slow_chunks=0.05", lazy=True) as answer:
        read(answer)

    assert metered(caller.customer) == [event("slow_chunks=0.05")]
    check_against_log(caller.customer, upstream)
