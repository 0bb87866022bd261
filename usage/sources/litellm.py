"""A LiteLLM proxy's generic API callback: one standard logging object in, one event of ours out.

Only the fields named here are ever decoded. Prompts and answers (`messages`, `response`, error texts) are passed over as
bytes by the decoder and become no object that anything could store or log.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec

from usage.events import MAX_APP_CHARS, MAX_NAME_CHARS, EventRefused

#: Calls that are measured in tokens; asynchronous ones carry an "a" in front.
TOKEN_CALLS = frozenset(
    {
        "completion",
        "text_completion",
        "embedding",
        "responses",
        "anthropic_messages",
        "generate_content",
        "generate_content_stream",
    }
)
#: LiteLLM's provider names where the catalog's model ids begin with another word.
_AUTHORS = {
    "azure": "openai",
    "text-completion-openai": "openai",
    "gemini": "google",
    "vertex_ai": "google",
    "mistral": "mistralai",
    "xai": "x-ai",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_SECONDS = Decimal(253_402_300_799)  # the end of the year 9999
_WRAPPED_ID = "resp_"
_ID_MARK = "response_id:"
_NULL = b"null"
_NOTHING = msgspec.Raw(_NULL)
#: A text, also one that never ends, or a number that Python's json writes and JSON has not.
_TEXT_OR_NAN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|-?(?:NaN|Infinity)', re.DOTALL)
#: In a text: an escaped backslash, a surrogate pair, or half of one.
_ESCAPES = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


class _Named(msgspec.Struct):
    jeongsan_customer: str | None = None


class _Details(msgspec.Struct):
    cache_creation_token_details: msgspec.Raw = _NOTHING
    web_search_requests: msgspec.Raw = _NOTHING


class _Metadata(msgspec.Struct):
    usage_object: msgspec.Raw = _NOTHING
    user_api_key_alias: str | None = None
    user_api_key_team_alias: str | None = None
    user_api_key_end_user_id: str | None = None
    user_api_key_auth_metadata: msgspec.Raw = _NOTHING
    requester_metadata: msgspec.Raw = _NOTHING
    spend_logs_metadata: msgspec.Raw = _NOTHING


class _Payload(msgspec.Struct):
    id: str | None = None
    litellm_call_id: str | None = None
    call_type: str | None = None
    status: str | None = None
    cache_hit: bool | None = None
    custom_llm_provider: str | None = None
    model: str | None = None
    model_group: str | None = None
    startTime: Decimal | None = None
    end_user: str | None = None
    metadata: _Metadata | None = None


_PAYLOAD = msgspec.json.Decoder(_Payload)
_NAMED = msgspec.json.Decoder(_Named)
_DETAILS = msgspec.json.Decoder(_Details)
_USAGE = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENCODER = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Skipped:
    """A call that costs nothing here, and why: `failed_call`, or `answered_from_cache` by the proxy itself."""

    event_id: str | None
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class ProxyCall:
    """A billable call. `keys` name the customer as the proxy's administrator set it on a key, `teams` are slugs only if a
    customer is called so; `requests` and `users` are what the calling client says, believed last.
    """

    event_id: str
    requested_model: str
    served_model: str
    occurred_at: datetime
    dialect: str
    usage: msgspec.Raw
    app_title: str
    key_customer: str | None
    team: str | None
    request_customer: str | None
    end_user: str | None

    def customer_names(self) -> Iterator[tuple[str, bool]]:
        """(name, whether it is meant for us) from the most to the least trustworthy; a name that is not meant for us
        counts only where a customer is called so.
        """
        for name, is_ours in (
            (self.key_customer, True),
            (self.team, False),
            (self.request_customer, True),
            (self.end_user, False),
        ):
            if name:
                yield name, is_ours

    def line(self, *, customer: str | None = None, api_key: str | None = None) -> bytes:
        """The event as `ingest_events` takes it, for a customer's slug or a key's prefix."""
        event = {
            "id": self.event_id,
            "customer": customer,
            "api_key": api_key,
            "requested_model": self.requested_model,
            "model": self.served_model,
            "occurred_at": self.occurred_at.isoformat(),
            "dialect": self.dialect,
            "usage": self.usage,
            "app": {"title": self.app_title},
        }
        return _ENCODER.encode(event)


def read_call(raw: bytes) -> ProxyCall | Skipped:
    """One standard logging object. Raises EventRefused with the field, as LiteLLM names it, and never its value."""
    payload = _decoded(raw)
    try:
        return _read(payload)
    except EventRefused as refused:
        refused.event_id = _event_id(payload)
        raise


def _decoded(raw: bytes) -> _Payload:
    try:
        return _leniently_decoded(raw)
    except msgspec.ValidationError as error:  # names types and the path, never values
        problem, _, path = str(error).partition(" - at `")
        raise EventRefused(path.rstrip("`").removeprefix("$.") or "event", problem[:1].lower() + problem[1:]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise EventRefused("event", "is not JSON") from None


def _leniently_decoded(raw: bytes) -> _Payload:
    """The proxy sends nothing twice: an answer with NaN among its probabilities must not cost the whole call."""
    try:
        return _PAYLOAD.decode(raw)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        return _PAYLOAD.decode(_strict_json(raw))


def _strict_json(raw: bytes) -> bytes:
    """The same with "NaN", which no field takes for a number, for numbers that are none, and with the replacement character
    where a text was cut inside a surrogate pair.
    """
    return _replaced(_TEXT_OR_NAN, raw, _strict_piece)


def _strict_piece(found: re.Match[bytes]) -> bytes | None:
    text = found[0]
    if text[:1] != b'"':
        return b'"NaN"'
    if b"\\ud" in text or b"\\uD" in text:
        return _replaced(_ESCAPES, text, lambda escape: b"\\ufffd" if escape["half"] else None)
    return None


def _replaced(pattern: re.Pattern[bytes], raw: bytes, new: Callable[[re.Match[bytes]], bytes | None]) -> bytes:
    """As `pattern.sub`, in the memory of one more body however much matches; None leaves a match as it is."""
    changed, end = bytearray(), 0
    for found in pattern.finditer(raw):
        text = new(found)
        if text is not None:
            changed += raw[end : found.start()]
            changed += text
            end = found.end()
    changed += raw[end:]
    return bytes(changed)


def _read(payload: _Payload) -> ProxyCall | Skipped:
    event_id = _event_id(payload)
    if payload.status == "failure":
        return Skipped(event_id, "failed_call", "the call failed, and the proxy names no usage of it")
    if payload.status != "success":
        raise EventRefused("status", "must be success or failure")
    if payload.cache_hit:
        return Skipped(event_id, "answered_from_cache", "the proxy answered from its own cache: nothing was bought")
    if event_id is None:
        raise EventRefused("id", "is missing")
    call_type = payload.call_type or ""
    if call_type.removeprefix("a") not in TOKEN_CALLS and call_type not in TOKEN_CALLS:
        raise EventRefused("call_type", "is no call that is measured in tokens: hand it in as an event with its counts")
    metadata = payload.metadata or _Metadata()
    served_model = _served_model(payload)
    is_openrouter = payload.custom_llm_provider == "openrouter"
    alias = metadata.user_api_key_alias or ""
    return ProxyCall(
        event_id=event_id,
        requested_model=_short(payload.model_group) or served_model,
        served_model=served_model,
        occurred_at=_instant(payload.startTime),
        # LiteLLM states every provider's usage in OpenAI's shape, cache inside the prompt. Its `cost` is the upstream's own
        # only behind OpenRouter; elsewhere it is LiteLLM's estimate, which the OpenAI dialect does not read.
        dialect="openrouter" if is_openrouter else "openai_chat",
        usage=_usage(metadata.usage_object),
        app_title=alias if alias.isprintable() and len(alias) <= MAX_APP_CHARS else "",
        key_customer=_customer_in(metadata.user_api_key_auth_metadata),
        team=_short(metadata.user_api_key_team_alias),
        request_customer=_customer_in(metadata.requester_metadata) or _customer_in(metadata.spend_logs_metadata),
        end_user=_short(metadata.user_api_key_end_user_id) or _short(payload.end_user),
    )


def _event_id(payload: _Payload) -> str | None:
    """The upstream's id of the response. The proxy wraps those of the responses API; without one, its own call's id."""
    event_id = payload.id or ""
    if event_id.startswith(_WRAPPED_ID):
        try:
            text = base64.b64decode(event_id.removeprefix(_WRAPPED_ID), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            text = ""
        event_id = text.partition(_ID_MARK)[2] or event_id
    return _short(event_id) or _short(payload.litellm_call_id)


def _short(text: str | None) -> str | None:
    return text if text and len(text) <= MAX_NAME_CHARS and text.isprintable() else None


def _served_model(payload: _Payload) -> str:
    model = payload.model
    if not model:
        raise EventRefused("model", "is missing")
    provider = payload.custom_llm_provider
    if "/" not in model and provider and provider != "openrouter":
        model = f"{_AUTHORS.get(provider, provider)}/{model}"
    if _short(model) is None:
        raise EventRefused("model", f"must have 1 to {MAX_NAME_CHARS} characters that can be printed")
    return model


def _instant(seconds: Decimal | None) -> datetime:
    if seconds is None:
        raise EventRefused("startTime", "is missing")
    if not seconds.is_finite() or not 0 <= seconds <= _LATEST_SECONDS:
        raise EventRefused("startTime", "is no time in seconds since 1970")
    return _EPOCH + timedelta(microseconds=int(seconds * 1_000_000))


def _usage(raw: msgspec.Raw) -> msgspec.Raw:
    """The usage object as it came, byte for byte, so that whoever reads it sees what is wrong with it. Writes that the
    cache keeps for an hour and web searches are named once more where the dialect looks for them.
    """
    if bytes(raw) == _NULL:
        raise EventRefused("metadata.usage_object", "is missing: without it nobody knows what the cache served")
    try:
        usage = _USAGE.decode(raw)
        stated = usage.get("prompt_tokens_details", _NOTHING)
        details = _Details() if bytes(stated) == _NULL else _DETAILS.decode(stated)
    except msgspec.ValidationError:
        raise EventRefused("metadata.usage_object", "must be an object of counts") from None
    named: dict[str, object] = {}
    if bytes(details.cache_creation_token_details) != _NULL and "cache_creation" not in usage:
        named["cache_creation"] = details.cache_creation_token_details
    if bytes(details.web_search_requests) != _NULL and "server_tool_use_details" not in usage:
        named["server_tool_use_details"] = {"web_search_requests": details.web_search_requests}
    return msgspec.Raw(_ENCODER.encode(named)[:-1] + b"," + bytes(raw)[1:]) if named else raw


def _customer_in(raw: msgspec.Raw) -> str | None:
    """`jeongsan_customer` of a metadata object that holds whatever people put there."""
    try:
        return _short(_NAMED.decode(raw).jeongsan_customer)
    except msgspec.ValidationError:
        return None
