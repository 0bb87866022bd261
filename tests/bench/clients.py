"""Clients of the ingest benchmark, each a process: raw HTTP/1.1 over kept connections, bodies made beforehand."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier

from tests.bench.events import BATCH_EVENTS, make_batches, make_single

PATH = "/billing/v1/usage/events"


@dataclass(frozen=True)
class Target:
    """Where events are sent, and with which key."""

    port: int
    secret: str

    def request(self, lines: Sequence[bytes]) -> bytes:
        """A whole request with these events."""
        body = b"\n".join(lines)
        head = (
            f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nAuthorization: Bearer {self.secret}\r\n"
            f"Content-Type: application/x-ndjson\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


class Connection:
    """One kept connection; one request at a time."""

    def __init__(self, target: Target) -> None:
        self._socket = socket.create_connection(("127.0.0.1", target.port), timeout=120)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, request: bytes, expected: bytes) -> None:
        """Send it; the answer must say `expected`. RuntimeError otherwise."""
        self._socket.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._receive()
        head, _, content = answer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        parts, size = [content], len(content)
        while size < length:
            parts.append(self._receive())
            size += len(parts[-1])
        if expected not in b"".join(parts)[:200]:
            raise RuntimeError(f"a benchmark's events must be {expected!r}: {head[:20]!r} {content[:300]!r}")

    def _receive(self) -> bytes:
        received = self._socket.recv(262_144)
        if not received:
            raise RuntimeError("the server hung up")
        return received


def post_batches(connection: Connection, requests: Sequence[bytes], status: str) -> None:
    """Send batches one after the other; every event must come out as `status`, and priced."""
    expected = f'"{status}":{BATCH_EVENTS},'.encode()
    for request in requests:
        connection.send(request, expected)


def post_many(target: Target, label: str, batches: int, ready: Barrier, done: Barrier) -> None:
    """A client that sends batches of its own as soon as all are ready."""
    requests = [target.request(batch) for batch in make_batches(label, batches)]
    connection = Connection(target)
    ready.wait(timeout=120)
    post_batches(connection, requests, "accepted")
    done.wait(timeout=120)


def post_singles(target: Target, label: str, connections: int, each: int, ready: Barrier, done: Barrier) -> None:
    """Connections that each send one event after the other."""
    requests = [
        [target.request([make_single(f"{label}-{number}", count)]) for count in range(each)]
        for number in range(connections)
    ]
    asyncio.run(_post_singles(target, requests, ready, done))


async def _post_singles(target: Target, requests: list[list[bytes]], ready: Barrier, done: Barrier) -> None:
    streams = [await asyncio.open_connection("127.0.0.1", target.port) for _ in requests]
    ready.wait(timeout=120)
    await asyncio.gather(*(_post_each(*pair, own) for pair, own in zip(streams, requests, strict=True)))
    done.wait(timeout=120)


async def _post_each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, requests: list[bytes]) -> None:
    for request in requests:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        content = await reader.readexactly(length)
        if b'"accepted":1,' not in content:
            raise RuntimeError(f"a benchmark's event must be accepted: {content[:300]!r}")
