"""The official JavaScript clients, unmodified, through the gateway: only the base URL is ours, every call is one event."""

from __future__ import annotations

from gateway.localupstream.answers import text_of
from tests.gateway.events import Metered, check_against_log, metered
from tests.gateway.local import LocalUpstream
from tests.gateway.shop import new_customer
from tests.gateway.site import Site
from tests.nodejs import RunNode

#: See test_sdk_python.
ANSWER = text_of(0, 28)
CHAT = Metered("openai/gpt-5-mini", "openai/gpt-5-mini-2025-08-07", 12, 28, "0.000059")


def test_openai(site: Site, upstream: LocalUpstream, run_node: RunNode) -> None:
    customer, key = new_customer()

    answer = run_node("openai_calls.mjs", f"{site.url}/v1", key)

    for name in ("chat", "stream"):
        assert answer[name]["text"] == ANSWER
        assert answer[name]["usage"]["total_tokens"] == 40
    for name in ("response", "responseStream"):
        assert answer[name]["text"] == ANSWER
        assert (answer[name]["usage"]["input_tokens"], answer[name]["usage"]["output_tokens"]) == (12, 28)
    assert (answer["embedding"]["size"], answer["embedding"]["usage"]["total_tokens"]) == (8, 12)
    assert answer["image"]["starts"] == "iVBORw0K"
    assert answer["transcription"]["text"] == text_of(0, 27)
    assert answer["refusals"] == [
        {"name": "AuthenticationError", "status": 401, "code": 401, "type": "authentication"},
        {"name": "NotFoundError", "status": 404, "code": 404, "type": "not_found"},
        {"name": "RateLimitError", "status": 429, "code": 429, "type": "rate_limit_exceeded"},
    ]
    assert metered(customer, count=7) == [
        *[CHAT] * 4,
        Metered("openai/text-embedding-3-small", "openai/text-embedding-3-small", 12, 0, "0.00000024"),
        Metered("openai/gpt-5-image-mini", "openai/gpt-5-image-mini", 12, 272, "0.000574"),
        Metered("openai/gpt-4o-mini-transcribe", "openai/gpt-4o-mini-transcribe", 28, 27, "0.00017"),
    ]
    check_against_log(customer, upstream, count=7)


def test_openrouters_sdk_and_its_ai_sdk_provider(site: Site, upstream: LocalUpstream, run_node: RunNode) -> None:
    customer, key = new_customer()

    answer = run_node("openrouter_calls.mjs", f"{site.url}/api/v1", key)

    for name in ("chat", "stream"):
        assert answer[name]["text"] == ANSWER
        usage = answer[name]["usage"]
        assert (usage["promptTokens"], usage["completionTokens"], usage["cost"]) == (12, 28, 0.000059)
    for name in ("generated", "streamed"):
        assert answer[name]["text"] == ANSWER
        assert (answer[name]["usage"]["inputTokens"], answer[name]["usage"]["outputTokens"]) == (12, 28)
    assert answer["metadata"]["cost"] == 0.000059
    assert answer["refusal"] == {"name": "NotFoundResponseError", "status": 404, "code": 404}
    assert metered(customer, count=4) == [CHAT] * 4
    check_against_log(customer, upstream, count=4)
