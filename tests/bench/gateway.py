"""How fast calls are forwarded with everything on: key, admission, hold, durable settlement.

The yardstick is a bare aiohttp pass-through on uvicorn, in the same run, against the same upstream process, one worker each;
beside it the LiteLLM proxy and the Portkey gateway, which hold and store nothing, where they can be installed. Servers take
turns; a figure is the median of its turns. Streams have 20 chunks.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import servers
from tests.bench.load import Job, Result
from tests.bench.report import Measured
from tests.bench.servers import Server, Unavailable

CONNECTIONS = (1, 16, 64)
SECONDS = 2.0
TURNS = 3
PEER_TURNS = 1
OPEN_STREAMS = 1000
_PROMPT = "Say in two sentences what a metering gateway is for. @upstream(completion=40, chunks=20"

Key = tuple[str, str, int]


def measure() -> Measured:
    """Rates in answers per second, latencies in milliseconds, memory in kB."""
    # After Django is set up.
    from billing.services.spending import set_credit_terms
    from tests.gateway.shop import add_upstream, new_customer, open_shop

    found: dict[Key, Result] = {}
    figures: dict[str, float | str] = {}
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(servers.local_upstream())
        open_shop()
        customer, key = new_customer()
        set_credit_terms(
            customer=customer,
            credit_limit_krw=10**12,
            is_prepaid=False,
            reason="bench",
            actor="bench",
            now=datetime.now(UTC),
        )
        add_upstream("bench", f"{upstream}/api/v1", servers.UPSTREAM_KEY)
        load = stack.enter_context(_load_process())
        both = {
            "passthrough": stack.enter_context(servers.passthrough(upstream)),
            "ours": stack.enter_context(servers.ours(key)),
        }
        _measure_all(both, TURNS, load, found)
        figures["memory_kb_per_open_stream"] = _memory_kb(both["ours"], load)
        for name, start in (("litellm", servers.litellm), ("portkey", servers.portkey)):
            try:
                with start(upstream) as peer:
                    _measure_all({name: peer}, PEER_TURNS, load, found)
            except Unavailable as reason:
                figures[name] = f"left out: {reason}"
    return Measured(name="gateway", ratios=_ratios(found), figures=_figures(found) | figures)


def _ratios(found: dict[Key, Result]) -> dict[str, float]:
    ratios = {}
    for kind in ("nonstream", "stream"):
        for yardstick in ("passthrough", "litellm", "portkey"):
            for connections in CONNECTIONS:
                other = found.get((yardstick, kind, connections))
                if other is not None and other.rps:
                    ours = found["ours", kind, connections].rps
                    ratios[f"{kind}_c{connections}_vs_{yardstick}"] = round(ours / other.rps, 3)
    return ratios


def _figures(found: dict[Key, Result]) -> dict[str, float | str]:
    figures: dict[str, float | str] = {}
    for (name, kind, connections), result in found.items():
        label = f"{name}_{kind}_c{connections}"
        figures[f"{label}_rps"] = round(result.rps)
        figures[f"{label}_p50_p99_ms"] = f"{result.p50_ms:.2f} / {result.p99_ms:.2f}"
        if result.failures:
            figures[f"{label}_failures"] = result.failures
    for kind in ("nonstream", "stream"):
        added_ms = found["ours", kind, 16].p50_ms - found["passthrough", kind, 16].p50_ms
        figures[f"added_p50_{kind}_c16_ms"] = f"{added_ms:.2f}"
    return figures


Load = Callable[[Job], Result]


def _measure_all(compared: dict[str, Server], turns: int, load: Load, found: dict[Key, Result]) -> None:
    for server in compared.values():  # until everything is imported, connected and compiled
        load(_job(server, "nonstream", 16, 0.5))
        load(_job(server, "stream", 16, 0.5))
    for kind in ("nonstream", "stream"):
        for connections in CONNECTIONS:
            results: dict[str, list[Result]] = {name: [] for name in compared}
            for _ in range(turns):
                for name, server in compared.items():
                    results[name].append(load(_job(server, kind, connections, SECONDS)))
            for name, several in results.items():
                found[name, kind, connections] = Result(
                    rps=statistics.median(result.rps for result in several),
                    p50_ms=statistics.median(result.p50_ms for result in several),
                    p99_ms=statistics.median(result.p99_ms for result in several),
                    failures=sum(result.failures for result in several),
                )


def _job(server: Server, kind: str, connections: int, seconds: float, *, extra: str = "") -> Job:
    body = {
        "model": server.model,
        "messages": [{"role": "user", "content": f"{_PROMPT}{extra})"}],
        "max_tokens": 64,
        **({"stream": True} if kind == "stream" else {}),
    }
    marker = "[DONE]" if kind == "stream" else '"usage"'
    return Job(server.url, server.headers, json.dumps(body), connections, seconds, marker)


@contextlib.contextmanager
def _load_process() -> Iterator[Load]:
    command = [sys.executable, "-m", "tests.bench.load"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        writer, reader = process.stdin, process.stdout

        def load(job: Job) -> Result:
            writer.write(json.dumps(job.__dict__) + "\n")
            writer.flush()
            return Result(**json.loads(reader.readline()))

        yield load
        writer.close()


def _memory_kb(server: Server, load: Load) -> float:
    """What a slow open stream costs the gateway: its resident memory with so many open, less what it had before."""
    before = _resident_kb(server.pid)
    job = _job(server, "stream", OPEN_STREAMS, 0.1, extra=", slow_chunks=0.5")
    command = [sys.executable, "-m", "tests.bench.load"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        process.stdin.write(json.dumps(job.__dict__) + "\n")
        process.stdin.flush()
        peak = before
        deadline = time.monotonic() + 9
        while time.monotonic() < deadline:
            time.sleep(0.25)
            peak = max(peak, _resident_kb(server.pid))
        output, _ = process.communicate(timeout=60)
    result = Result(**json.loads(output))
    if result.failures:
        raise RuntimeError(f"{result.failures} of {OPEN_STREAMS} slow streams failed")
    return round((peak - before) / OPEN_STREAMS, 1)


def _resident_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise RuntimeError(f"no process {pid}")
