"""Which ASGI application answers which request: the raw edges their own addresses, Django everything else.

An edge is an ASGI application for requests that may not pay for Django's way of handling one. It never sees a lifespan
event (Django's application speaks none): it is started before the first request and stopped after the last.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

Scope = dict[str, Any]
Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

logger = logging.getLogger(__name__)


class Edge(Protocol):
    """An ASGI application with a beginning and an end."""

    async def startup(self) -> None:
        """Make ready; called once, in the event loop that serves. An exception keeps the server from starting."""

    async def shutdown(self) -> None:
        """Finish what is under way and let go; called once, after the last request."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""


class Dispatcher:
    """`routes` are (method, path) -> edge, both exact; what they do not name goes to `default`."""

    def __init__(self, routes: Mapping[tuple[str, str], Edge], default: Application) -> None:
        self._routes = routes
        self._edges = list({id(edge): edge for edge in routes.values()}.values())
        self._default = default

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request to whoever answers its address."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        edge = self._routes.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        await (edge or self._default)(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()  # lifespan.startup
        started: list[Edge] = []
        try:
            for edge in self._edges:
                await edge.startup()
                started.append(edge)
        except Exception as error:
            logger.exception("an edge did not start")
            await _shut_down(started)
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        # What was imported lives as long as the process: the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        await send({"type": "lifespan.startup.complete"})
        await receive()  # lifespan.shutdown
        await _shut_down(started)
        await send({"type": "lifespan.shutdown.complete"})


async def _shut_down(edges: list[Edge]) -> None:
    for edge in reversed(edges):
        try:
            await edge.shutdown()
        except Exception:
            logger.exception("an edge did not end well")
