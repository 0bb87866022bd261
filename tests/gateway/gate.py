"""The gateway's edge in this process, on a real port, before upstreams that do what a test's script says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import uvicorn

from config.edges import Dispatcher
from gateway.edge.app import ADDRESSES, GatewayEdge
from gateway.edge.desk import Desk
from gateway.edge.relay import Bounds
from gateway.upstreams import Target

MODEL, SERVED = "openai/gpt-5-mini", "openai/gpt-5-mini-2025-08-07"
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


@dataclass
class Got:
    """A request that reached an upstream; header names in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


Step = Callable[[Got, asyncio.StreamWriter], Awaitable[None]]


class Upstream:
    """Answers each request with the next step of `script`, the last one again and again. `got` is what came."""

    def __init__(
        self, *script: Step, dialect: str = "openrouter", number: int = 1, keys: int = 1, **terms: float
    ) -> None:
        self.script = list(script)
        self.got: list[Got] = []
        self.dialect, self.number, self.keys, self.terms = dialect, number, keys, terms
        self.port = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[list[Target]]:
        """Listen; yields the targets, one for each key."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self.targets()
        finally:
            server.close()

    def targets(self) -> list[Target]:
        """Whom calls go to."""
        return [
            Target(
                self.number,
                self.number * 10 + key,
                f"up{self.number}",
                f"http://127.0.0.1:{self.port}/v1",
                self.dialect,
                secret=f"sk-upstream-{self.number}-{key}",
                **self.terms,
            )
            for key in range(self.keys)
        ]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode("utf-8").split("\r\n")
                headers = dict(line.split(": ", 1) for line in lines if line)
                headers = {name.lower(): value for name, value in headers.items()}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                got = Got(first.split()[1], headers, body)
                self.got.append(got)
                await (self.script.pop(0) if len(self.script) > 1 else self.script[0])(got, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def reply(status: int = 200, body: Any = None, *, kind: str = "application/json", **headers: str) -> Step:
    """A whole answer; `body` is JSON unless it is bytes."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())

    async def step(_: Got, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\n{more}content-length: {len(data)}\r\n\r\n"
        writer.write(head.encode() + data)
        await writer.drain()

    return step


def stream(*pieces: bytes | float, end: bool = True, **headers: str) -> Step:
    """Server-sent bytes, each piece in a chunk of its own; a number is a pause in seconds. Without `end` it is cut."""
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())

    async def step(_: Got, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{more}transfer-encoding: chunked\r\n\r\n"
        writer.write(head.encode())
        for piece in pieces:
            if isinstance(piece, bytes):
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await writer.drain()
            else:
                await asyncio.sleep(piece)
        if end:
            writer.write(b"0\r\n\r\n")
        else:
            writer.close()

    return step


async def hang_up(_: Got, writer: asyncio.StreamWriter) -> None:
    """No answer, and the connection is reset."""
    writer.transport.abort()


async def silence(_: Got, writer: asyncio.StreamWriter) -> None:
    """No answer."""
    await asyncio.sleep(30)


async def endless(_: Got, writer: asyncio.StreamWriter) -> None:
    """A stream that goes on until its reader has had enough."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    piece = content("word ")
    while not writer.transport.is_closing():
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await writer.drain()
        await asyncio.sleep(0.002)


def sse(body: Any) -> bytes:
    """One event."""
    return b"data: " + (body if isinstance(body, bytes) else json.dumps(body).encode()) + b"\n\n"


def content(text: str, *, finish: str | None = None) -> bytes:
    """A chunk with some text."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return sse({"id": "gen-up", "object": "chat.completion.chunk", "model": SERVED, "choices": [choice]})


USAGE_CHUNK = sse({"id": "gen-up", "model": SERVED, "choices": [], "usage": USAGE})
DONE = sse(b"[DONE]")
ANSWER = {
    "id": "gen-up",
    "model": SERVED,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": USAGE,
}


@dataclass
class Answer:
    """What the client got."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


@dataclass
class Gate:
    """The running edge, with a client of it. `key` is what calls are made with."""

    url: str
    key: str
    server: uvicorn.Server
    client: aiohttp.ClientSession
    edge: GatewayEdge
    ids: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rsplit(":", 1)[1])

    def body(self, **body: Any) -> dict[str, Any]:
        """A chat request."""
        return {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 50, **body}

    async def chat(self, *, headers: dict[str, str] | None = None, **body: Any) -> Answer:
        """A chat call, read to its end."""
        return await self.post("/v1/chat/completions", self.body(**body), headers=headers)

    async def post(
        self, path: str, body: Any, *, headers: dict[str, str] | None = None, method: str = "POST"
    ) -> Answer:
        """Any call. A body that is not bytes goes as JSON; a header that is "" is left out."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"} | (headers or {})
        sent = {name: value for name, value in sent.items() if value}
        async with self.client.request(method, self.url + path, data=data, headers=sent) as answer:
            content = await answer.read()
            return Answer(answer.status, {name.lower(): value for name, value in answer.headers.items()}, content)


async def _elsewhere(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b"elsewhere"})


def at_the_gate(
    key: str,
    upstreams: Sequence[Upstream],
    scenario: Callable[[Gate], Awaitable[Any]],
    *,
    bounds: Bounds | None = None,
    grace_seconds: int = 10,
) -> Any:
    """Run a scenario with everything in one loop, end the server in order, and return what the scenario did."""

    async def run() -> Any:
        async with contexts(upstreams) as targets:
            edge = GatewayEdge(bounds=bounds, desk=Desk(targets=lambda: targets))
            config = uvicorn.Config(
                Dispatcher(dict.fromkeys(ADDRESSES, edge), _elsewhere),
                port=0,
                lifespan="on",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=grace_seconds,
            )
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server.serve())
            while not server.started:
                assert not serving.done(), serving
                await asyncio.sleep(0.005)
            port = server.servers[0].sockets[0].getsockname()[1]
            connector = aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as client:
                try:
                    return await scenario(Gate(f"http://127.0.0.1:{port}", key, server, client, edge))
                finally:
                    server.should_exit = True
                    await serving

    return asyncio.run(run())


@asynccontextmanager
async def contexts(upstreams: Sequence[Upstream]) -> AsyncIterator[list[Target]]:
    """All upstreams, in the order of their priority."""
    from contextlib import AsyncExitStack

    async with AsyncExitStack() as stack:
        targets: list[Target] = []
        for upstream in upstreams:
            targets += await stack.enter_async_context(upstream.running())
        yield targets
