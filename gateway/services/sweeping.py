"""Calls that nobody speaks for any more: after a crash, or because their end told nothing.

The upstream is asked what it answered, by its own id or else by ours, which every request carries. What it tells is
billed; where it knows of nothing and nothing had begun, the call failed and costs nothing; where an answer had begun, the
least that can have been is estimated, flagged, and replaced when the upstream tells its counts after all.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db import connection, transaction

from gateway.adapters import Knowledge, Question, Told, ask_generations
from gateway.calls import Outcome
from gateway.models import Upstream
from gateway.services.settling import settle_calls
from gateway.services.upstreams import usable_targets

#: After how long an upstream is asked again that did not know the call, or did not answer. After the last it is decided.
_AGAIN = tuple(timedelta(seconds=seconds) for seconds in (30, 120, 450))
_SILENT_AGAIN = (*_AGAIN, *(timedelta(hours=hours) for hours in (1, 4, 12)))
#: When the counts behind an estimate are asked for, after the first time.
_ESTIMATE_AGAIN = tuple(timedelta(minutes=minutes) for minutes in (2, 10, 60, 360))
_CLAIMED = timedelta(minutes=5)
_BATCH = 100
_FORGET_BATCH = 5_000

_CLAIM_EXPIRED = """
UPDATE gateway_call SET lease_until = %(until)s, instance = 'sweep', asks = asks + 1
WHERE call_id IN (SELECT call_id FROM gateway_call WHERE status = 'open' AND lease_until <= %(now)s
                  ORDER BY lease_until LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
RETURNING call_id, status, upstream_id, upstream_generation_id, answering_at IS NOT NULL, asks, requested_model
"""
_CLAIM_ESTIMATED = """
UPDATE gateway_call SET next_ask_at = %(until)s, asks = asks + 1
WHERE call_id IN (SELECT call_id FROM gateway_call WHERE status = 'estimated' AND next_ask_at <= %(now)s
                  ORDER BY next_ask_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
RETURNING call_id, status, upstream_id, upstream_generation_id, true, asks, requested_model
"""
_FORGET = """
WITH gone AS (
    DELETE FROM gateway_call WHERE call_id IN (
        SELECT call_id FROM gateway_call WHERE status <> 'open' AND started_at < %s AND settled_at < %s LIMIT %s)
    RETURNING call_id
)
SELECT count(*) FROM gone
"""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class SweepReport:
    """How many calls were billed by what the upstream told, failed, were estimated, got their real counts in the place of
    an estimate, and wait for another question.
    """

    billed: int = 0
    failed: int = 0
    estimated: int = 0
    replaced: int = 0
    waiting: int = 0


class _Claimed(NamedTuple):
    call_id: str
    status: str
    upstream_id: int | None
    upstream_generation_id: str | None
    has_begun: bool
    asks: int
    requested_model: str


Asker = Callable[[Sequence[Question]], list[Told]]


def sweep_calls(*, now: datetime, is_final: bool = False, ask: Asker = ask_generations) -> SweepReport:
    """Settle every call whose lease has ended and every estimate whose time has come, as far as upstreams tell.

    Safe to run at any time and in any number. With `is_final` what an upstream does not know now is decided now, instead
    of after it was asked again for ten minutes.
    """
    report = SweepReport()
    for claim in (_CLAIM_EXPIRED, _CLAIM_ESTIMATED):
        while True:
            with connection.cursor() as cursor:
                cursor.execute(claim, {"now": now, "until": now + _CLAIMED, "limit": _BATCH})
                claimed = [_Claimed(*row) for row in cursor.fetchall()]
            if not claimed:
                break
            _sweep(claimed, report, now=now, is_final=is_final, ask=ask)
    return report


def forget_calls(*, now: datetime) -> int:
    """Delete calls that ended more than GATEWAY_CALL_DAYS ago; returns how many."""
    before = now - timedelta(days=settings.GATEWAY_CALL_DAYS)
    total = 0
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_FORGET, [before, before, _FORGET_BATCH])
            count: int = cursor.fetchone()[0]
        total += count
        if count < _FORGET_BATCH:
            return total


def _sweep(claimed: list[_Claimed], report: SweepReport, *, now: datetime, is_final: bool, ask: Asker) -> None:
    told = _ask(claimed, ask)
    outcomes: list[Outcome] = []
    for call in claimed:
        answer = told[call.call_id]
        if answer.knowledge is Knowledge.TOLD:
            outcomes.append(_told(call, answer, now))
            report.billed += call.status == "open"
            report.replaced += call.status == "estimated"
        elif call.status == "estimated":
            _wait(call, _ESTIMATE_AGAIN, report, now)
        elif not (is_final and answer.knowledge is Knowledge.UNKNOWN) and _wait(
            call, _AGAIN if answer.knowledge is Knowledge.UNKNOWN else _SILENT_AGAIN, report, now
        ):
            continue
        else:
            outcomes.append(_given_up(call, now))
            report.estimated += call.has_begun
            report.failed += not call.has_begun
    settle_calls(outcomes, now=now)


def _ask(claimed: Sequence[_Claimed], ask: Asker) -> dict[str, Told]:
    """What is known of each call: from the upstream that has it or, where nobody knows which, from any that does."""
    targets = {target.upstream_id: target for target in reversed(usable_targets())}
    speaking = {pk for pk, target in targets.items() if target.dialect == Upstream.Dialect.OPENROUTER}
    known_upstreams = set(Upstream.objects.values_list("pk", flat=True))
    whose: list[str] = []
    questions: list[Question] = []
    told: dict[str, Told] = {}
    for call in claimed:
        asked = [call.upstream_id] if call.upstream_id in known_upstreams else sorted(known_upstreams)
        # An upstream that keeps no generations knows nothing; one whose key is gone could not be asked.
        is_silent = any(pk not in targets for pk in asked)
        told[call.call_id] = Told(Knowledge.SILENT if is_silent else Knowledge.UNKNOWN)
        for pk in asked:
            if pk in speaking:
                whose.append(call.call_id)
                name = call.upstream_generation_id or call.call_id
                questions.append(Question(targets[pk].base_url, targets[pk].secret, name))
    for call_id, answer in zip(whose, ask(questions), strict=True):
        if answer.knowledge is Knowledge.TOLD or told[call_id].knowledge is Knowledge.UNKNOWN:
            told[call_id] = answer
    return told


def _told(call: _Claimed, answer: Told, now: datetime) -> Outcome:
    return Outcome(
        call_id=call.call_id,
        ending="answered",
        finished_at=now,
        served_model=answer.model or call.requested_model,
        dialect="openrouter",
        usage=answer.usage,
        upstream_generation_id=answer.generation_id or call.upstream_generation_id,
        upstream_id=call.upstream_id,
        finish_reason=answer.finish_reason,
        error_code="swept",
    )


def _given_up(call: _Claimed, now: datetime) -> Outcome:
    """Nobody knows more: one token where an answer had begun, none where it had not."""
    return Outcome(
        call_id=call.call_id,
        ending="cancelled" if call.has_begun else "failed",
        finished_at=now,
        upstream_generation_id=call.upstream_generation_id,
        upstream_id=call.upstream_id,
        answered_bytes=1 if call.has_begun else 0,
        answered_chunks=1 if call.has_begun else 0,
        error_code="abandoned",
    )


def _wait(call: _Claimed, delays: Sequence[timedelta], report: SweepReport, now: datetime) -> bool:
    """Ask again later, if it is not the last time; whether it is."""
    delay = delays[call.asks - 1] if call.asks <= len(delays) else None
    column = "lease_until" if call.status == "open" else "next_ask_at"
    if delay is None and call.status == "open":
        return False
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE gateway_call SET {column} = %s WHERE call_id = %s AND status = %s",  # noqa: S608
            [None if delay is None else now + delay, call.call_id, call.status],
        )
    report.waiting += delay is not None
    return True
