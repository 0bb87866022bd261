"""Settlement: what a call's answer reported becomes an event, and the hold becomes what it really cost.

One transaction a group: the events enter by metering's one door, and `gateway_settle` releases the holds. What nobody
counted is estimated and flagged; what ended without an answer is counted and free. Repeating a settlement changes nothing,
and one that comes after the sweep had given the call up still bills it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime

import orjson
from django.db import OperationalError, connection, transaction

from gateway.calls import Outcome, Settled
from gateway.services.correcting import replace_estimate
from gateway.services.metering import Ending, LockedCall, is_unknown, meter_endings, read_outcome
from gateway.services.settlement_rows import settlement_row

_ATTEMPTS = 5
_RETRIED = frozenset({"40P01", "40001"})

_LOCK = """
SELECT call.call_id, call.status, call.customer_id, call.api_key_id, api_key.prefix, call.route, call.dialect,
       call.requested_model, call.app_title, call.app_referer, call.started_at, call.prompt_bytes, call.event_id,
       call.is_billed, call.flags, call.hold_tokens, call.granted_tokens, call.is_metered
FROM gateway_call AS call
JOIN accounts_apikey AS api_key ON api_key.id = call.api_key_id
WHERE call.call_id = ANY (%s) ORDER BY call.call_id FOR UPDATE OF call
"""
_SETTLE = "SELECT * FROM gateway_settle(%s, %s, %s::bigint[], %s::json)"
_ASK_LATER = """
UPDATE gateway_call AS call SET
    lease_until = %s, instance = '', finished_at = later.finished_at, finish_reason = later.finish_reason,
    error_code = later.error_code, upstream_id = coalesce(later.upstream_id, call.upstream_id),
    upstream_generation_id = coalesce(later.upstream_generation_id, call.upstream_generation_id),
    attempts = coalesce(call.attempts, later.attempts)
FROM json_to_recordset(%s::json) AS later (
    call_id text, finished_at timestamptz, finish_reason text, error_code text, upstream_id bigint,
    upstream_generation_id text, attempts jsonb)
WHERE call.call_id = later.call_id
"""

logger = logging.getLogger(__name__)


def settle_calls(outcomes: Sequence[Outcome], *, now: datetime) -> list[Settled]:
    """One answer per outcome, in order; of several outcomes of one call the first counts. All of it is durable, or on an
    exception (the database is away) nothing, and sending it again is safe.
    """
    first: dict[str, Outcome] = {}
    for outcome in outcomes:
        first.setdefault(outcome.call_id, outcome)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with transaction.atomic():
                settled, late = _settle(first, now)
            break
        except OperationalError as error:
            if attempt == _ATTEMPTS or getattr(error.__cause__, "sqlstate", None) not in _RETRIED:
                raise
    for call, outcome in late:
        settled[call.call_id] = replace_estimate(call, outcome, now=now)
    seen: set[str] = set()
    answers = []
    for outcome in outcomes:
        answer = settled[outcome.call_id]
        if outcome.call_id in seen and "repeated" not in answer.flags:
            answer = Settled(answer.call_id, answer.event_id, answer.is_billed, (*answer.flags, "repeated"))
        seen.add(outcome.call_id)
        answers.append(answer)
    return answers


def _settle(outcomes: dict[str, Outcome], now: datetime) -> tuple[dict[str, Settled], list[tuple[LockedCall, Outcome]]]:
    calls = _lock(outcomes)
    settled: dict[str, Settled] = {}
    late: list[tuple[LockedCall, Outcome]] = []
    endings: list[Ending] = []
    unknown: list[Ending] = []
    for call_id, outcome in outcomes.items():
        call = calls.get(call_id)
        if call is None:
            logger.error("call %s has no row: nothing can be settled", call_id)
            settled[call_id] = Settled(call_id, None, False, ("unknown_call",))
            continue
        ending = read_outcome(call, outcome)
        if call.status == "estimated" and ending.usage is not None:
            late.append((call, outcome))
        elif call.status in {"settled", "estimated"} or (call.status != "open" and ending.usage is None):
            settled[call_id] = Settled(call_id, call.event_id, call.is_billed, (*call.flags, "repeated"))
        elif is_unknown(ending):
            unknown.append(ending)
        else:
            endings.append(ending)
    if endings:
        meter_endings([ending for ending in endings if ending.status != "failed"], now=now)
        settled |= _write(endings, now)
    if unknown:
        settled |= _ask_later(unknown, now)
    return settled, late


def _lock(call_ids: Iterable[str]) -> dict[str, LockedCall]:
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [list(call_ids)])
        return {row[0]: LockedCall(*row) for row in cursor.fetchall()}


# -- writing -----------------------------------------------------------------------------------------------------------
def _write(endings: Sequence[Ending], now: datetime) -> dict[str, Settled]:
    with connection.cursor() as cursor:
        cursor.execute(
            _SETTLE,
            [
                now,
                [ending.call.call_id for ending in endings],
                list({ending.call.customer_id for ending in endings}),
                orjson.dumps([settlement_row(ending, now=now) for ending in endings]).decode(),
            ],
        )
        billed = dict(cursor.fetchall())
    return {
        ending.call.call_id: Settled(
            ending.call.call_id, ending.event_id, billed[ending.call.call_id], tuple(ending.flags)
        )
        for ending in endings
    }


def _ask_later(endings: Sequence[Ending], now: datetime) -> dict[str, Settled]:
    """Give the calls to the sweep at once; their holds stay until it knows."""
    rows = [settlement_row(ending, now=now) for ending in endings]
    with connection.cursor() as cursor:
        cursor.execute(_ASK_LATER, [now, orjson.dumps(rows).decode()])
    return {
        ending.call.call_id: Settled(ending.call.call_id, None, False, (*ending.flags, "asked_later"))
        for ending in endings
    }
