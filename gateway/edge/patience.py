"""Deadlines for the many short waits of a stream."""

from __future__ import annotations

import asyncio
from types import TracebackType


class Patience:
    """One timer for all waits inside `async with`: each says how long it may take, and mostly that is an assignment.

    Raises TimeoutError out of the block when the last stated time is over.
    """

    __slots__ = ("_deadline", "_handle", "_loop", "_timer")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer = asyncio.timeout(None)
        self._handle: asyncio.TimerHandle | None = None
        self._deadline = 0.0

    async def __aenter__(self) -> Patience:
        await self._timer.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle is not None:
            self._handle.cancel()
        await self._timer.__aexit__(kind, error, trace)

    def allow(self, seconds: float) -> None:
        """The wait that begins now may take so long; it takes the place of the one before."""
        self._deadline = deadline = self._loop.time() + seconds
        # A timer that is due earlier looks again then.
        if self._handle is None or deadline < self._handle.when():
            self._look_at(deadline)

    def _look_at(self, deadline: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._loop.call_at(deadline, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        if now >= self._deadline:
            self._timer.reschedule(now)
        else:
            self._look_at(self._deadline)
