"""Group commit: batches form by themselves, and an answer, an exception or an end reaches whom it concerns."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest
from django.db import connection

from tests.ground.waiting import eventually
from usage.services.grouping import GroupCommitter


class Commits:
    """A commit that waits until it is let go, doubles its items and remembers its batches."""

    def __init__(self, *, refused: int | None = None) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.begun = threading.Event()
        self.refused = refused

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.begun.set()
        assert self.gate.wait(timeout=30)
        if self.refused in items:
            raise ValueError(f"{self.refused} is refused")
        return [2 * item for item in items]

    async def first_batch(self) -> None:
        await asyncio.to_thread(self.begun.wait, 30)


def test_what_arrives_during_a_commit_is_the_next_batch() -> None:
    commits = Commits()

    async def run() -> list[int]:
        group = GroupCommitter(commits, max_items=4)
        first = asyncio.create_task(group.submit(0))
        await commits.first_batch()
        rest = [asyncio.create_task(group.submit(number)) for number in range(1, 7)]
        await asyncio.sleep(0)
        commits.gate.set()
        answers = await asyncio.gather(first, *rest)
        await group.close()
        return list(answers)

    assert asyncio.run(run()) == [0, 2, 4, 6, 8, 10, 12]
    assert commits.batches == [[0], [1, 2, 3, 4], [5, 6]]


def test_an_exception_reaches_its_batch_and_no_other() -> None:
    commits = Commits(refused=2)

    async def run() -> list[int | BaseException]:
        group = GroupCommitter(commits, max_items=2)
        first = asyncio.create_task(group.submit(0))
        await commits.first_batch()
        rest = [asyncio.create_task(group.submit(number)) for number in (1, 2, 3)]
        await asyncio.sleep(0)
        commits.gate.set()
        answers = await asyncio.gather(first, *rest, return_exceptions=True)
        await group.close()
        return list(answers)

    first, second, third, last = asyncio.run(run())
    assert (first, last) == (0, 6)
    assert [str(second), str(third)] == ["2 is refused", "2 is refused"]
    assert commits.batches == [[0], [1, 2], [3]]


def test_an_answer_too_few_is_an_error_of_all() -> None:
    async def run() -> None:
        group: GroupCommitter[int, int] = GroupCommitter(lambda items: [])
        with pytest.raises(RuntimeError, match="1 items were committed and 0 answered"):
            await group.submit(1)
        await group.close()

    asyncio.run(run())


def test_a_cancelled_submitter_takes_nothing_back() -> None:
    commits = Commits()

    async def run() -> int:
        group = GroupCommitter(commits)
        first = asyncio.create_task(group.submit(0))
        await commits.first_batch()
        cancelled, kept = asyncio.create_task(group.submit(1)), asyncio.create_task(group.submit(2))
        await asyncio.sleep(0)
        cancelled.cancel()
        commits.gate.set()
        answer = await kept
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        await first
        await group.close()
        return answer

    assert asyncio.run(run()) == 4
    assert commits.batches == [[0], [1, 2]]


def test_closing_commits_what_waits_and_takes_nothing_new() -> None:
    commits = Commits()

    async def run() -> list[int]:
        group = GroupCommitter(commits, max_items=1)
        tasks = [asyncio.create_task(group.submit(number)) for number in range(3)]
        await commits.first_batch()
        closing = asyncio.create_task(group.close())
        await asyncio.sleep(0)
        commits.gate.set()
        await closing
        with pytest.raises(RuntimeError, match="closed"):
            await group.submit(9)
        await group.close()
        return [await task for task in tasks]

    assert asyncio.run(run()) == [0, 2, 4]
    assert commits.batches == [[0], [1], [2]]


def test_closing_one_that_was_never_used() -> None:
    async def run() -> None:
        group: GroupCommitter[int, int] = GroupCommitter(lambda items: items)
        await group.close()

    asyncio.run(run())


@pytest.mark.django_db(transaction=True)
def test_each_thread_keeps_a_connection_and_closes_it() -> None:
    backends: list[int] = []
    both = threading.Barrier(2)

    def commit(items: Sequence[int]) -> list[int]:
        both.wait(timeout=30)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            backends.append(cursor.fetchone()[0])
        return list(items)

    async def run() -> None:
        group = GroupCommitter(commit, max_items=1, threads=2)
        for _ in range(2):
            await asyncio.gather(group.submit(1), group.submit(2))
        await group.close()

    asyncio.run(run())
    assert (len(backends), len(set(backends))) == (4, 2)
    eventually(lambda: not _alive(backends))


def _alive(backends: list[int]) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s)", [backends])
        count: int = cursor.fetchone()[0]
    return count


@pytest.mark.django_db(transaction=True)
def test_a_broken_connection_is_opened_anew() -> None:
    def commit(items: Sequence[str]) -> list[int]:
        with connection.cursor() as cursor:
            cursor.execute(items[0])
            return [cursor.fetchone()[0]]

    async def run() -> int:
        group = GroupCommitter(commit)
        with pytest.raises(Exception, match="terminat"):
            await group.submit("SELECT 1 FROM (SELECT pg_terminate_backend(pg_backend_pid())) AS gone")
        answer = await group.submit("SELECT 1")
        await group.close()
        return answer

    assert asyncio.run(run()) == 1
