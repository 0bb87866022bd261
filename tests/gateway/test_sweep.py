"""Calls that nobody speaks for: what the upstream tells is billed, what it does not know costs nothing, no hold stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

import orjson
import pytest

from gateway.adapters import Knowledge, Question, Told
from gateway.calls import Answering, Attempt
from gateway.models import CallAttempt, GatewayCall
from gateway.services.leasing import extend_leases, note_answering
from gateway.services.sweeping import SweepReport, forget_calls, sweep_calls
from gateway.services.upstreams import set_upstream, set_upstream_key
from tests.gateway.money import ACTOR, MODEL, NOW, account, admitted, caller, held_and_unbilled, outcome, settle, shop
from tests.usage.factories import violations
from usage.models import UsageEvent

pytestmark = pytest.mark.django_db

LATER = NOW + timedelta(minutes=2)


@dataclass
class Oracle:
    """An upstream's memory: what it tells by id."""

    told: dict[str, Told] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    otherwise: Knowledge = Knowledge.UNKNOWN

    def __call__(self, questions: Sequence[Question]) -> list[Told]:
        self.asked += [question.generation_id for question in questions]
        return [self.told.get(question.generation_id, Told(self.otherwise)) for question in questions]


def upstream(name: str = "local", dialect: str = "openrouter") -> int:
    row = set_upstream(name=name, base_url="https://upstream.example/v1", dialect=dialect, actor=ACTOR, now=NOW)
    set_upstream_key(upstream=row, secret="sk-upstream-1234567890", actor=ACTOR, now=NOW)
    return row.pk


def told(prompt: int = 10, completion: int = 5, **changes: str) -> Told:
    usage = orjson.dumps({"prompt_tokens": prompt, "completion_tokens": completion, "cost": 0.01}).decode()
    return Told(Knowledge.TOLD, usage, **({"model": MODEL, "finish_reason": "stop", "generation_id": "up-1"} | changes))


def swept(oracle: Oracle, now: datetime = LATER, *, is_final: bool = False) -> SweepReport:
    return sweep_calls(now=now, is_final=is_final, ask=oracle)


def test_a_call_with_a_lease_is_left_alone() -> None:
    shop()
    upstream()
    who = caller(limit_krw=1000)
    call = admitted(who)
    later = NOW + timedelta(seconds=100)
    assert extend_leases(call_ids=[call.call_id], instance="test", now=later) == 1
    assert swept(Oracle()) == SweepReport()
    assert account(who).held_krw == 220


def test_a_call_that_its_gateway_never_heard_of_is_nobodys_after_its_lease() -> None:
    shop()
    upstream()
    who = caller(limit_krw=1000)
    admitted(who)  # its admission was committed in the moment in which the connection broke
    assert extend_leases(call_ids=["gen-another"], instance="test", now=NOW + timedelta(seconds=30)) == 0
    assert swept(Oracle(), is_final=True) == SweepReport(failed=1)
    assert account(who).held_krw == 0


def test_what_the_upstream_tells_by_our_id_is_billed() -> None:
    shop()
    upstream()
    who = caller(limit_krw=1000)
    call = admitted(who)
    oracle = Oracle({call.call_id: told()})
    assert swept(oracle) == SweepReport(billed=1)
    assert oracle.asked == [call.call_id]
    stored = UsageEvent.objects.get()
    assert (stored.event_id, stored.cost_usd, stored.upstream_cost_usd) == (
        call.call_id,
        Decimal("0.02"),
        Decimal("0.01"),
    )
    assert held_and_unbilled(who) == (0, 22)


def test_the_upstreams_own_id_is_asked_for_where_it_is_known() -> None:
    shop()
    first, second = upstream(), upstream("other")
    call = admitted(caller())
    note_answering([Answering(call.call_id, second, "up-9")], now=NOW)
    oracle = Oracle({"up-9": told()})
    assert first != second
    swept(oracle)
    assert oracle.asked == ["up-9"]
    assert GatewayCall.objects.get().status == "settled"


def test_what_no_upstream_knows_fails_after_it_was_asked_for_ten_minutes() -> None:
    shop()
    upstream()
    who = caller(limit_krw=1000)
    admitted(who)
    oracle = Oracle()
    moments = [LATER + timedelta(seconds=seconds) for seconds in (0, 30, 150, 600)]
    reports = [swept(oracle, moment) for moment in moments]
    assert reports == [SweepReport(waiting=1)] * 3 + [SweepReport(failed=1)]
    assert GatewayCall.objects.get().status == "failed"
    assert held_and_unbilled(who) == (0, 0)
    assert not UsageEvent.objects.exists()


