"""Group commit: batches form by themselves, and an answer, an exception or an end reaches whom it concerns."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from usage.services.grouping import GroupCommitter


class Commits:
    """A commit that waits until it is let go, doubles its items and remembers its batches."""

    def __init__(self, *, refused: int | None = None) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.refused = refused

    async def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        await self.gate.wait()
        if self.refused in items:
            raise ValueError(f"{self.refused} is refused")
        return [2 * item for item in items]


async def under_way(group: GroupCommitter[int, int], *items: int) -> list[asyncio.Task[int]]:
    """The items, handed in by as many coroutines."""
    tasks = [asyncio.create_task(group.submit(item)) for item in items]
    await asyncio.sleep(0)  # they submit
    await asyncio.sleep(0)  # a batch begins
    return tasks


def test_what_arrives_during_a_commit_is_the_next_batch() -> None:
    async def run() -> tuple[list[int], list[list[int]]]:
        commits = Commits()
        group = GroupCommitter(commits, max_items=4)
        tasks = await under_way(group, 0)
        tasks += await under_way(group, 1, 2, 3, 4, 5, 6)
        commits.gate.set()
        answers = await asyncio.gather(*tasks)
        await group.close()
        return list(answers), commits.batches

    assert asyncio.run(run()) == ([0, 2, 4, 6, 8, 10, 12], [[0], [1, 2, 3, 4], [5, 6]])


def test_an_exception_reaches_its_batch_and_no_other() -> None:
    async def run() -> tuple[list[int | BaseException], list[list[int]]]:
        commits = Commits(refused=2)
        group = GroupCommitter(commits, max_items=2)
        tasks = await under_way(group, 0)
        tasks += await under_way(group, 1, 2, 3)
        commits.gate.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        return list(answers), commits.batches

    (first, second, third, last), batches = asyncio.run(run())
    assert (first, last) == (0, 6)
    assert [str(second), str(third)] == ["2 is refused", "2 is refused"]
    assert batches == [[0], [1, 2], [3]]


def test_an_answer_too_few_is_an_error_of_all() -> None:
    async def nothing(_: Sequence[int]) -> list[int]:
        return []

    async def run() -> None:
        group: GroupCommitter[int, int] = GroupCommitter(nothing)
        with pytest.raises(RuntimeError, match="1 items were committed and 0 answered"):
            await group.submit(1)

    asyncio.run(run())


def test_whoever_is_cancelled_or_waits_too_long_takes_nothing_back() -> None:
    async def run() -> tuple[int, list[list[int]]]:
        commits = Commits()
        group = GroupCommitter(commits)
        [first] = await under_way(group, 0)
        cancelled, kept = await under_way(group, 1, 2)
        cancelled.cancel()
        with pytest.raises(TimeoutError):
            await group.submit(3, seconds=0.01)
        commits.gate.set()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        await first
        return await kept, commits.batches

    assert asyncio.run(run()) == (4, [[0], [1, 2, 3]])


def test_closing_commits_what_waits() -> None:
    async def run() -> tuple[list[int], list[list[int]]]:
        commits = Commits()
        group = GroupCommitter(commits, max_items=1)
        await group.close()  # nothing was ever submitted
        tasks = await under_way(group, 0, 1, 2)
        closing = asyncio.create_task(group.close())
        await asyncio.sleep(0)
        assert not closing.done()
        commits.gate.set()
        await closing
        return [task.result() for task in tasks], commits.batches

    assert asyncio.run(run()) == ([0, 2, 4], [[0], [1], [2]])
