"""What of a request's head is read, and what of it reaches the upstream."""

from __future__ import annotations

import json

import pytest

from gateway.calls import CallRefused
from gateway.edge.answers import error_body, failure_in_stream, scrubbed_error
from gateway.edge.heads import Head
from gateway.upstreams import Target

TARGET = Target(1, 1, "up", "https://up.example/v1", "openrouter", secret="sk-up")

SENT = [
    (b"authorization", b"Bearer sk-jeongsan-ours"),
    (b"cookie", b"session=1"),
    (b"user-agent", b"OpenAI/Python 3.52 (Darwin; Kim's laptop)"),
    (b"x-forwarded-for", b"203.0.113.9"),
    (b"x-real-ip", b"203.0.113.9"),
    (b"forwarded", b"for=203.0.113.9"),
    (b"x-stainless-os", b"MacOS"),
    (b"x-openwebui-user-email", b"kim@example.kr"),
    (b"openai-organization", b"org-1"),
    (b"idempotency-key", b"idem-1"),
    (b"http-referer", b"https://desk.example"),
    (b"x-title", "상담".encode()),
    (b"x-openrouter-categories", b"cli-agent"),
    (b"anthropic-version", b"2023-06-01"),
    (b"anthropic-beta", b"context-1m"),
    (b"content-type", b"application/json"),
    (b"accept-encoding", b"gzip, br"),
]


def test_only_the_app_and_what_the_api_needs_go_along() -> None:
    head = Head.read(SENT)
    assert head.along(
        TARGET, route="chat/completions", call_id="gen-1", content_type="application/json", is_stream=True
    ) == {
        "Authorization": "Bearer sk-up",
        "Content-Type": "application/json",
        "Accept": "text/event-stream",
        "Accept-Encoding": "identity",
        "User-Agent": "jeongsan",
        "X-Client-Request-Id": "gen-1",
        "HTTP-Referer": "https://desk.example",
        "X-Title": "상담",
        "X-OpenRouter-Categories": "cli-agent",
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "context-1m",
    }
    assert head.app() == ("상담", "https://desk.example")
    assert head.idempotency_key() == "idem-1"


def test_anthropic_itself_gets_the_key_where_it_looks_for_it() -> None:
    plain = Target(1, 1, "up", "https://up.example/v1", "openai", secret="sk-up")
    along = Head.read([]).along(plain, route="messages", call_id="g", content_type="application/json", is_stream=False)
    assert along["x-api-key"] == "sk-up"
    assert "x-api-key" not in Head.read([]).along(
        plain, route="responses", call_id="g", content_type="application/json", is_stream=False
    )


def test_where_the_key_is_looked_for() -> None:
    assert Head.read([(b"authorization", b"bearer  k ")]).key("responses") == "k"
    assert Head.read([(b"authorization", b"Basic k")]).key("responses") == ""
    assert Head.read([(b"x-api-key", b"k")]).key("messages") == "k"
    assert Head.read([(b"x-api-key", b"k")]).key("responses") == ""
    with pytest.raises(CallRefused) as refused:
        Head.read([(b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")])
    assert refused.value.status == 401


def test_a_header_can_neither_be_smuggled_nor_overflow() -> None:
    head = Head.read(
        [(b"x-title", b"a\x00b" + b"c" * 400), (b"http-referer", b"\xff"), (b"idempotency-key", b"k" * 256)]
    )
    along = head.along(TARGET, route="responses", call_id="g", content_type="application/json", is_stream=False)
    assert "X-Title" not in along
    assert head.app() == ("ab" + "c" * 298, "ÿ")
    with pytest.raises(CallRefused) as refused:
        head.idempotency_key()
    assert refused.value.status == 400


def test_errors_in_the_shape_of_each_family_of_clients() -> None:
    refused = CallRefused(402, "payment_required", "no money", metadata={"affordable_max_tokens": 7})
    assert json.loads(error_body("chat/completions", refused, call_id="gen-1")) == {
        "error": {
            "message": "no money",
            "type": "payment_required",
            "code": 402,
            "param": None,
            "metadata": {"error_type": "payment_required", "affordable_max_tokens": 7},
        },
        "request_id": "gen-1",
    }
    assert json.loads(error_body("messages", refused)) == {
        "type": "error",
        "error": {"type": "billing_error", "message": "no money", "metadata": {"affordable_max_tokens": 7}},
        "request_id": None,
    }


def test_a_broken_stream_ends_with_an_error_where_its_client_looks() -> None:
    chat = failure_in_stream("chat/completions", status=502, message="broke")
    first, done, rest = chat.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    assert json.loads(first.removeprefix(b"data: ")) == {
        "error": {"code": 502, "message": "broke", "type": "provider_unavailable", "metadata": {}},
        "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}],
    }
    assert failure_in_stream("messages", status=502, message="broke") == (
        b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"broke"}}\n\n'
    )
    assert failure_in_stream("responses", status=502, message="broke").startswith(
        b'event: error\ndata: {"type":"error",'
    )


def test_an_upstreams_error_loses_our_account_and_never_shows_our_key() -> None:
    body = b'{"error":{"message":"bad n","code":400}}'
    assert scrubbed_error(body, secrets=("sk-up",)) == body
    named = b'{"error":{"message":"\xeb\x82\x98","code":400},"user_id":"org_1"}'
    assert json.loads(scrubbed_error(named, secrets=("sk-up",)) or b"") == {"error": {"message": "나", "code": 400}}
    assert scrubbed_error(b'{"error":{"message":"key sk-up is wrong"}}', secrets=("sk-up",)) is None
    assert scrubbed_error(b"<html>", secrets=("sk-up",)) is None
    assert scrubbed_error(b"[]", secrets=("sk-up",)) is None
