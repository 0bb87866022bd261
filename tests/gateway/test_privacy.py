"""What was said is nowhere afterwards: not in the database, not in the logs, not on the disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from psycopg import sql
from pytest_django import Settings

from tests.gateway.gate import (
    DONE,
    MODEL,
    SERVED,
    USAGE,
    Answer,
    Gate,
    Upstream,
    at_the_gate,
    content,
    hang_up,
    reply,
    sse,
    stream,
)
from tests.gateway.money import forget
from tests.gateway.shop import new_customer
from tests.gateway.site import Site

PROMPT, ANSWERED = "canary-7f3a-prompt", "canary-7f3a-answer"


def everything_stored() -> list[str]:
    """Every row of every table that holds the canary, as text."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
        )
        tables = [name for (name,) in cursor.fetchall()]
        found = []
        for name in tables:
            query = sql.SQL("SELECT whole::text FROM {} AS whole WHERE whole::text LIKE '%%canary-7f3a%%'")
            cursor.execute(query.format(sql.Identifier(name)))
            found += [f"{name}: {row}" for (row,) in cursor.fetchall()]
    assert len(tables) > 50
    return found


def test_a_canary_is_found_nowhere(
    site: Site,
    settings: Settings,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    settings.GATEWAY_SPOOL_DIR = tmp_path
    caplog.set_level("DEBUG")
    forget()
    _, key = new_customer()
    answer = {"id": "gen-up", "model": SERVED, "usage": {**USAGE, "note": ANSWERED * 20}}
    answer["choices"] = [{"message": {"content": ANSWERED}, "finish_reason": "stop"}]
    upstream = Upstream(
        reply(200, answer),
        stream(content(ANSWERED), sse({"choices": [], "usage": USAGE}), DONE),
        stream(content(ANSWERED), sse(b'{"broken ' + ANSWERED.encode()), end=False),
        reply(400, {"error": {"message": ANSWERED}}),
        reply(500, {"error": {"message": ANSWERED}}),
        reply(200, ANSWERED.encode(), kind="text/html"),
        hang_up,
    )
    messages = [{"role": "user", "content": PROMPT}]

    async def scenario(gate: Gate) -> list[Answer]:
        answers = []
        for stream_it in (False, True, True, False, False, False):
            answers.append(await gate.chat(messages=messages, stream=stream_it, user=PROMPT, metadata={"x": PROMPT}))
        broken: Any = json.dumps({"model": MODEL, "n": PROMPT, "messages": messages}).encode()
        answers.append(await gate.post("/v1/chat/completions", broken))
        answers.append(await gate.post(f"/v1/chat/completions?q={PROMPT}", {"model": "nobody/knows", "prompt": PROMPT}))
        return answers

    answers = at_the_gate(key, [upstream], scenario)
    assert [answer.status for answer in answers] == [200, 200, 200, 400, 502, 502, 400, 404]
    assert ANSWERED.encode() in answers[0].body
    assert PROMPT not in answers[6].body.decode()
    assert everything_stored() == []
    assert "canary-7f3a" not in caplog.text
    assert "canary-7f3a" not in "".join(capfd.readouterr())
    assert [path for path in tmp_path.rglob("*") if path.is_file() and b"canary-7f3a" in path.read_bytes()] == []


def test_the_site_writes_no_canary_either(site: Site) -> None:
    import requests

    _, key = new_customer()
    body = {"model": MODEL, "max_tokens": 30, "messages": [{"role": "user", "content": PROMPT}]}
    for extra in ({}, {"stream": True}, {"n": PROMPT}):
        url = f"{site.url}/v1/chat/completions?q={PROMPT}" if "n" in extra else f"{site.url}/v1/chat/completions"
        requests.post(url, json=body | extra, headers={"Authorization": f"Bearer {key}"}, timeout=30)
    assert everything_stored() == []
    assert "canary-7f3a" not in site.log.read_text()
