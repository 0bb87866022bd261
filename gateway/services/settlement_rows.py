"""Endings as the rows of `gateway_settle`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from gateway.calls import Attempt, Outcome
from gateway.services.metering import Ending, is_name

#: After an estimate the upstream is asked so long afterwards, and then ever less often (`gateway.services.sweeping`).
FIRST_ASK = timedelta(seconds=30)


def settlement_row(ending: Ending, *, now: datetime) -> dict[str, Any]:
    """What `gateway_settle` writes into the call, and by what it releases the hold."""
    outcome = ending.outcome
    return {
        "call_id": ending.call.call_id,
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
        "attempts": [_attempt(attempt) for attempt in outcome.attempts] or None,
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    """One try at an upstream, as the view `gateway_callattempt` reads it."""
    return {
        "number": attempt.number,
        "upstream_id": attempt.upstream_id,
        "key_id": attempt.key_id,
        "started_at": attempt.started_at,
        "first_byte_at": attempt.first_byte_at,
        "status": attempt.status,
        "error_code": _short(attempt.error_code, 60),
        "upstream_generation_id": _short(attempt.upstream_generation_id or "", 200) or None,
    }


def _upstream_name(outcome: Outcome) -> str | None:
    return outcome.upstream_generation_id if is_name(outcome.upstream_generation_id) else None


def _short(text: str, longest: int) -> str:
    return text[:longest] if text.isprintable() else ""
