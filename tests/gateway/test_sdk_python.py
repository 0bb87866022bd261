"""The official Python clients, unmodified, through the gateway: only the base URL is ours, and every call is one event."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

import openai
import pytest
import requests
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from openrouter import OpenRouter
from openrouter.errors import (
    NotFoundResponseError,
    PaymentRequiredResponseError,
    TooManyRequestsResponseError,
    UnauthorizedResponseError,
)
from pydantic import SecretStr

from gateway.localupstream.answers import text_of
from tests.gateway.events import Metered, check_against_log, events_of, metered
from tests.gateway.local import LocalUpstream
from tests.gateway.shop import new_customer, set_limits
from tests.gateway.site import Site

MODEL = "openai/gpt-5-mini"
SERVED = "openai/gpt-5-mini-2025-08-07"
#: 15 bytes: 12 prompt tokens with the frame, 28 tokens of answer (see gateway.localupstream).
HELLO = "안녕하세요"
ANSWER = text_of(0, 28)
#: 12 x 0.00000025 + 28 x 0.000002
CHAT = Metered(MODEL, SERVED, 12, 28, "0.000059")


@pytest.fixture
def client(site: Site) -> Iterator[openai.OpenAI]:
    """openai for a customer of this test; `client.customer` is who pays."""
    customer, key = new_customer()
    with openai.OpenAI(base_url=f"{site.url}/v1", api_key=key, max_retries=0) as made:
        made.customer = customer  # type: ignore[attr-defined]
        yield made


def hello(client: openai.OpenAI, **options: object) -> openai.types.chat.ChatCompletion:
    return client.chat.completions.create(  # type: ignore[call-overload,no-any-return]
        **({"model": MODEL, "messages": [{"role": "user", "content": HELLO}]} | options)
    )


def test_openai_chat(client: openai.OpenAI, upstream: LocalUpstream) -> None:
    answer = client.chat.completions.with_raw_response.create(
        model=MODEL,
        messages=[{"role": "user", "content": HELLO}],
        extra_headers={"X-Title": "Desk", "HTTP-Referer": "https://desk.example"},
    )

    chat = answer.parse()
    assert (chat.choices[0].message.content, chat.model) == (ANSWER, SERVED)
    assert chat.usage is not None
    assert (chat.usage.prompt_tokens, chat.usage.completion_tokens) == (12, 28)
    assert metered(client.customer) == [CHAT]  # type: ignore[attr-defined]
    [event] = events_of(client.customer)  # type: ignore[attr-defined]
    assert answer.headers["x-generation-id"] == event.event_id
    assert (event.dialect, event.app_title, event.app_referer) == ("openrouter", "Desk", "https://desk.example")
    check_against_log(client.customer, upstream)  # type: ignore[attr-defined]


def test_openai_streams(client: openai.OpenAI, upstream: LocalUpstream) -> None:
    asked = list(
        client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": HELLO}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    unasked = list(
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": HELLO}], stream=True)
    )

    for chunks in (asked, unasked):
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == ANSWER
    assert asked[-1].usage is not None
    assert asked[-1].usage.total_tokens == 40
    assert metered(client.customer, count=2) == [CHAT, CHAT]  # type: ignore[attr-defined]
    check_against_log(client.customer, upstream, count=2)  # type: ignore[attr-defined]


def test_openai_responses(client: openai.OpenAI, upstream: LocalUpstream) -> None:
    whole = client.responses.create(model=MODEL, input=HELLO)
    with client.responses.stream(model=MODEL, input=HELLO) as stream:
        streamed = stream.until_done().get_final_response()

    for answer in (whole, streamed):
        assert (answer.output_text, answer.status) == (ANSWER, "completed")
        assert answer.usage is not None
        assert (answer.usage.input_tokens, answer.usage.output_tokens) == (12, 28)
    assert metered(client.customer, count=2) == [CHAT, CHAT]  # type: ignore[attr-defined]
    check_against_log(client.customer, upstream, count=2)  # type: ignore[attr-defined]


def test_openai_vectors_images_and_recordings(client: openai.OpenAI, upstream: LocalUpstream) -> None:
    vectors = client.embeddings.create(model="openai/text-embedding-3-small", input=[HELLO])
    images = client.images.generate(model="openai/gpt-5-image-mini", prompt=HELLO, n=2)
    recording = BytesIO(b"\0" * 6400)
    heard = client.audio.transcriptions.create(model="openai/gpt-4o-mini-transcribe", file=("a.wav", recording))

    assert (len(vectors.data[0].embedding), vectors.usage.prompt_tokens) == (8, 12)
    assert images.data is not None
    assert [image.b64_json is not None for image in images.data] == [True, True]
    assert heard.text == text_of(0, 27)
    embedding, image, transcript = metered(client.customer, count=3)  # type: ignore[attr-defined]
    assert embedding == Metered("openai/text-embedding-3-small", "openai/text-embedding-3-small", 12, 0, "0.00000024")
    # 12 x 0.0000025 + 544 x 0.000002
    assert image == Metered("openai/gpt-5-image-mini", "openai/gpt-5-image-mini", 12, 544, "0.001118")
    # 28 x 0.00000125 + 27 x 0.000005
    assert transcript == Metered("openai/gpt-4o-mini-transcribe", "openai/gpt-4o-mini-transcribe", 28, 27, "0.00017")
    check_against_log(client.customer, upstream, count=3)  # type: ignore[attr-defined]


def test_the_served_model_is_billed(client: openai.OpenAI, upstream: LocalUpstream) -> None:
    hello(client, model="openrouter/auto")
    hello(client, extra_body={"models": [MODEL, "anthropic/claude-haiku-4.5"]})
    hello(client, model="openai/gpt-5-mini:nitro")

    assert metered(client.customer, count=3) == [  # type: ignore[attr-defined]
        Metered("openrouter/auto", "openai/gpt-5-nano-2025-08-07", 12, 28, "0.0000118"),
        Metered(MODEL, "anthropic/claude-4.5-haiku-20251001", 12, 28, "0.000152"),
        Metered("openai/gpt-5-mini:nitro", SERVED, 12, 28, "0.000059"),
    ]
    check_against_log(client.customer, upstream, count=3)  # type: ignore[attr-defined]


def error_of(error: openai.APIStatusError) -> tuple[object, str | None]:
    """The code, an integer in what was sent that equals the status, and the type."""
    assert isinstance(error.body, dict)
    assert error.body["code"] == error.status_code
    return error.body["code"], error.type


def test_openai_understands_refusals(client: openai.OpenAI, site: Site) -> None:
    with pytest.raises(openai.AuthenticationError) as nobody:
        hello(client.with_options(api_key="sk-jeongsan-" + "0" * 32))
    assert error_of(nobody.value) == (401, "authentication")
    with pytest.raises(openai.NotFoundError) as missing:
        hello(client, model="openai/gpt-5-minni")
    assert error_of(missing.value) == (404, "not_found")
    poor, key = new_customer()
    set_limits(poor, credit_limit_krw=1)
    with pytest.raises(openai.APIStatusError) as unpaid:
        hello(client.with_options(api_key=key), max_tokens=100_000)
    assert error_of(unpaid.value) == (402, "payment_required")
    hasty, key = new_customer()
    set_limits(hasty, rpm_limit=1)
    quick = client.with_options(api_key=key)
    hello(quick)
    with pytest.raises(openai.RateLimitError) as limited:
        hello(quick)
    assert error_of(limited.value) == (429, "rate_limit_exceeded")
    assert 0 < int(limited.value.response.headers["retry-after"]) <= 60
    assert metered(hasty) == [CHAT]
    assert metered(poor, count=0) == []


def test_openrouter(site: Site, upstream: LocalUpstream) -> None:
    customer, key = new_customer()
    with OpenRouter(api_key=key, server_url=f"{site.url}/api/v1", retry_config=None) as client:
        whole = client.chat.send(model=MODEL, messages=[{"role": "user", "content": HELLO}])
        with client.chat.send(model=MODEL, messages=[{"role": "user", "content": HELLO}], stream=True) as stream:
            chunks = list(stream)

        assert (whole.choices[0].message.content, whole.usage.cost) == (ANSWER, 0.000059)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ANSWER
        assert (chunks[-1].usage.total_tokens, chunks[-1].usage.cost) == (40, 0.000059)
        with pytest.raises(NotFoundResponseError) as missing:
            client.chat.send(model="openai/gpt-5-minni", messages=[{"role": "user", "content": HELLO}])
        assert missing.value.data.error.code == 404
        told = client.generations.get_generation(id=whole.id).data
        assert (told.native_tokens_prompt, told.native_tokens_completion, told.model) == (12, 28, MODEL)
    assert metered(customer, count=2) == [CHAT, CHAT]
    check_against_log(customer, upstream, count=2)


def test_openrouter_understands_refusals(site: Site) -> None:
    def send(key: str, **options: object) -> None:
        with OpenRouter(api_key=key, server_url=f"{site.url}/api/v1", retry_config=None) as client:
            client.chat.send(model=MODEL, messages=[{"role": "user", "content": HELLO}], **options)  # type: ignore[arg-type]

    with pytest.raises(UnauthorizedResponseError) as nobody:
        send("sk-jeongsan-" + "0" * 32)
    assert nobody.value.data.error.code == 401
    poor, key = new_customer()
    set_limits(poor, credit_limit_krw=1)
    with pytest.raises(PaymentRequiredResponseError) as unpaid:
        send(key, max_tokens=100_000)
    assert unpaid.value.data.error.code == 402
    hasty, key = new_customer()
    set_limits(hasty, rpm_limit=1)
    send(key)
    with pytest.raises(TooManyRequestsResponseError) as limited:
        send(key)
    assert limited.value.data.error.code == 429


def test_langchain(site: Site, upstream: LocalUpstream) -> None:
    customer, key = new_customer()
    base_url = f"{site.url}/v1"
    chat = ChatOpenAI(model=MODEL, base_url=base_url, api_key=SecretStr(key), max_retries=0, stream_usage=True)
    vectors = OpenAIEmbeddings(
        model="openai/text-embedding-3-small",
        base_url=base_url,
        api_key=SecretStr(key),
        max_retries=0,
        check_embedding_ctx_length=False,
    )

    whole = chat.invoke(HELLO)
    pieces = list(chat.stream(HELLO))

    assert whole.content == ANSWER
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["total_tokens"] == 40
    assert "".join(str(piece.content) for piece in pieces) == ANSWER
    assert len(vectors.embed_query(HELLO)) == 8
    assert metered(customer, count=3)[:2] == [CHAT, CHAT]
    check_against_log(customer, upstream, count=3)


@pytest.mark.parametrize("header", ["authorization", "x-api-key"])
def test_anthropic_messages(site: Site, upstream: LocalUpstream, header: str) -> None:
    customer, key = new_customer()
    headers = {header: f"Bearer {key}" if header == "authorization" else key, "anthropic-version": "2023-06-01"}
    text = "@upstream(cached=5, cache_write=3, completion=20)"  # 49 bytes: 13 tokens, 21 with the frame
    body = {"model": "anthropic/claude-haiku-4.5", "max_tokens": 50, "messages": [{"role": "user", "content": text}]}

    whole = requests.post(f"{site.url}/v1/messages", json=body, headers=headers, timeout=20).json()
    stream = requests.post(f"{site.url}/v1/messages", json=body | {"stream": True}, headers=headers, timeout=20)

    assert (whole["type"], whole["content"][0]["text"]) == ("message", text_of(0, 20))
    assert (whole["usage"]["input_tokens"], whole["usage"]["cache_read_input_tokens"]) == (13, 5)
    assert stream.text.count("event: content_block_delta") == 20
    assert stream.text.endswith('data: {"type":"message_stop"}\n\n')
    # 13 x 0.000001 + 5 x 0.0000001 + 3 x 0.00000125 + 20 x 0.000005
    event = Metered("anthropic/claude-haiku-4.5", "anthropic/claude-4.5-haiku-20251001", 21, 20, "0.00011725")
    assert metered(customer, count=2) == [event, event]
    check_against_log(customer, upstream, count=2)
