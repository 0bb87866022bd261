"""Parallel calls of one customer never overdraw by a won: threads, processes, and any order of events."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from django.conf import settings as django_settings
from django.db import connection, connections, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Customer
from billing.models import MarginRule
from billing.models.ledger import LedgerEntry, LedgerTransaction
from billing.selectors.spending import available_krw, recount
from billing.services.posting import Posting, post_transaction
from billing.services.spending import refresh_spending
from catalog.models import Model
from gateway.adapters import Knowledge, Question, Told
from gateway.audit import check_gateway
from gateway.calls import Admission, Caller, CallRequest
from gateway.models import GatewayCall, KeyMeter
from gateway.services.admitting import admit_calls
from gateway.services.sweeping import sweep_calls
from tests.gateway.money import (
    ACTOR,
    MODEL,
    NOW,
    account,
    admit,
    caller,
    forget,
    limit_key,
    outcome,
    request,
    settle,
    shop,
    usage,
)
from tests.gateway.test_sweep import upstream
from tests.usage.factories import violations
from usage.models import UsageEvent
from usage.services.rating import current_catalog


def clean() -> list[str]:
    return violations(check_gateway())


def in_parallel(work: Callable[[int], Any], count: int) -> list[Any]:
    """The results of `count` threads that begin together, each with its own connection."""
    results: list[Any] = [None] * count
    gate = threading.Barrier(count)

    def run(place: int) -> None:
        try:
            gate.wait()
            results[place] = work(place)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(place,)) for place in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.django_db(transaction=True)
def test_threads_spend_the_balance_to_the_last_hold_and_not_a_won_more() -> None:
    shop()
    who = caller(limit_krw=220 * 37 + 219)

    def work(_: int) -> int:
        answers = [admit(request(who), request(who)) for _ in range(10)]
        return sum(isinstance(answer, Admission) for pair in answers for answer in pair)

    assert sum(in_parallel(work, 8)) == 37
    assert account(who).held_krw == 220 * 37
    assert available_krw(account(who)) == 219
    assert clean() == []


@pytest.mark.django_db(transaction=True)
def test_threads_that_admit_and_settle_leave_exactly_what_was_answered() -> None:
    shop()
    who = caller(limit_krw=5_000)

    def work(place: int) -> int:
        done = 0
        for _ in range(12):
            asked = [request(who), request(who)]
            answers = admit(*asked)
            let_out = [one for one, answer in zip(asked, answers, strict=True) if isinstance(answer, Admission)]
            settle(*(outcome(call, usage=usage(20, place + 1)) for call in let_out))
            done += len(let_out) * (20 + 2 * (place + 1))
        return done

    cost = Decimal(sum(in_parallel(work, 6))) / 1000
    row = account(who)
    assert (row.held_krw, row.unbilled_usd) == (0, cost)
    assert UsageEvent.objects.count() == GatewayCall.objects.count()
    assert available_krw(row) == 5_000 - cost * 1100
    assert available_krw(row) >= 0
    assert clean() == []
    assert violations() == []


CALLER = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
import django
django.setup()
from django.db import connection
connection.settings_dict["NAME"] = sys.argv[1]
from gateway.calls import Admission, Caller
from tests.gateway.money import admit, request
who = Caller(int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5])
print(sum(isinstance(one, Admission) for _ in range(25) for one in admit(request(who), request(who), request(who))))
"""


