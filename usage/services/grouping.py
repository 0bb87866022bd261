"""Group commit: what many coroutines submit at about the same time is committed as one batch.

A commit costs the same for one row as for fifty. While a thread commits one batch, everything that arrives becomes the
next one: alone nobody waits for company, and under load the batches grow by themselves.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

from django.db import connections

Item = TypeVar("Item")
Answer = TypeVar("Answer")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Item]):
    """An item and where its submitter waits."""

    item: Item
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]


class GroupCommitter(Generic[Item, Answer]):
    """Gathers what many coroutines submit and commits it as one batch, in a thread of its own (own DB connection).

    `commit` gets 1 to `max_items` items in the order of submission and returns one answer for each, durable by then; with
    several `threads` it is called from all of them at once. Threads start with the first item.
    """

    def __init__(
        self, commit: Callable[[Sequence[Item]], Sequence[Answer]], *, max_items: int = 1000, threads: int = 1
    ) -> None:
        self._commit = commit
        self._max_items = max_items
        self._thread_count = threads
        self._threads: list[threading.Thread] = []
        self._changed = threading.Condition()
        self._waiting: deque[_Waiting[Item]] = deque()
        self._closed = False

    async def submit(self, item: Item) -> Answer:
        """The answer for this item; an exception of `commit` reaches every submitter of that batch and no other.

        Cancelling a submitter does not take its item back: it is committed and nobody hears of it.
        Raises RuntimeError after `close`.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(item, loop, loop.create_future())
        with self._changed:
            if self._closed:
                raise RuntimeError("the group committer is closed")
            if not self._threads:
                self._start()
            self._waiting.append(waiting)
            self._changed.notify()
        answer: Answer = await waiting.answer
        return answer

    async def close(self) -> None:
        """Commit what was submitted, then end the threads and close their connections. Repeating it changes nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _start(self) -> None:
        # Daemons: a process that ends without `close` is no worse than one that is killed.
        self._threads = [
            threading.Thread(target=self._work, name=f"group-commit-{number}", daemon=True)
            for number in range(self._thread_count)
        ]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        try:
            while batch := self._next_batch():
                self._answer(batch)
        finally:
            connections.close_all()

    def _next_batch(self) -> list[_Waiting[Item]]:
        """What waits now, or the first that comes; nothing only after `close`."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            batch = list(islice(self._waiting, self._max_items))
            for _ in batch:
                self._waiting.popleft()
            return batch

    def _answer(self, batch: Sequence[_Waiting[Item]]) -> None:
        try:
            answers: Sequence[Any] = self._commit([waiting.item for waiting in batch])
            if len(answers) != len(batch):
                raise RuntimeError(f"{len(batch)} items were committed and {len(answers)} answered")
            failed = False
        except BaseException as error:  # whatever it is, nobody may wait for ever
            answers, failed = [error] * len(batch), True
            # A connection that broke is opened anew by the next batch.
            connections.close_all()
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
        for waiting, answer in zip(batch, answers, strict=True):
            by_loop.setdefault(waiting.loop, []).append((waiting.answer, answer))
        for loop, answered in by_loop.items():
            try:
                loop.call_soon_threadsafe(_deliver, answered, failed)
            except RuntimeError:  # the loop ended, and its submitters with it
                logger.warning("%d answers of a group commit found no loop", len(answered))


def _deliver(answered: Sequence[tuple[asyncio.Future[Any], Any]], failed: bool) -> None:
    for future, answer in answered:
        if future.done():  # its submitter was cancelled
            continue
        if failed:
            future.set_exception(answer)
        else:
            future.set_result(answer)
