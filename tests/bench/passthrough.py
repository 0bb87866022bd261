"""The yardstick: an ASGI application that forwards to an upstream over aiohttp and does nothing else."""

from __future__ import annotations

import os
from typing import Any

import aiohttp

_KEPT = {b"authorization", b"content-type"}
_session: aiohttp.ClientSession | None = None


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Forward one request, and its answer piece by piece."""
    global _session
    if scope["type"] != "http":
        return
    if _session is None:
        _session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    headers = {name.decode(): value.decode() for name, value in scope["headers"] if name in _KEPT}
    async with _session.post(os.environ["UPSTREAM_URL"] + scope["path"], data=body, headers=headers) as answer:
        start = {"type": "http.response.start", "status": answer.status, "headers": []}
        for name in (b"content-type", b"content-length"):
            if (value := answer.headers.get(name.decode())) is not None:
                start["headers"].append((name, value.encode()))
        await send(start)
        async for piece in answer.content.iter_any():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