def test_it_is_decided_at_once_where_that_is_asked_for() -> None:
    shop()
    upstream()
    who = caller(limit_krw=1000)
    admitted(who)
    assert swept(Oracle(), is_final=True) == SweepReport(failed=1)
    assert account(who).held_krw == 0


def test_an_upstream_that_does_not_answer_decides_nothing() -> None:
    shop()
    upstream()
    who = caller(limit_krw=1000)
    call = admitted(who)
    silent = Oracle(otherwise=Knowledge.SILENT)
    assert swept(silent, is_final=True) == SweepReport(waiting=1)
    assert account(who).held_krw == 220
    assert swept(Oracle({call.call_id: told()}), LATER + timedelta(minutes=1)) == SweepReport(billed=1)
    assert held_and_unbilled(who) == (0, 22)


def test_an_answer_that_had_begun_is_estimated_and_replaced_by_the_real_counts() -> None:
    shop()
    pk = upstream()
    who = caller(limit_krw=1000)
    call = admitted(who, prompt_bytes=40)
    note_answering([Answering(call.call_id, pk, "up-1")], now=NOW)
    assert swept(Oracle(), is_final=True) == SweepReport(estimated=1)
    stored = UsageEvent.objects.get()
    assert (stored.prompt_tokens, stored.completion_tokens, stored.flags) == (10, 1, ["estimated"])
    later = LATER + timedelta(minutes=1)
    assert swept(Oracle({"up-1": told(9, 4)}), later) == SweepReport(replaced=1)
    row = GatewayCall.objects.get()
    assert (row.status, row.event_id, row.flags) == ("settled", f"{call.call_id}~1", ["replaced"])
    assert account(who).unbilled_usd == Decimal("0.017")
    assert violations() == []


def test_an_estimate_that_nobody_corrects_is_asked_for_five_times_and_stays() -> None:
    shop()
    upstream()
    call = admitted(caller())
    settle(outcome(call, usage=None))
    oracle, moment = Oracle(), NOW
    for _ in range(10):
        moment += timedelta(hours=7)
        swept(oracle, moment)
    assert len(oracle.asked) == 5
    assert GatewayCall.objects.get().next_ask_at is None
    assert UsageEvent.objects.count() == 1


def test_an_upstream_without_generations_is_not_asked() -> None:
    shop()
    upstream(dialect="openai")
    admitted(caller())
    oracle = Oracle()
    assert swept(oracle, is_final=True) == SweepReport(failed=1)
    assert oracle.asked == []


def test_a_call_that_was_cancelled_before_anything_came_is_asked_for_at_once() -> None:
    shop()
    pk = upstream()
    who = caller(limit_krw=1000)
    call = admitted(who)
    nothing = {"ending": "cancelled", "usage": None, "answered_bytes": 0, "answered_chunks": 0}
    settle(outcome(call, upstream_id=pk, upstream_generation_id=None, **nothing), now=NOW)
    assert swept(Oracle({call.call_id: told(20, 0, finish_reason="")}), NOW) == SweepReport(billed=1)
    # Nothing was generated: counted and free.
    assert held_and_unbilled(who) == (0, 0)
    assert GatewayCall.objects.get().flags == ["zero_completion"]


def test_the_gateway_may_still_settle_what_the_sweep_has_taken() -> None:
    shop()
    upstream()
    who = caller(limit_krw=1000)
    call = admitted(who)
    swept(Oracle())
    settle(outcome(call), now=LATER)
    assert held_and_unbilled(who) == (0, 22)
    assert swept(Oracle({call.call_id: told()}), LATER + timedelta(hours=1)) == SweepReport()


def test_old_calls_are_forgotten_and_their_events_stay() -> None:
    shop()
    who = caller()
    done, still_open = admitted(who), admitted(who)
    settle(outcome(done, attempts=[Attempt(1, 1, 1, NOW, status=200)]))
    assert forget_calls(now=NOW + timedelta(days=90)) == 0
    assert forget_calls(now=NOW + timedelta(days=91)) == 1
    assert list(GatewayCall.objects.values_list("call_id", flat=True)) == [still_open.call_id]
    assert not CallAttempt.objects.exists()
    assert UsageEvent.objects.count() == 1
