"""`/generation` as OpenRouter's clients read it: the event, and what the gateway knows of the call behind it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponseBase

from catalog.api.answers import read_only
from gateway.models import CallAttempt, GatewayCall
from usage.api.openrouter import answer
from usage.api.openrouter import generation as event_of_generation

_API_TYPES = {"embeddings": "embeddings", "images/generations": "image", "audio/transcriptions": "stt"}
_NAMED_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "completed": "stop",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


@read_only
def generation(request: HttpRequest) -> HttpResponseBase:
    """One of the customer's own events, by our id or its upstream's. Times are whole milliseconds; an event that did not
    come through the gateway has none.
    """
    shape = event_of_generation(request)
    call = GatewayCall.objects.filter(call_id=shape["id"]).first()
    return answer(request, shape if call is None else shape | _of_call(call))


def _of_call(call: GatewayCall) -> dict[str, Any]:
    begun = CallAttempt.objects.filter(call=call, first_byte_at__isnull=False).order_by("-number").first()
    first_byte_at = None if begun is None else begun.first_byte_at
    return {
        "api_type": _API_TYPES.get(call.route, "completions"),
        "streamed": call.is_stream,
        "finish_reason": _NAMED_REASONS.get(call.finish_reason, call.finish_reason) or None,
        "native_finish_reason": call.finish_reason or None,
        "latency": _milliseconds(call.started_at, first_byte_at),
        "generation_time": _milliseconds(first_byte_at, call.finished_at),
        "request_id": call.call_id,
    }


def _milliseconds(start: datetime | None, end: datetime | None) -> int | None:
    return None if start is None or end is None else round((end - start).total_seconds() * 1000)
