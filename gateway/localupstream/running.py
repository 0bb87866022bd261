"""Running the upstream until it is told to end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import uvloop

from .app import Upstream
from .http import serve
from .journal import Journal
from .shelf import Shelf

HOST = "127.0.0.1"


def run(*, port: int, key: str, catalog: Path, log: Path | None, seed: str, started: Callable[[int], None]) -> None:
    """Serve on this machine's loopback until SIGTERM or SIGINT; `started` gets the port (0 takes a free one).

    Raises OSError (port, files) and catalog.listing.ListingError.
    """
    upstream = Upstream(key=key, shelf=Shelf.load(catalog), journal=Journal(log), seed=seed)
    uvloop.run(_serve(upstream, port, started))


async def _serve(upstream: Upstream, port: int, started: Callable[[int], None]) -> None:
    server = await serve(upstream, host=HOST, port=port)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    started(server.sockets[0].getsockname()[1])
    await ended.wait()
    server.close()
