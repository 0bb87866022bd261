"""Settling what nearly always is to be settled, in one statement: calls that are open, answered, counted and priced.

`gateway.services.settling` is the rule. This is its shortcut for a group in which nothing is odd; at the first doubt it
changes nothing and says so. tests/gateway/test_finishing.py holds the two against each other. Who asks the database is the
caller's: the gateway's event loop does, over a connection of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from gateway.calls import CallRequest, Outcome, Settled, storable
from gateway.services.metering import Ending, LockedCall, counted_line, may_be_free, read_outcome
from gateway.services.settlement_rows import settlement_row
from usage.services.ingesting import prepare_events

FINISH = "SELECT * FROM gateway_finish(%s, %s, %s, %s, %s::date[], %s, %s::json)"


@dataclass(frozen=True, slots=True)
class Finish:
    """A group that `FINISH` settles with these arguments."""

    endings: Sequence[Ending]
    arguments: Sequence[Any]

    @classmethod
    def of(cls, outcomes: Sequence[Outcome], requests: Mapping[str, CallRequest], *, now: datetime) -> Finish | None:
        """None where the group has to go by the rule. `requests` are the calls as they were admitted, by their ids."""
        if len({outcome.call_id for outcome in outcomes}) < len(outcomes):
            return None
        endings = []
        for outcome in outcomes:
            request = requests.get(outcome.call_id)
            if request is None:
                return None
            ending = read_outcome(_open_call(request), outcome)
            if ending.usage is None or ending.flags or may_be_free(ending):
                return None
            endings.append(ending)
        events = prepare_events(lines=[counted_line(ending) for ending in endings], now=now)
        if events is None:
            return None
        for ending, event in zip(endings, events.priced, strict=True):
            ending.event_id, ending.cost_usd, ending.tokens = ending.call.call_id, event.cost_usd, event.tokens
        arguments = [
            now,
            [ending.call.call_id for ending in endings],
            events.rows,
            events.customer_ids,
            events.months,
            events.catalog_version,
            orjson.dumps([settlement_row(ending, now=now) for ending in endings]).decode(),
        ]
        return cls(endings, arguments)

    def settled(self, rows: Iterable[tuple[str, bool]]) -> list[Settled] | None:
        """The answers, in order; None where the statement returned nothing because it did nothing."""
        billed = dict(rows)
        if len(billed) < len(self.endings):
            return None
        return [
            Settled(ending.call.call_id, ending.event_id, billed[ending.call.call_id], tuple(ending.flags))
            for ending in self.endings
        ]


def _open_call(request: CallRequest) -> LockedCall:
    """The call as its row has it since the admission. What only estimates need is left out."""
    return LockedCall(
        call_id=request.call_id,
        status="open",
        customer_id=request.caller.customer_id,
        api_key_id=request.caller.api_key_id,
        key_prefix=request.caller.prefix,
        route=request.route,
        dialect=request.dialect,
        requested_model=request.model,
        app_title=storable(request.app_title),
        app_referer=storable(request.app_referer),
        started_at=request.started_at,
        prompt_bytes=request.prompt_bytes,
        event_id=None,
        is_billed=False,
        flags=[],
        hold_tokens=0,
        granted_tokens=0,
        is_metered=False,
    )
