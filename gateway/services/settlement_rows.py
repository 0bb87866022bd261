"""Endings as the rows of `gateway_settle`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from gateway.calls import Outcome
from gateway.services.metering import Ending, is_name

#: After an estimate the upstream is asked so long afterwards, and then ever less often (`gateway.services.sweeping`).
FIRST_ASK = timedelta(seconds=30)


def alias_rows(endings: Iterable[Ending]) -> list[dict[str, Any]]:
    """Under which ids upstreams know the events."""
    return [
        {
            "customer_id": ending.call.customer_id,
            "upstream_id": ending.outcome.upstream_generation_id,
            "event_id": ending.event_id,
        }
        for ending in endings
        if ending.event_id
        and is_name(ending.outcome.upstream_generation_id)
        and ending.outcome.upstream_generation_id != ending.event_id
    ]


def settlement_row(ending: Ending, *, now: datetime) -> dict[str, Any]:
    """What `gateway_settle` writes into the call, and by what it releases the hold."""
    outcome = ending.outcome
    return {
        "call_id": ending.call.call_id,
        "customer_id": ending.call.customer_id,
        "api_key_id": ending.call.api_key_id,
        "was": ending.call.status,
        "status": ending.status,
        "event_id": ending.event_id,
        "served_model": ending.served_model if ending.event_id else "",
        "dialect": ending.dialect,
        "upstream_id": outcome.upstream_id,
        "upstream_generation_id": _upstream_name(outcome),
        "finish_reason": _short(outcome.finish_reason, 40),
        "error_code": _short(outcome.error_code, 60),
        "answered_bytes": outcome.answered_bytes,
        "answered_chunks": outcome.answered_chunks,
        "finished_at": outcome.finished_at,
        "flags": list(dict.fromkeys(ending.flags)),
        "tokens": ending.tokens,
        "cost_usd": None if ending.cost_usd is None else format(ending.cost_usd, "f"),
        "next_ask_at": now + FIRST_ASK if ending.status == "estimated" else None,
    }


def attempt_rows(endings: Iterable[Ending]) -> list[dict[str, Any]]:
    """Every try at an upstream."""
    return [
        {
            "call_id": ending.call.call_id,
            "number": attempt.number,
            "upstream_id": attempt.upstream_id,
            "key_id": attempt.key_id,
            "started_at": attempt.started_at,
            "first_byte_at": attempt.first_byte_at,
            "status": attempt.status,
            "error_code": _short(attempt.error_code, 60),
            "upstream_generation_id": _short(attempt.upstream_generation_id or "", 200) or None,
        }
        for ending in endings
        for attempt in ending.outcome.attempts
    ]


def _upstream_name(outcome: Outcome) -> str | None:
    return outcome.upstream_generation_id if is_name(outcome.upstream_generation_id) else None


def _short(text: str, longest: int) -> str:
    return text[:longest] if text.isprintable() else ""
