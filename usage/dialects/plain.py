"""The usual usage objects, read in one pass: the same reading as `read_usage` at a tenth of its cost, or none at all.

A body is plain when it has only the fields below, in their types, and nothing about it is odd. Everything else (an unknown
field, a flag, a contradiction, a refusal) is left to `read_usage`, which is the rule; this is its shortcut.
tests/usage/test_plain.py holds the two against each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from msgspec.structs import astuple

from catalog.pricing import Quantities

from .body import MAX_COUNT
from .extras import STANDARD_TIERS

#: A price of the upstream in USD, in bounds that need no second look: an int, a Decimal, or None for null.
_NUMBER = re.compile(rb"(?:0|[1-9][0-9]{0,8})(?:(\.[0-9]{1,28})|(\.[0-9]{1,18})?[eE]-0?[0-9])?")
_ENCODER = msgspec.json.Encoder(decimal_format="number")

_Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)] | None | UnsetType
_Word = Annotated[str, Meta(max_length=60)] | None | UnsetType
_Number = Raw | UnsetType
_Flag = bool | None | UnsetType


class Plain(NamedTuple):
    """What a plain body says. `canonical` is the usage object with sorted keys, no spaces, numbers as they were written."""

    quantities: Quantities
    upstream_cost_usd: Decimal | None
    canonical: bytes


# Fields stand in the order of their names: so they are written, and that is the canonical form.
class _Part(Struct, forbid_unknown_fields=True, kw_only=True, gc=False):
    """A part of a usage object."""


class _InputDetails(_Part):
    audio_tokens: _Count = UNSET
    cache_write_tokens: _Count = UNSET
    cached_tokens: _Count = UNSET
    image_tokens: _Count = UNSET
    text_tokens: _Count = UNSET
    video_tokens: _Count = UNSET


class _OutputDetails(_Part):
    accepted_prediction_tokens: _Count = UNSET
    audio_tokens: _Count = UNSET
    image_tokens: _Count = UNSET
    reasoning_tokens: _Count = UNSET
    rejected_prediction_tokens: _Count = UNSET
    text_tokens: _Count = UNSET


class _CostDetails(_Part):
    upstream_inference_completions_cost: _Number = UNSET
    upstream_inference_cost: _Number = UNSET
    upstream_inference_input_cost: _Number = UNSET
    upstream_inference_output_cost: _Number = UNSET
    upstream_inference_prompt_cost: _Number = UNSET


class _Searches(_Part):
    tool_calls_executed: _Count = UNSET
    tool_calls_requested: _Count = UNSET
    web_fetch_requests: _Count = UNSET
    web_search_requests: _Count = UNSET


class _Chat(_Part):
    completion_tokens: _Count = UNSET
    completion_tokens_details: _OutputDetails | UnsetType | None = UNSET
    cost: _Number = UNSET
    cost_details: _CostDetails | UnsetType | None = UNSET
    is_byok: _Flag = UNSET
    prompt_tokens: _Count = UNSET
    prompt_tokens_details: _InputDetails | UnsetType | None = UNSET
    server_tool_use_details: _Searches | UnsetType | None = UNSET
    service_tier: _Word = UNSET
    total_tokens: _Count = UNSET


class _Responses(_Part):
    cost: _Number = UNSET
    cost_details: _CostDetails | UnsetType | None = UNSET
    input_tokens: _Count = UNSET
    input_tokens_details: _InputDetails | UnsetType | None = UNSET
    is_byok: _Flag = UNSET
    output_tokens: _Count = UNSET
    output_tokens_details: _OutputDetails | UnsetType | None = UNSET
    service_tier: _Word = UNSET
    total_tokens: _Count = UNSET


class _Writes(_Part):
    ephemeral_1h_input_tokens: _Count = UNSET
    ephemeral_5m_input_tokens: _Count = UNSET


class _Thinking(_Part):
    thinking_tokens: _Count = UNSET


class _Messages(_Part):
    cache_creation: _Writes | UnsetType | None = UNSET
    cache_creation_input_tokens: _Count = UNSET
    cache_read_input_tokens: _Count = UNSET
    inference_geo: _Word = UNSET
    input_tokens: _Count = UNSET
    output_tokens: _Count = UNSET
    output_tokens_details: _Thinking | UnsetType | None = UNSET
    server_tool_use: _Searches | UnsetType | None = UNSET
    service_tier: _Word = UNSET


class _Modality(_Part):
    modality: _Word = UNSET
    tokenCount: _Count = UNSET


class _Gemini(_Part):
    cacheTokensDetails: list[_Modality] | UnsetType = UNSET
    cachedContentTokenCount: _Count = UNSET
    candidatesTokenCount: _Count = UNSET
    candidatesTokensDetails: list[_Modality] | UnsetType = UNSET
    promptTokenCount: _Count = UNSET
    promptTokensDetails: list[_Modality] | UnsetType = UNSET
    thoughtsTokenCount: _Count = UNSET
    totalTokenCount: _Count = UNSET
    trafficType: _Word = UNSET


def read_plain(dialect: str, raw: bytes | Raw) -> Plain | None:
    """The reading of a usage object in the declared dialect, or None where it is not plain.

    Blind to keys that are given twice: whoever calls compares the keys of `raw` with those of `canonical`.
    """
    reader = _READERS.get(dialect)
    if reader is None:
        return None
    try:
        return reader(raw)
    except msgspec.DecodeError:
        return None


def _read_chat(raw: bytes | Raw) -> Plain | None:
    body: _Chat = _CHAT(raw)
    if not _standard(body.service_tier) or not _read_numbers(body):
        return None
    quantities = _inclusive(
        body.prompt_tokens,
        body.completion_tokens,
        body.total_tokens,
        body.prompt_tokens_details,
        body.completion_tokens_details,
        body.server_tool_use_details,
    )
    return None if quantities is None else Plain(quantities, None, _ENCODER.encode(body))


def _read_responses(raw: bytes | Raw) -> Plain | None:
    body: _Responses = _RESPONSES(raw)
    if not _standard(body.service_tier) or not _read_numbers(body):
        return None
    quantities = _inclusive(
        body.input_tokens,
        body.output_tokens,
        body.total_tokens,
        body.input_tokens_details,
        body.output_tokens_details,
        UNSET,
    )
    return None if quantities is None else Plain(quantities, None, _ENCODER.encode(body))


def _read_openrouter(raw: bytes | Raw) -> Plain | None:
    """The chat shape alone; what an own key costs besides is not plain."""
    body: _Chat = _CHAT(raw)
    if body.is_byok is True or not _standard(body.service_tier) or not _read_numbers(body):
        return None
    quantities = _inclusive(
        body.prompt_tokens,
        body.completion_tokens,
        body.total_tokens,
        body.prompt_tokens_details,
        body.completion_tokens_details,
        body.server_tool_use_details,
    )
    if quantities is None:
        return None
    cost: Any = body.cost
    return Plain(quantities, Decimal(cost) if cost is not UNSET and cost is not None else None, _ENCODER.encode(body))


def _inclusive(prompt: Any, completion: Any, total: Any, inputs: Any, outputs: Any, searches: Any) -> Quantities | None:
    """Counts of the shapes in which every part is inside its whole."""
    if type(prompt) is not int or type(completion) is not int:
        return None
    if type(total) is int and total != prompt + completion:
        return None
    read = write = audio = reasoning = spoken = drawn = searched = 0
    if inputs:
        read, write, audio = inputs.cached_tokens or 0, inputs.cache_write_tokens or 0, inputs.audio_tokens or 0
        if read + write > prompt or audio > prompt:
            return None
        audio = min(audio, prompt - read - write)
    if outputs:
        reasoning = outputs.reasoning_tokens or 0
        spoken, drawn = outputs.audio_tokens or 0, outputs.image_tokens or 0
        if reasoning + spoken + drawn > completion:
            return None
    if searches:
        searched = searches.web_search_requests or 0
    return Quantities(prompt, completion, read, write, 0, reasoning, audio, spoken, drawn, 0, searched)


def _read_messages(raw: bytes | Raw) -> Plain | None:
    body: _Messages = _MESSAGES(raw)
    fresh, output = body.input_tokens, body.output_tokens
    if type(fresh) is not int or type(output) is not int:
        return None
    if not _standard(body.service_tier) or (body.inference_geo and body.inference_geo.lower() == "us"):
        return None
    read, write, one_hour = body.cache_read_input_tokens or 0, body.cache_creation_input_tokens or 0, 0
    if body.cache_creation:
        one_hour = body.cache_creation.ephemeral_1h_input_tokens or 0
        if write != one_hour + (body.cache_creation.ephemeral_5m_input_tokens or 0):
            return None
    thinking = (body.output_tokens_details.thinking_tokens or 0) if body.output_tokens_details else 0
    if thinking > output:
        return None
    searches = (body.server_tool_use.web_search_requests or 0) if body.server_tool_use else 0
    quantities = Quantities(fresh + read + write, output, read, write, one_hour, thinking, 0, 0, 0, 0, searches)
    return Plain(quantities, None, _ENCODER.encode(body))


def _read_gemini(raw: bytes | Raw) -> Plain | None:
    body: _Gemini = _GEMINI(raw)
    prompt, candidates, total = body.promptTokenCount, body.candidatesTokenCount, body.totalTokenCount
    if type(prompt) is not int or type(candidates) is not int or not _standard(body.trafficType):
        return None
    thoughts, read = body.thoughtsTokenCount or 0, body.cachedContentTokenCount or 0
    if total != prompt + candidates + thoughts or read > prompt:
        return None
    for details in (body.promptTokensDetails, body.cacheTokensDetails, body.candidatesTokensDetails):
        if details and any((part.modality or "").lower() != "text" for part in details):
            return None
    return Plain(Quantities(prompt, candidates + thoughts, read, 0, 0, thoughts), None, _ENCODER.encode(body))


def _standard(tier: str | UnsetType | None) -> bool:
    return not tier or tier.lower() in STANDARD_TIERS


def _read_numbers(body: Any) -> bool:
    """Put the values of the body's amounts in place of their texts; False where one is not plain."""
    if body.cost is not UNSET:
        body.cost = _number(body.cost)
        if body.cost is False:
            return False
    details = body.cost_details
    if details:
        for name, text in zip(_COST_NAMES, astuple(details), strict=True):
            if text is not UNSET:
                value = _number(text)
                if value is False:
                    return False
                setattr(details, name, value)
    return True


def _number(raw: Raw) -> Any:
    """The amount that a text says: an int, a Decimal, None for null; False for anything that is not plain."""
    text = bytes(raw)
    if text == b"null":
        return None
    found = _NUMBER.fullmatch(text)
    if found is None:
        return False
    return int(text) if text.isdigit() else Decimal(text.decode())


_COST_NAMES = _CostDetails.__struct_fields__
_CHAT = msgspec.json.Decoder(_Chat).decode
_RESPONSES = msgspec.json.Decoder(_Responses).decode
_MESSAGES = msgspec.json.Decoder(_Messages).decode
_GEMINI = msgspec.json.Decoder(_Gemini).decode
_READERS: dict[str, Callable[[bytes | Raw], Plain | None]] = {
    "openai_chat": _read_chat,
    "openai_responses": _read_responses,
    "openrouter": _read_openrouter,
    "anthropic_messages": _read_messages,
    "gemini": _read_gemini,
}
