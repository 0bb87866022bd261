"""Events with charges, and statements that speak of them."""

from __future__ import annotations

import io
import json
from typing import Any

from tests.usage.factories import ACTOR, MODEL, NOW, ingest, line
from usage.services.ingesting import Status
from usage.services.reconciling import StatementImport, import_statement
from usage.sources.rows import read_rows


def charged(event_id: str, cost: str | None, **changes: Any) -> None:
    """Meter an event that costs USD 0.000345 at list price, for which the response says that `cost` was charged."""
    usage: dict[str, Any] = {"prompt_tokens": 100, "completion_tokens": 3, "total_tokens": 103}
    if cost is not None:
        usage["cost"] = "COST"
    raw = line(event_id, dialect="openrouter", usage=usage, **changes).replace(b'"COST"', (cost or "").encode())
    [result] = ingest(raw)
    assert result.status == Status.ACCEPTED, result


def charge(upstream_id: str, cost: str, **changes: Any) -> dict[str, Any]:
    """A statement's row of 5 October 2026, 12:00:03 in Korea."""
    return {
        "id": upstream_id,
        "created_at": "2026-10-05T03:00:03Z",
        "model": MODEL,
        "tokens_prompt": 100,
        "tokens_completion": 3,
        "total_cost": cost,
    } | changes


def stated(*rows: dict[str, Any], source: str = "statement.ndjson") -> StatementImport:
    """Read in a statement of these rows."""
    content = "\n".join(json.dumps(row) for row in rows).encode()
    stream = io.BufferedReader(io.BytesIO(content))  # type: ignore[arg-type]
    return import_statement(rows=read_rows(stream), source=source, actor=ACTOR, now=NOW)
