"""From a call's outcome to its usage event: what was counted as it came, what nobody counted estimated and flagged, what
ended without an answer counted and free.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

from gateway.calls import GENERATING_ROUTES, Outcome
from gateway.estimates import likely_completion_tokens, likely_prompt_tokens
from usage.dialects import Flag, UsageRefused, read_usage
from usage.events import MAX_NAME_CHARS
from usage.models import UsageEvent
from usage.services.ingesting import Status, ingest_events

ACTOR = "gateway"
#: A finish reason that says that there was no answer.
_NO_ANSWER = frozenset({"", "error"})

logger = logging.getLogger(__name__)


class LockedCall(NamedTuple):
    """A call's row as a settlement needs it, locked."""

    call_id: str
    status: str
    customer_id: int
    api_key_id: int
    key_prefix: str
    route: str
    dialect: str
    requested_model: str
    app_title: str
    app_referer: str
    started_at: datetime
    prompt_bytes: int
    event_id: str | None
    is_billed: bool
    flags: list[str]
    hold_tokens: int
    granted_tokens: int
    is_metered: bool


@dataclass(slots=True)
class Ending:
    """An outcome with its call, on the way to becoming an event. `usage` None: nobody counted."""

    call: LockedCall
    outcome: Outcome
    usage: dict[str, Any] | None
    dialect: str
    served_model: str
    status: str = "settled"
    event_id: str | None = None
    flags: list[str] = field(default_factory=list)
    tokens: int = 0
    cost_usd: Decimal | None = None


def read_outcome(call: LockedCall, outcome: Outcome) -> Ending:
    """What an outcome says, before anything is stored."""
    usage, flags = _counted(outcome.usage)
    if outcome.upstream_generation_id is not None and not is_name(outcome.upstream_generation_id):
        logger.warning("call %s: the upstream's id is no id", call.call_id)
    served = outcome.served_model if is_name(outcome.served_model) else call.requested_model
    ending = Ending(call, outcome, usage, outcome.dialect or call.dialect, served, flags=flags)
    if usage is None and outcome.ending == "failed":
        ending.status = "failed"
    return ending


def _counted(usage: str | None) -> tuple[dict[str, Any] | None, list[str]]:
    """The usage object, or None and why there is none. What is null or no object counts nothing."""
    if usage is None:
        return None, []
    try:
        tree = orjson.loads(usage)
    except orjson.JSONDecodeError:
        return None, ["usage_unreadable"]
    if tree is None:
        return None, []
    return (tree, []) if isinstance(tree, dict) and tree else (None, ["usage_unreadable"])


def is_unknown(ending: Ending) -> bool:
    """Whether nothing at all is known of a call that may have been answered: the upstream has to be asked first."""
    outcome = ending.outcome
    return ending.usage is None and outcome.ending == "cancelled" and not outcome.answered_bytes


def is_name(text: str | None) -> bool:
    """Whether a text can be stored as an id or a model's name."""
    return bool(text) and text is not None and len(text) <= MAX_NAME_CHARS and text.isprintable()


def meter_endings(endings: Sequence[Ending], *, now: datetime) -> None:
    """Store the events. What metering does not take as it came is slimmed to its counts, then estimated."""
    waiting = list(endings)
    for prepare in (_as_reported, _slimmed, _estimated):
        if not waiting:
            return
        lines = [prepare(ending) for ending in waiting]
        results = ingest_events(lines=lines, now=now, actor=ACTOR)
        refused = []
        for ending, result in zip(waiting, results, strict=True):
            if result.status is Status.REJECTED:
                logger.warning("call %s: %s %s", ending.call.call_id, result.field, result.reason)
                if result.field == "model":
                    ending.served_model = ending.call.requested_model
                refused.append(ending)
                continue
            ending.event_id = result.id
            ending.cost_usd = result.cost_usd if result.status is Status.ACCEPTED else _stored_cost(ending.call)
            if result.quarantine_code:
                ending.flags.append("quarantined")
        waiting = refused
    for ending in waiting:
        ending.status, ending.flags = "lost", [*ending.flags, "event_refused"]
        logger.error("call %s could not be metered at all", ending.call.call_id)


def _stored_cost(call: LockedCall) -> Decimal | None:
    """What an event costs that was stored before, by whatever way."""
    events = UsageEvent.objects.filter(customer_id=call.customer_id, occurred_at=call.started_at, event_id=call.call_id)
    return events.values_list("cost_usd", flat=True).first()


