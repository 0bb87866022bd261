"""Calling an ASGI application as a server does, without one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Answer:
    """What the application said."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes = b""


async def send_to(
    application: Any,
    path: str,
    body: bytes | Iterable[bytes],
    headers: Mapping[str, str],
    *,
    host: str = "127.0.0.1",
    breaks_off: bool = False,
) -> Answer:
    """POST the body, in parts of 64 kB or as given; the answer. `breaks_off`: the connection ends before the body."""
    if isinstance(body, bytes):
        body = [body[first : first + 65_536] for first in range(0, len(body), 65_536)]
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": part, "more_body": True} for part in body]
    messages.append({"type": "http.disconnect"} if breaks_off else {"type": "http.request", "body": b""})
    coming = iter(messages)
    answer = Answer()

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        return next(coming)

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            answer.content += message.get("body", b"")

    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(b"host", host.encode()), *raw],
    }
    await application(scope, receive, send)
    return answer


def call(*arguments: Any, **options: Any) -> Answer:
    """`send_to` in an event loop of its own."""
    return asyncio.run(send_to(*arguments, **options))
