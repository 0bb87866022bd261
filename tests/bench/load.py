"""A client that costs little: keep-alive connections over raw asyncio, each with one request at a time.

`python -m tests.bench.load` reads one job as JSON from stdin per line and prints its result as JSON: a process of its own,
so that the client's work is not the measured server's.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import cast
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Job:
    """POST `body` to `url` for `seconds` over so many connections. `marker` has to be in every answer."""

    url: str
    headers: dict[str, str]
    body: str
    connections: int
    seconds: float
    marker: str


@dataclass(frozen=True)
class Result:
    """Answers per second, latencies in milliseconds, and how many answers were none (no 200, no marker, cut)."""

    rps: float
    p50_ms: float
    p99_ms: float
    failures: int


class _Connection(asyncio.Protocol):
    """Sends the request again and again; an answer ends with its Content-Length or its last chunk."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._buffer = bytearray()
        self._expected: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def _ask(self) -> None:
        self._buffer.clear()
        self._expected = None
        self._begun = time.perf_counter()
        self._transport.write(self._run.request)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        if self._expected is None:
            head = buffer.find(b"\r\n\r\n")
            if head < 0:
                return
            names = bytes(buffer[:head]).lower()
            at = names.find(b"content-length: ")
            self._expected = head + 4 + int(names[at + 16 :].split(b"\r\n", 1)[0]) if at >= 0 else -1
        is_whole = len(buffer) >= self._expected if self._expected >= 0 else buffer.endswith(b"0\r\n\r\n")
        if is_whole:
            is_good = buffer.startswith(b"HTTP/1.1 200") and self._run.marker in buffer
            if self._run.note(time.perf_counter() - self._begun, is_good, bytes(buffer)):
                self._ask()
            else:
                self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._run.lose()


class _Run:
    def __init__(self, job: Job) -> None:
        self.job = job
        url = urlsplit(job.url)
        body = job.body.encode()
        head = "".join(f"{name}: {value}\r\n" for name, value in job.headers.items())
        self.address = (url.hostname or "127.0.0.1", url.port or 80)
        self.request = (
            f"POST {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Type: application/json\r\n{head}"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        self.marker = job.marker.encode()
        self.seconds: list[float] = []
        self.failures = 0
        self.open = job.connections
        self.until = 0.0

    def note(self, seconds: float, is_good: bool, answer: bytes) -> bool:
        """Count an answer; whether there shall be another."""
        if is_good:
            self.seconds.append(seconds)
        else:
            if not self.failures:
                print(answer[:600], file=sys.stderr)
            self.failures += 1
        return time.perf_counter() < self.until

    def lose(self) -> None:
        self.open -= 1
        self.failures += time.perf_counter() < self.until
        if not self.open:
            self.done.set_result(None)

    async def run(self) -> Result:
        loop = asyncio.get_running_loop()
        self.done = loop.create_future()
        begun = time.perf_counter()
        self.until = begun + self.job.seconds
        for _ in range(self.job.connections):
            await loop.create_connection(lambda: _Connection(self), *self.address)
        await asyncio.wait_for(self.done, self.job.seconds + 60)
        elapsed = time.perf_counter() - begun
        ordered = sorted(self.seconds) or [0.0]
        return Result(
            rps=len(self.seconds) / elapsed,
            p50_ms=ordered[len(ordered) // 2] * 1000,
            p99_ms=ordered[len(ordered) * 99 // 100] * 1000,
            failures=self.failures,
        )


def main() -> None:
    """Run jobs until stdin ends."""
    import uvloop

    for line in sys.stdin:
        result = uvloop.run(_Run(Job(**json.loads(line))).run())
        print(json.dumps(asdict(result)), flush=True)


if __name__ == "__main__":
    main()
