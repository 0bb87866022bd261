"""Answers that come at once: JSON bodies by route, errors, `/generation`."""

from __future__ import annotations

import base64
import hashlib
import struct

import orjson

from .answers import Answer, text_of, usage_json
from .journal import Entry

_PIXEL = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
        "0000000d49444154789c6360000002000001e221bc330000000049454e44ae426082"
    )
).decode()
_DIMENSIONS = 8
_GENERATION_NULLS = (
    "api_type",
    "app_id",
    "cache_discount",
    "external_user",
    "generation_time",
    "http_referer",
    "latency",
    "moderation_latency",
    "native_tokens_completion_images",
    "num_fetches",
    "num_input_audio_prompt",
    "num_media_completion",
    "num_media_prompt",
    "num_search_results",
    "preset_id",
    "provider_responses",
    "router",
    "service_tier",
    "upstream_id",
    "upstream_inference_cost",
    "user_agent",
    "web_search_engine",
    "workspace_id",
)


def body_of(answer: Answer) -> tuple[str, bytes]:
    """Content type and body of a whole answer."""
    if answer.ask.route == "audio/transcriptions" and answer.ask.body.get("response_format") == "text":
        return "text/plain; charset=utf-8", (text_of(0, answer.completion) + "\n").encode()
    usage = "" if answer.ask.knobs.no_usage else f',"usage":{usage_json(answer)}'
    make = {
        "chat/completions": _chat,
        "completions": _chat,
        "responses": _responses,
        "messages": _messages,
        "embeddings": _embeddings,
        "images/generations": _images,
        "audio/transcriptions": _transcription,
    }[answer.ask.route]
    return "application/json", (make(answer)[:-1] + usage + "}").encode()


def error_of(status: int, message: str, *, route: str, is_openrouter: bool) -> bytes:
    """An error object, as the API that was asked speaks it."""
    if is_openrouter:
        return orjson.dumps({"error": {"code": status, "message": message, "metadata": {"provider_name": "Local"}}})
    kind = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}.get(status)
    kind = kind or ("invalid_request_error" if status < 500 else "api_error")
    if route == "messages":
        return orjson.dumps({"type": "error", "error": {"type": kind, "message": message}})
    return orjson.dumps({"error": {"message": message, "type": kind, "param": None, "code": None}})


def generation_of(entry: Entry) -> bytes:
    """`GET /generation`: what one request came to."""
    cost = orjson.Fragment(entry.cost_usd)
    told = {
        "id": entry.id,
        "request_id": entry.client_request_id or None,
        "model": entry.served_model,
        "created_at": entry.at,
        "usage": cost,
        "total_cost": cost,
        "is_byok": False,
        "origin": "",
        "data_region": "global",
        "cancelled": entry.ending == "cut",
        "finish_reason": entry.finish_reason,
        "native_finish_reason": entry.finish_reason,
        "provider_name": "Local",
        "streamed": entry.is_stream,
        "tokens_prompt": entry.prompt_tokens,
        "tokens_completion": entry.completion_tokens,
        "native_tokens_prompt": entry.prompt_tokens,
        "native_tokens_completion": entry.completion_tokens,
        "native_tokens_cached": entry.cached_tokens,
        "native_tokens_reasoning": entry.reasoning_tokens,
    }
    return orjson.dumps({"data": told | dict.fromkeys(_GENERATION_NULLS)})


def json_text(text: str | None) -> str:
    """A text or null as JSON."""
    return orjson.dumps(text).decode()


def _chat(answer: Answer) -> str:
    text = text_of(0, answer.ask.completion_tokens)
    is_chat = answer.ask.route == "chat/completions"
    said = f'"message":{{"role":"assistant","content":"{text}","refusal":null}}' if is_chat else f'"text":"{text}"'
    reason = json_text(answer.finish_reason)
    choices = ",".join(
        f'{{"index":{index},{said},"logprobs":null,"finish_reason":{reason}}}' for index in range(answer.ask.n)
    )
    kind = "chat.completion" if is_chat else "text_completion"
    provider = '"provider":"Local",' if answer.is_openrouter else ""
    return (
        f'{{"id":"{answer.id}",{provider}"object":"{kind}","created":{answer.created},'
        f'"model":{json_text(answer.model)},"system_fingerprint":null,"choices":[{choices}]}}'
    )


def response_json(answer: Answer, status: str, output: str) -> str:
    """A Responses object without usage; `output` is the JSON of its items."""
    limited = '{"reason":"max_output_tokens"}' if status == "incomplete" else "null"
    return (
        f'{{"id":"{answer.id}","object":"response","created_at":{answer.created},"status":"{status}","error":null,'
        f'"incomplete_details":{limited},"instructions":null,"metadata":{{}},"model":{json_text(answer.model)},'
        f'"output":[{output}],"parallel_tool_calls":true,"temperature":1.0,"tool_choice":"auto","tools":[],"top_p":1.0,'
        f'"max_output_tokens":{json_text(None) if answer.ask.max_tokens is None else answer.ask.max_tokens},'
        f'"presence_penalty":0,"frequency_penalty":0}}'
    )


def message_item(answer: Answer, status: str, text: str | None) -> str:
    """The output item of a Responses object; without text, as it stands when it begins."""
    content = "" if text is None else f'{{"type":"output_text","text":"{text}","annotations":[]}}'
    return f'{{"id":"msg_{answer.id}","type":"message","status":"{status}","role":"assistant","content":[{content}]}}'


def _responses(answer: Answer) -> str:
    status = "incomplete" if answer.ask.is_limited else "completed"
    return response_json(answer, status, message_item(answer, status, text_of(0, answer.completion)))


def stop_reason(answer: Answer) -> str:
    """Anthropic's word for why it ended, as JSON."""
    return json_text({"stop": "end_turn", "length": "max_tokens"}.get(answer.finish_reason or ""))


def _messages(answer: Answer) -> str:
    return (
        f'{{"id":"{answer.id}","type":"message","role":"assistant","model":{json_text(answer.model)},'
        f'"content":[{{"type":"text","text":"{text_of(0, answer.completion)}"}}],'
        f'"stop_reason":{stop_reason(answer)},"stop_sequence":null}}'
    )


def _embeddings(answer: Answer) -> str:
    asked = answer.ask.body.get("input")
    is_list = isinstance(asked, list) and bool(asked) and not isinstance(asked[0], int | float)
    inputs = asked if is_list and isinstance(asked, list) else [asked]
    size = int(answer.ask.body.get("dimensions") or _DIMENSIONS)
    rows = []
    for index, entry in enumerate(inputs):
        digest = hashlib.sha256(orjson.dumps(entry)).digest()
        vector = [(digest[place % 32] - 128) / 128 for place in range(size)]
        if answer.ask.body.get("encoding_format") == "base64":
            shown = f'"{base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()}"'
        else:
            shown = orjson.dumps(vector).decode()
        rows.append(f'{{"object":"embedding","index":{index},"embedding":{shown}}}')
    named = f'"id":"{answer.id}",' if answer.is_openrouter else ""
    return f'{{{named}"object":"list","data":[{",".join(rows)}],"model":{json_text(answer.model)}}}'


def _images(answer: Answer) -> str:
    images = ",".join([f'{{"b64_json":"{_PIXEL}"}}'] * answer.ask.n)
    return f'{{"created":{answer.created},"data":[{images}]}}'


def _transcription(answer: Answer) -> str:
    return f'{{"text":"{text_of(0, answer.completion)}"}}'
