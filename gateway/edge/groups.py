"""What many calls want of the database at about the same time, asked as one.

`usage.services.grouping` does this with threads; here the commit is awaited in the event loop itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_MAX_ITEMS = 1000


class Groups(Generic[Item, Answer]):
    """While one group is committed, everything that arrives becomes the next; alone nobody waits for company.

    `commit` gets the items in the order of submission and returns one answer for each. Use it in one event loop.
    """

    def __init__(self, commit: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]]) -> None:
        self._commit = commit
        self._waiting: list[tuple[Item, asyncio.Future[Answer]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def submit(self, item: Item, *, seconds: float) -> Answer:
        """The answer for this item; an exception of `commit` reaches every submitter of that group and no other.

        Raises TimeoutError where none came in that time. Neither that nor cancelling takes the item back: it is committed
        and nobody hears of it.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((item, answer))
        if self._worker is None:
            self._worker = loop.create_task(self._work())
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
                group, self._waiting = self._waiting[:_MAX_ITEMS], self._waiting[_MAX_ITEMS:]
                await self._answer(group)
        finally:
            self._worker = None

    async def _answer(self, group: list[tuple[Item, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._commit([item for item, _ in group])
            if len(answers) != len(group):
                raise RuntimeError(f"{len(group)} items were committed and {len(answers)} answered")
        except BaseException as error:  # whatever it is, nobody may wait for ever
            for _, future in group:
                if not future.done():
                    future.set_exception(error)
            if isinstance(error, asyncio.CancelledError):
                raise
            return
        for (_, future), answer in zip(group, answers, strict=True):
            if not future.done():  # else its submitter was cancelled
                future.set_result(answer)


def _expire(answer: asyncio.Future[Answer]) -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())
