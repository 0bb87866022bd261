"""The few words of ASGI that this edge speaks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from gateway.calls import CallRefused

Scope = dict[str, Any]
Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]


class ClientGone(Exception):
    """The client hung up before its request was there."""


class Memory:
    """How many bytes of request bodies wait in this process; beyond the limit new ones are sent away for a moment."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self.held_bytes = 0

    def take(self, size: int) -> None:
        """Count in. Raises CallRefused (503)."""
        if self.held_bytes + size > self._limit_bytes:
            raise CallRefused(
                503, "provider_overloaded", "Too much is being sent at once.", headers={"Retry-After": "1"}
            )
        self.held_bytes += size

    def give(self, size: int) -> None:
        """Count out."""
        self.held_bytes -= size


async def read_body(receive: Receive, *, stated_bytes: int | None, limit_bytes: int, memory: Memory) -> bytes:
    """The whole body; its size is counted in `memory` and is the caller's to give back.

    Raises CallRefused (413 beyond the limit, 503 where memory is full) and ClientGone; nothing is held then.
    """
    if stated_bytes is not None and stated_bytes > limit_bytes:
        raise _too_large(limit_bytes)
    pieces: list[bytes] = []
    size = 0
    try:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            piece = message.get("body", b"")
            if piece:
                if size + len(piece) > limit_bytes:
                    raise _too_large(limit_bytes)
                memory.take(len(piece))
                size += len(piece)
                pieces.append(piece)
            if not message.get("more_body", False):
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)
    except BaseException:
        memory.give(size)
        raise


def _too_large(limit_bytes: int) -> CallRefused:
    return CallRefused(413, "payload_too_large", f"A request may have at most {limit_bytes} bytes.")