def _as_reported(ending: Ending) -> bytes:
    if ending.usage is None:
        return _estimated(ending)
    assert ending.outcome.usage is not None
    return _event_line(ending, orjson.Fragment(ending.outcome.usage.encode()), zero=_ended_without_answer(ending))


def _slimmed(ending: Ending) -> bytes:
    """The counts of a usage object that is too large or holds texts."""
    if ending.usage is None:
        return _estimated(ending)
    return _event_line(ending, _counts_only(ending.usage, 4), zero=_ended_without_answer(ending))


def _estimated(ending: Ending) -> bytes:
    """An event made of sizes: a quarter of the bytes of the request, and what was seen of the answer. Never more than the
    worst case that was held.
    """
    call, outcome = ending.call, ending.outcome
    prompt = min(likely_prompt_tokens(prompt_bytes=call.prompt_bytes), call.hold_tokens - call.granted_tokens)
    seen = likely_completion_tokens(answered_bytes=outcome.answered_bytes, answered_chunks=outcome.answered_chunks)
    completion = min(seen, call.granted_tokens)
    if ending.usage is not None:
        ending.flags.append("usage_unreadable")
    ending.status, ending.dialect, ending.tokens = "estimated", "openai_chat", prompt + completion
    ending.flags.append(Flag.ESTIMATED.value)
    is_empty = not seen and call.route in GENERATING_ROUTES and outcome.finish_reason in _NO_ANSWER
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return _event_line(ending, usage, zero=is_empty)


def _ended_without_answer(ending: Ending) -> bool:
    """The stated policy: no completion tokens, and a finish reason that is missing or says that it failed.

    Other answers may rightly have no completion (embeddings, scoring of a prompt with `max_tokens` 0): those are charged.
    """
    assert ending.usage is not None
    if not may_be_free(ending) and not ending.call.is_metered:  # nobody asks how many tokens it was
        return False
    try:
        quantities = read_usage(ending.dialect, ending.usage).quantities
    except UsageRefused:
        return False
    ending.tokens = quantities.prompt + quantities.completion
    return may_be_free(ending) and not quantities.completion


def may_be_free(ending: Ending) -> bool:
    """Whether it has to be looked at before it is charged: it says no reason why it ended, or that it failed."""
    return ending.call.route in GENERATING_ROUTES and ending.outcome.finish_reason in _NO_ANSWER


def counted_line(ending: Ending) -> bytes:
    """The line of an answer that is charged by what the upstream counted, as it came."""
    assert ending.outcome.usage is not None
    return _event_line(ending, orjson.Fragment(ending.outcome.usage.encode()), zero=False)


def reported_line(ending: Ending, *, event_id: str) -> bytes:
    """The line of an event of another id that says what the upstream counted."""
    usage = _counts_only(ending.usage or {}, 4)
    return _event_line(ending, usage, zero=_ended_without_answer(ending), event_id=event_id)


def _event_line(ending: Ending, usage: Any, *, zero: bool, event_id: str = "") -> bytes:
    """One line for `ingest_events`. It happened when the call began: a settlement that is repeated says the same."""
    call = ending.call
    flags = [flag for flag in (Flag.ESTIMATED.value,) if flag in ending.flags]
    if zero:
        flags.append(Flag.ZERO_COMPLETION.value)
        if Flag.ZERO_COMPLETION.value not in ending.flags:
            ending.flags.append(Flag.ZERO_COMPLETION.value)
    # What is empty is left out: metering reads a plain line several times faster.
    line = {
        "id": event_id or call.call_id,
        "api_key": call.key_prefix,
        "requested_model": call.requested_model,
        "model": ending.served_model,
        "occurred_at": call.started_at,
        "dialect": ending.dialect,
        "usage": usage,
    }
    if call.app_title or call.app_referer:
        line["app"] = {"title": call.app_title, "referer": call.app_referer}
    if flags:
        line["flags"] = flags
    return orjson.dumps(line)


def _counts_only(values: dict[str, Any], depth: int) -> dict[str, Any]:
    slim: dict[str, Any] = {}
    for name, value in values.items():
        if len(name) > 60 or not name.isprintable():
            continue
        if isinstance(value, dict) and depth:
            slim[name] = _counts_only(value, depth - 1)
        elif isinstance(value, int) or (isinstance(value, str) and len(value) <= 60 and value.isprintable()):
            slim[name] = value
        elif isinstance(value, float):
            slim[name] = orjson.Fragment(format(Decimal(repr(value)), "f").encode())
    return slim
