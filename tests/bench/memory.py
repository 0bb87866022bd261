"""How large one server process gets, whatever is sent to it: peaks of resident memory, step after step in one process.

Eight clients at once send what is allowed at most (10,000 events in 16 MB) and what is far beyond it. Ratio: the peak of all
against 300 MB.
"""

from __future__ import annotations

import gzip
import http.client
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from django.db import connection

from accounts.services import create_api_key, create_customer
from catalog.models import Model, Price, Provider
from tests.bench.report import Measured
from tests.bench.servers import ours

LIMIT_MB = 300
CLIENTS = 8
MAX_EVENTS, MAX_BYTES = 10_000, 16_000_000
JSON, NDJSON = "application/json", "application/x-ndjson"
TIMEOUT_SECONDS = 300

#: Body, content type, content encoding; what a client of that number sends.
Request = tuple[bytes, str, str]


def measure() -> Measured:
    """Megabytes of resident memory at their highest after each step, and the answers' status codes."""
    key = _prepare()
    figures: dict[str, float | str] = {}
    with ours(key) as server:
        figures["idle_mb"] = peak = _peak_mb(server.pid)
        for name, make in _steps().items():
            codes = _send_at_once(server.url, key, make)
            peak = _peak_mb(server.pid)
            figures[name] = f"{peak:.0f} MB ({', '.join(sorted(set(codes)))})"
    return Measured(name="memory", ratios={"peak_vs_300mb": round(peak / LIMIT_MB, 2)}, figures=figures)


def _prepare() -> str:
    create_customer(slug="bench", name="bench", actor="bench")
    provider = Provider.objects.create(slug="bench", name="bench")
    model = Model.objects.create(provider=provider, model_id="bench/m", canonical_slug="bench/m", name="bench/m")
    Price.objects.create(
        model=model,
        kind=Price.Kind.LISTED,
        components={"prompt": "0.000003", "completion": "0.000015"},
        effective_from=datetime(2026, 1, 1, tzinfo=UTC),
        source="bench",
        created_by="bench",
    )
    secret = create_api_key(customer=None, name="bench", actor="bench").secret
    connection.close()
    return secret


def _steps() -> dict[str, Callable[[int], Request]]:
    """What each of the clients sends, by its number."""
    bomb = gzip.compress(b"[" + b" " * (1 << 30) + b"]", 9)
    lines = gzip.compress((_event("line", 0, 0) + b"\n") * 2_000_000, 6)
    too_many = b"[" + b",".join([b"{}"] * 100_001) + b"]"
    wide = b'{"id":"wide","usage":{' + b",".join(b'"k%d":%d' % (n, n) for n in range(60_000)) + b"}}"
    return {
        "largest_batches": lambda client: (_array(f"n{client}"), JSON, ""),
        "same_ids_at_once": lambda client: (_array("same"), JSON, ""),
        "largest_batches_gzip": lambda client: (gzip.compress(_array(f"g{client}"), 3), JSON, "gzip"),
        "gzip_bombs_of_1_gb": lambda client: (bomb, JSON, "gzip"),
        "ndjson_bombs_of_2_million_lines": lambda client: (lines, NDJSON, "gzip"),
        "100001_items": lambda client: (too_many, JSON, ""),
        "8_million_numbers": lambda client: (b"[" + b"1," * 7_900_000 + b"1]", JSON, ""),
        "one_text_of_16_mb": lambda client: (b'["' + b"x" * (MAX_BYTES - 10) + b'"]', JSON, ""),
        "8_million_brackets": lambda client: (b"[" * 8_000_000, JSON, ""),
        "one_event_of_900_kb": lambda client: (b"[" + wide + b"]", JSON, ""),
        "10000_refusals": lambda client: (
            b"[" + b",".join([b'{"id":"%s"}' % (b"q" * 1500)] * MAX_EVENTS) + b"]",
            JSON,
            "",
        ),
    }


def _array(label: str) -> bytes:
    """As many and as long events as one request may carry."""
    width = MAX_BYTES // MAX_EVENTS - 40
    return b"[" + b",".join(_event(label, number, width) for number in range(MAX_EVENTS)) + b"]"


def _event(label: str, number: int, width: int) -> bytes:
    event = {
        "id": f"gen-{label}-{number}",
        "customer": "bench",
        "model": "bench/m",
        "occurred_at": "2026-10-05T12:00:00+09:00",
        "dialect": "openai_chat",
        "usage": {"prompt_tokens": 100, "completion_tokens": 3},
        "app": {"title": "x" * 200, "referer": "https://desk.example/" + "y" * 250},
    }
    body = json.dumps(event).encode()
    return body[:-1] + b" " * (width - len(body)) + b"}"


def _send_at_once(url: str, key: str, make: Callable[[int], Request]) -> list[str]:
    requests = [make(client) for client in range(CLIENTS)]
    codes = ["none"] * CLIENTS

    def send(client: int) -> None:
        body, content_type, encoding = requests[client]
        headers = {"Authorization": f"Bearer {key}", "Content-Type": content_type}
        if encoding:
            headers["Content-Encoding"] = encoding
        asked = http.client.HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT_SECONDS)
        asked.request("POST", "/billing/v1/usage/events", body, headers)
        answer = asked.getresponse()
        answer.read()
        codes[client] = str(answer.status)

    clients = [threading.Thread(target=send, args=(client,)) for client in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return codes


def _peak_mb(pid: int) -> float:
    """Linux keeps the highest resident size of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1024)
    raise RuntimeError("the server has ended")
