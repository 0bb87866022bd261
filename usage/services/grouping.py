"""Group commit: what many coroutines submit at about the same time is committed as one batch.

A commit costs the same for one row as for fifty. While one batch is committed, everything that arrives becomes the next
one: alone nobody waits for company, and under load the batches grow by themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class GroupCommitter(Generic[Item, Answer]):
    """Gathers what coroutines of one event loop submit.

    `commit` gets 1 to `max_items` items in the order of submission and returns one answer for each, durable by then. Work
    that blocks it gives to a thread.
    """

    def __init__(
        self, commit: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]], *, max_items: int = 1000
    ) -> None:
        self._commit = commit
        self._max_items = max_items
        self._waiting: list[tuple[Item, asyncio.Future[Answer]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def submit(self, item: Item, *, seconds: float | None = None) -> Answer:
        """The answer for this item; an exception of `commit` reaches every submitter of that batch and no other.

        Raises TimeoutError where none came in so many seconds. Neither that nor cancelling takes the item back: it is
        committed and nobody hears of it.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((item, answer))
        if self._worker is None:
            self._worker = loop.create_task(self._work())
        if seconds is None:
            return await answer
        # Cheaper than asyncio.timeout, which is made for more than one wait.
        timer = loop.call_later(seconds, _expire, answer)
        try:
            return await answer
        finally:
            timer.cancel()

    async def close(self) -> None:
        """Commit what was submitted."""
        while self._worker is not None:
            await asyncio.wait([self._worker])

    async def _work(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self._max_items], self._waiting[self._max_items :]
                await self._answer(batch)
        finally:
            self._worker = None

    async def _answer(self, batch: list[tuple[Item, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._commit([item for item, _ in batch])
            if len(answers) != len(batch):
                raise RuntimeError(f"{len(batch)} items were committed and {len(answers)} answered")
        except BaseException as error:  # whatever it is, nobody may wait for ever
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            if isinstance(error, asyncio.CancelledError):
                raise
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():  # else its submitter was cancelled
                future.set_result(answer)


def _expire(answer: asyncio.Future[Answer]) -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())