@pytest.mark.django_db(transaction=True)
def test_processes_spend_the_balance_to_the_last_hold_and_not_a_won_more() -> None:
    shop()
    who = caller(limit_krw=220 * 101)
    command = [sys.executable, "-c", CALLER, connection.settings_dict["NAME"]]
    arguments = [str(who.customer_id), who.customer_slug, str(who.api_key_id), who.prefix]
    processes = [
        subprocess.Popen([*command, *arguments], cwd=django_settings.BASE_DIR, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    told = [process.communicate()[0] for process in processes]
    assert sum(int(text) for text in told) == 101
    assert account(who).held_krw == 220 * 101
    assert available_krw(account(who)) == 0
    assert clean() == []


@pytest.mark.django_db(transaction=True)
def test_one_idempotency_key_lets_one_of_many_out() -> None:
    shop()
    who = caller()
    answers = in_parallel(lambda _: admit(request(who, idempotency_key="once"))[0], 8)
    assert sum(isinstance(answer, Admission) for answer in answers) == 1
    [refused] = {answer.metadata["generation_id"] for answer in answers if not isinstance(answer, Admission)}
    assert refused == GatewayCall.objects.get().call_id


@pytest.mark.django_db(transaction=True)
def test_a_call_that_two_settle_at_once_is_one_event() -> None:
    shop()
    who = caller(limit_krw=1000)
    call = request(who)
    admit(call)
    answers = in_parallel(lambda _: settle(outcome(call))[0], 6)
    assert sorted(answer.flags for answer in answers) == [(), *[("repeated",)] * 5]
    assert account(who).unbilled_krw == 22
    assert clean() == []


@pytest.mark.django_db(transaction=True)
def test_groups_that_share_calls_settle_each_once() -> None:
    shop()
    first, second = caller("first", limit_krw=10_000), caller("second", limit_krw=10_000)
    limit_key(second, concurrency_limit=20, monthly_limit_usd=1000)
    requests = {one.call_id: one for who in (first, second) for one in (request(who) for _ in range(8))}
    assert all(isinstance(answer, Admission) for answer in admit(*requests.values()))
    calls = list(requests.values())
    current_catalog()

    def work(place: int) -> list[str]:
        some = calls[2 * place :] + calls[: 2 * place]
        answers = settle(*(outcome(call) for call in some[:10]), requests=requests, now=NOW)
        return [answer.call_id for answer in answers if "repeated" not in answer.flags]

    settled = [call_id for ids in in_parallel(work, 8) for call_id in ids]
    assert sorted(settled) == sorted(requests)
    for who in (first, second):
        assert (account(who).held_krw, account(who).unbilled_krw) == (0, 8 * 22)
    meter = KeyMeter.objects.get()
    assert (meter.open_calls, meter.held_usd, meter.spent_usd) == (0, 0, Decimal("0.16"))
    assert clean() == []
    assert violations() == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_shortcut", [True, False])
def test_a_month_that_begins_while_a_settlement_waits_does_not_count_it(is_shortcut: bool) -> None:
    shop()
    who = caller()
    limit_key(who, monthly_limit_usd=1000)
    call = request(who)
    admit(call)
    current_catalog()
    requests = {call.call_id: call} if is_shortcut else {}
    thread = threading.Thread(
        target=lambda: (settle(outcome(call), requests=requests, now=NOW), connections.close_all())
    )
    with transaction.atomic(), connection.cursor() as cursor:
        KeyMeter.objects.update(month=date(2026, 12, 1), spent_usd=3)  # as `recount_meters` does
        thread.start()
        for _ in range(1000):
            cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid)))")
            if cursor.fetchone()[0]:
                break
            threading.Event().wait(0.01)
        else:
            raise AssertionError("the settlement does not wait")
    thread.join()
    meter = KeyMeter.objects.get()
    assert (meter.open_calls, meter.held_usd, meter.spent_usd) == (0, 0, 3)
    assert clean() == []


@pytest.mark.django_db(transaction=True)
def test_recounts_meanwhile_lose_nothing() -> None:
    shop()
    who = caller(limit_krw=1_000_000)

    def work(place: int) -> None:
        for _ in range(15):
            if place == 0:
                refresh_spending(customer_ids=[who.customer_id], now=NOW)
            else:
                call = request(who)
                admit(call)
                settle(outcome(call))

    in_parallel(work, 5)
    row = account(who)
    assert (row.held_krw, row.unbilled_usd) == (0, Decimal("1.2"))
    assert recount([who.customer_id], at=NOW)[who.customer_id].unbilled_usd == Decimal("1.2")


@pytest.mark.django_db(transaction=True)
def test_terms_that_change_meanwhile_lose_nothing() -> None:
    """What is added goes by the terms that the last recount went by, whoever comes first."""
    shop()
    who = caller(limit_krw=1_000_000)
    december = {"margin": Decimal("0.5"), "effective_from": date(2026, 12, 1), "created_by": ACTOR}
    MarginRule.objects.create(model=Model.objects.get(model_id=MODEL), **december)

    def work(place: int) -> None:
        for turn in range(12):
            if place == 0:
                refresh_spending(customer_ids=[who.customer_id], now=NOW + timedelta(days=11 * (turn % 2)))
            else:
                call = request(who)
                admit(call)
                settle(outcome(call))

    in_parallel(work, 4)
    row, counted = account(who), recount([who.customer_id], at=NOW)[who.customer_id]
    assert (row.held_krw, row.unbilled_krw) == (0, 2 * 36 * 22)  # the last recount was of December
    assert (row.unbilled_usd, row.unbilled_by_model_krw) == (counted.unbilled_usd, counted.unbilled_by_model_krw)
    refresh_spending(customer_ids=[who.customer_id], now=NOW)
    assert account(who).unbilled_krw == 36 * 22


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("admit"), st.integers(0, 100), st.integers(0, 50)),
        st.tuples(st.just("settle"), st.integers(0, 9), st.integers(0, 100), st.integers(0, 50)),
        st.tuples(st.just("fail"), st.integers(0, 9)),
        st.tuples(st.just("leave"), st.integers(0, 9)),
        st.tuples(st.just("sweep"), st.booleans(), st.integers(0, 100), st.integers(0, 50)),
        st.tuples(st.just("top up"), st.integers(1, 500)),
        st.tuples(st.just("refresh")),
    ),
    min_size=5,
    max_size=30,
)


