"""HTTP/1.1 by hand, because a fault wants what no framework gives: half an answer, a reset, a byte too many."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import httptools

_REASONS = {200: b"OK", 400: b"Bad Request", 401: b"Unauthorized", 404: b"Not Found", 429: b"Too Many Requests"}
_LINGER_NOT = struct.pack("ii", 1, 0)

#: Answers an exchange: at once (None), or by a coroutine that is run as a task and cancelled where the client hangs up.
Handler = Callable[["Exchange"], Coroutine[Any, Any, None] | None]


@dataclass(slots=True)
class Exchange:
    """One request, and the way back. Header names are in lower case."""

    connection: Connection
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    keep_alive: bool

    def reply(self, status: int, content_type: str, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Send a whole answer."""
        self.connection.send(self._head(status, content_type, headers, f"content-length: {len(body)}\r\n") + body)

    def begin(self, status: int, content_type: str, headers: Mapping[str, str] | None = None) -> None:
        """Send the head of an answer that comes in chunks."""
        self.connection.send(self._head(status, content_type, headers, "transfer-encoding: chunked\r\n"))

    async def chunk(self, data: bytes) -> None:
        """Send a chunk, and wait while the client reads more slowly than that."""
        if data:  # an empty chunk would be the end
            self.connection.send(b"%x\r\n%b\r\n" % (len(data), data))
            await self.connection.drained()

    def end(self, last: bytes = b"") -> None:
        """Send what is left and the end of the chunks, in one piece."""
        self.connection.send((b"%x\r\n%b\r\n" % (len(last), last) if last else b"") + b"0\r\n\r\n")

    def _head(self, status: int, content_type: str, headers: Mapping[str, str] | None, framing: str) -> bytes:
        extra = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        persistence = "" if self.keep_alive else "connection: close\r\n"
        return b"HTTP/1.1 %d %b\r\n" % (status, _REASONS.get(status, b"Status")) + (
            f"content-type: {content_type}\r\n{extra}{persistence}{framing}\r\n".encode()
        )


class Connection(asyncio.Protocol):
    """One connection: requests in, one after the other, each to the handler."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Exchange] = deque()
        self._task: asyncio.Task[None] | None = None
        self._room = asyncio.Event()
        self._room.set()
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # what TCP gives, in every event loop

    def connection_lost(self, error: Exception | None) -> None:
        self._waiting.clear()
        if self._task:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def on_message_begin(self) -> None:
        self._url, self._headers, self._body = b"", {}, bytearray()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")
        if name.lower() == b"expect":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self._waiting.append(
            Exchange(
                self,
                self._parser.get_method().decode(),
                self._url.decode("latin-1"),
                self._headers,
                bytes(self._body),
                self._parser.should_keep_alive(),
            )
        )
        self._answer_next()

    def send(self, data: bytes) -> None:
        """Hand bytes to the transport."""
        if not self._transport.is_closing():
            self._transport.write(data)

    async def drained(self) -> None:
        """Let the bytes go out, and wait until there is room for more."""
        await asyncio.sleep(0)
        await self._room.wait()

    def hang_up(self) -> None:
        """End the connection after what was sent."""
        self._transport.close()

    def reset(self) -> None:
        """End the connection at once, with a reset."""
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self._transport.abort()

    def _answer_next(self) -> None:
        while self._waiting and self._task is None:
            exchange = self._waiting.popleft()
            work = self._handler(exchange)
            if work is None:
                self._finish(exchange)
            else:
                self._task = asyncio.get_running_loop().create_task(work)
                self._task.add_done_callback(partial(self._done, exchange))

    def _done(self, exchange: Exchange, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and (error := task.exception()):
            self._transport.abort()
            raise error
        self._finish(exchange)
        if not self._transport.is_closing():
            self._answer_next()

    def _finish(self, exchange: Exchange) -> None:
        if not exchange.keep_alive:
            self._transport.close()


async def serve(handler: Handler, *, host: str, port: int) -> asyncio.Server:
    """Listen; port 0 takes a free one."""
    return await asyncio.get_running_loop().create_server(lambda: Connection(handler), host, port, backlog=2048)
