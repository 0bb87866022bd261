"""The edge's way to the money: groups that are committed together, the spool for when the database is away, and what is
looked after in the background (leases, notes of begun answers, the list of upstreams).

Groups are asked from the event loop. Where something has to be read first, or is odd, or broke, they go by the services'
rule in a thread: Django refuses to be asked from the loop, and says so before anything is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

import psycopg
from django.core.exceptions import SynchronousOnlyOperation
from django.db import Error as AnyDatabaseError
from django.db import connections

from gateway.calls import Admission, Answering, Caller, CallRefused, CallRequest, Outcome, Settled
from gateway.services.admitting import ADMIT, AdmissionGroup, admit_calls, admit_group
from gateway.services.callers import find_caller
from gateway.services.finishing import FINISH, Finish
from gateway.services.leasing import extend_leases, note_answering
from gateway.services.settling import settle_calls
from gateway.services.spooling import drain_spool
from gateway.services.upstreams import usable_targets
from gateway.spool import Spool, spool_path
from gateway.upstreams import Pool, Target
from usage.services.grouping import GroupCommitter
from usage.services.reconnecting import on_a_live_connection

from .wire import Wire

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: A database that does not answer is as good as one that is away.
ADMIT_SECONDS = 10.0
SETTLE_SECONDS = 15.0
NOTE_EVERY_SECONDS = 0.5
LEASE_EVERY_SECONDS = 15.0
TARGETS_EVERY_SECONDS = 5.0
SPOOL_EVERY_SECONDS = 5.0
_AWAY = {"Retry-After": "5"}


class _Ended(NamedTuple):
    """How a call ended, and what it was, where this process admitted it."""

    outcome: Outcome
    request: CallRequest | None


class Desk:
    """Open it in the loop that serves. `instance` names this process in the calls that it has.

    `targets` says whom calls may go to, and is asked every few seconds.
    """

    def __init__(self, *, targets: Callable[[], Sequence[Target]] = usable_targets) -> None:
        self._targets = targets
        self.instance = f"{socket.gethostname()[:30]}-{os.getpid()}-{secrets.token_hex(4)}"
        self._admitting: GroupCommitter[CallRequest, Admission | CallRefused] = GroupCommitter(self._admit)
        self._settling: GroupCommitter[_Ended, Settled] = GroupCommitter(self._settle)
        self._admission_wire, self._settlement_wire = Wire(), Wire()
        self._spool = Spool(spool_path())
        self._under_way: dict[str, CallRequest] = {}  # admitted, and neither settled nor spooled
        self._late: set[asyncio.Task[None]] = set()
        self._chores: list[asyncio.Task[None]] = []
        # One thread, one connection each; the last for everything that nobody waits for.
        self._admission_thread = ThreadPoolExecutor(1, thread_name_prefix="gateway-admission")
        self._settlement_thread = ThreadPoolExecutor(1, thread_name_prefix="gateway-settlement")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="gateway-chores")

    async def open(self, pool: Pool, answering: dict[str, Answering]) -> None:
        """Learn the upstreams and begin the chores. A database that is away is waited for in the background."""

        async def learn() -> None:
            pool.replace(await self._apart(self._targets))

        async def note() -> None:
            if answering:
                begun = list(answering.values())
                answering.clear()
                await self._apart(lambda: note_answering(begun, now=_now()))

        async def extend() -> None:
            if under_way := list(self._under_way):
                await self._apart(lambda: extend_leases(call_ids=under_way, instance=self.instance, now=_now()))

        await _tolerantly(learn)
        for seconds, chore in (
            (TARGETS_EVERY_SECONDS, learn),
            (NOTE_EVERY_SECONDS, note),
            (LEASE_EVERY_SECONDS, extend),
            (SPOOL_EVERY_SECONDS, self._drain),
        ):
            self._chores.append(asyncio.create_task(_again_and_again(seconds, chore)))

    async def close(self) -> None:
        """Settle what was cut off, and end. After the last request."""
        for chore in self._chores:
            chore.cancel()
        await asyncio.gather(*self._chores, return_exceptions=True)
        while self._late:
            await asyncio.gather(*self._late, return_exceptions=True)
        await self._settling.close()
        await self._admitting.close()
        await _tolerantly(self._drain)
        for wire in (self._admission_wire, self._settlement_wire):
            wire.close()
        for thread in (self._admission_thread, self._settlement_thread, self._thread):
            thread.submit(connections.close_all)
            thread.shutdown()

    async def find_caller(self, key_text: str) -> Caller:
        """Whose key it is. Raises CallRefused: 401, or 503 where the database is away."""
        try:
            return find_caller(key_text, now=_now())
        except SynchronousOnlyOperation:
            pass  # not in memory: the database is asked, and not from this thread
        try:
            return await self._apart(lambda: find_caller(key_text, now=_now()))
        except AnyDatabaseError as error:
            logger.error("looking for a key failed: %s", _said(error))
            raise away() from None

    async def admit(self, request: CallRequest) -> Admission:
        """Hold what the call can cost. Raises CallRefused; 503 where the database does not answer."""
        try:
            answer = await self._admitting.submit(request, seconds=ADMIT_SECONDS)
        except (AnyDatabaseError, TimeoutError) as error:
            logger.error("admission failed: %s", _said(error))
            raise away() from None
        if isinstance(answer, CallRefused):
            raise answer
        self._under_way[request.call_id] = request
        return answer

    async def settle(self, outcome: Outcome) -> None:
        """Make the outcome durable: in the database or, where that fails, in the spool. It raises nothing."""
        try:
            ended = _Ended(outcome, self._under_way.get(outcome.call_id))
            await self._settling.submit(ended, seconds=SETTLE_SECONDS)
        except Exception as error:
            # A group fails as a whole; the spool takes each of its calls, and they are tried again one by one.
            logger.error("call %s goes to the spool: %s", outcome.call_id, _said(error))
            try:
                await asyncio.to_thread(self._spool.append, outcome)
            except OSError as full:
                # Its intent is still open: the sweep will ask the upstream what became of it.
                logger.critical("call %s could not be spooled: %s", outcome.call_id, full.strerror)
        finally:
            self._under_way.pop(outcome.call_id, None)

    def settle_later(self, outcome: Outcome) -> None:
        """Settle without anybody who waits; `close` does."""
        task = asyncio.create_task(self.settle(outcome))
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _admit(self, requests: Sequence[CallRequest]) -> list[Admission | CallRefused]:
        now = _now()
        try:
            group = AdmissionGroup(requests, now=now)
            arguments = group.arguments()
        except SynchronousOnlyOperation:
            return await _in(self._admission_thread, lambda: admit_calls(requests, now=now))
        if group.asked:
            try:
                group.hear(await self._admission_wire.fetch(ADMIT, arguments))
            except psycopg.Error:
                return await _in(self._admission_thread, lambda: admit_group(group, was_cut_off=True))
        if group.asked:
            return await _in(self._admission_thread, lambda: admit_group(group))
        return group.answers()

    async def _settle(self, ended: Sequence[_Ended]) -> list[Settled]:
        now = _now()
        outcomes = [one.outcome for one in ended]
        requests = {one.request.call_id: one.request for one in ended if one.request is not None}
        with contextlib.suppress(SynchronousOnlyOperation, psycopg.Error):  # the rule finds out what became of them
            finish = Finish.of(outcomes, requests, now=now)
            if finish is not None:
                settled = finish.settled(await self._settlement_wire.fetch(FINISH, finish.arguments))
                if settled is not None:
                    return settled
        return await _in(self._settlement_thread, lambda: settle_calls(outcomes, now=now))

    async def _drain(self) -> None:
        await self._apart(lambda: drain_spool(path=self._spool.path, now=_now()))

    async def _apart(self, work: Callable[[], T]) -> T:
        """Run database work in the chores' thread."""
        return await _in(self._thread, work)


def away() -> CallRefused:
    """503: nothing can be held or charged at the moment."""
    return CallRefused(503, "service_unavailable", "Calls cannot be taken at the moment; try again.", headers=_AWAY)


async def _in(thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    """Run database work that may be repeated in a thread that keeps its connection."""
    return await asyncio.get_running_loop().run_in_executor(thread, on_a_live_connection, work)


async def _again_and_again(seconds: float, chore: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        await _tolerantly(chore)


async def _tolerantly(chore: Callable[[], Awaitable[None]]) -> None:
    try:
        await chore()
    except Exception as error:
        logger.error("%s failed: %s", getattr(chore, "__name__", "a chore"), _said(error))


def _said(error: Exception) -> str:
    """What may stand in a log: the kind of error and the database's code, never its text, which can quote a row."""
    return f"{type(error).__name__} {getattr(error.__cause__, 'sqlstate', None) or ''}".rstrip()


def _now() -> datetime:
    return datetime.now(UTC)