class Customers:
    """One prepaid customer and what is known of its calls, driven step by step."""

    def __init__(self, who: Caller) -> None:
        self.who = who
        self.now = NOW
        self.open: list[CallRequest] = []
        self.paid = 0
        self.spent_usd = Decimal(0)

    def step(self, name: str, *values: Any) -> None:
        getattr(self, "do_" + name.replace(" ", "_"))(*values)

    def do_admit(self, prompt: int, completion: int) -> None:
        call = request(self.who, prompt_tokens_worst=prompt, max_tokens=completion)
        [answer] = admit_calls([call], now=self.now)
        if isinstance(answer, Admission):
            self.open.append(call)

    def do_settle(self, place: int, prompt: int, completion: int) -> None:
        if self.open:
            call = self.open.pop(place % len(self.open))
            self._bill(call, prompt, completion)
            counted = usage(*self._within(call, prompt, completion))
            settle(outcome(call, usage=counted), outcome(call), now=self.now)

    def do_fail(self, place: int) -> None:
        if self.open:
            call = self.open.pop(place % len(self.open))
            settle(outcome(call, ending="failed", usage=None, answered_bytes=0), now=self.now)

    def do_leave(self, place: int) -> None:
        if self.open:
            call = self.open[place % len(self.open)]
            settle(outcome(call, ending="cancelled", usage=None, answered_bytes=0), now=self.now)

    def do_sweep(self, is_known: bool, prompt: int, completion: int) -> None:
        self.now += timedelta(minutes=2)

        def ask(questions: Any) -> list[Told]:
            return [self._tell(question, is_known, prompt, completion) for question in questions]

        sweep_calls(now=self.now, is_final=True, ask=ask)
        gone = {row.call_id for row in GatewayCall.objects.exclude(status="open")}
        self.open = [call for call in self.open if call.call_id not in gone]

    def do_top_up(self, won: int) -> None:
        entries = [
            Posting(LedgerEntry.Account.BANK, won),
            Posting(LedgerEntry.Account.PREPAYMENTS, -won, Customer.objects.get(pk=self.who.customer_id)),
        ]
        kind = LedgerTransaction.Kind.PREPAYMENT_RECEIVED
        post_transaction(kind=kind, occurred_on=date(2026, 11, 21), memo="top-up", entries=entries, actor=ACTOR)
        self.paid += won

    def do_refresh(self) -> None:
        refresh_spending(customer_ids=[self.who.customer_id], now=NOW)

    def holds(self) -> None:
        row = account(self.who)
        still_open = GatewayCall.objects.filter(status="open")
        assert row.held_krw == sum(call.hold_krw for call in still_open) >= 0
        assert row.prepaid_krw == self.paid
        left = available_krw(row)
        assert left is not None
        assert left >= 0
        assert left == self.paid - row.held_krw - self.spent_usd * 1100

    def _tell(self, question: Question, is_known: bool, prompt: int, completion: int) -> Told:
        call = next(
            (one for one in self.open if question.generation_id in {one.call_id, f"up-{one.call_id[-8:]}"}), None
        )
        if call is None or not is_known:
            return Told(Knowledge.UNKNOWN)
        counts = self._bill(call, prompt, completion)
        return Told(Knowledge.TOLD, usage(*counts), finish_reason="stop", generation_id=question.generation_id)

    def _bill(self, call: CallRequest, prompt: int, completion: int) -> tuple[int, int]:
        counts = self._within(call, prompt, completion)
        self.spent_usd += Decimal(counts[0] + 2 * counts[1]) / 1000
        return counts

    @staticmethod
    def _within(call: CallRequest, prompt: int, completion: int) -> tuple[int, int]:
        return min(prompt, call.prompt_tokens_worst or 0), min(completion, call.max_tokens or 0)


@pytest.mark.django_db
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS, first=st.integers(0, 2_000))
def test_in_any_order_the_balance_is_what_was_paid_less_what_is_held_and_spent(steps: list[Any], first: int) -> None:
    with transaction.atomic():
        shop()
        upstream()
        customers = Customers(caller(is_prepaid=True))
        if first:
            customers.do_top_up(first)
        for step in steps:
            customers.step(*step)
            customers.holds()
        assert clean() == []
        transaction.set_rollback(True)
    forget()


def test_what_a_call_row_says_is_no_content() -> None:
    """The columns that hold free text are names, ids and codes: there is no place for a prompt or an answer."""
    texts = {
        field.name: field.max_length for field in GatewayCall._meta.fields if field.get_internal_type() == "TextField"
    }
    assert texts == {}
    assert msgspec.json.encode(outcome("gen-1")).count(b"content") == 0
