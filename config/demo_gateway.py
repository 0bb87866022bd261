"""The demo's upstream: a made-up one on this machine, so that a newcomer's first call is answered and billed."""

from __future__ import annotations

import http.client
import json
import secrets
import socket
import sys
import time
from pathlib import Path
from typing import Any

from config import env
from config.demo_steps import ACTOR, Say
from config.processes import ProcessError, Supervisor
from config.serve import is_alive, web

MODEL = "openai/gpt-5-mini"
GREETING = "안녕하세요, 정산!"
_PATIENCE_SECONDS = 60
_METERED_SECONDS = 10


def start_upstream(processes: Supervisor, folder: Path) -> None:
    """Run `manage.py upstream` beside the site, on a free port and with a new key, and forward all calls to it."""
    from django.utils import timezone

    from gateway.services.upstreams import set_upstream, set_upstream_key

    port, key = _free_port(), f"sk-local-{secrets.token_urlsafe(18)}"
    manage, log = env.REPOSITORY / "manage.py", folder / "upstream.jsonl"
    options = ["--port", str(port), "--key", key, "--log", str(log), "--seed", "demo"]
    processes.start("upstream", [sys.executable, str(manage), "upstream", *options])
    processes.wait_until(
        lambda: is_alive(port, "/v1/models"), "The first answer of the local upstream", seconds=_PATIENCE_SECONDS
    )
    address, now = f"http://127.0.0.1:{port}/api/v1", timezone.now()
    upstream = set_upstream(
        name="demo", base_url=address, dialect="openrouter", actor=ACTOR, now=now, allow_loopback=True
    )
    set_upstream_key(upstream=upstream, secret=key, actor=ACTOR, now=now)


def call_for_real(processes: Supervisor, say: Say, *, key: str) -> None:
    """Two calls through the gateway, one of them streamed, with a customer's key; both must be metered."""
    from usage.models import UsageEvent

    port = _free_port()
    processes.start("web", web(port))
    processes.wait_until(lambda: is_alive(port), "The first answer of the site", seconds=_PATIENCE_SECONDS)
    for stream in (False, True):
        call_id = _call(port, key, stream=stream)
        deadline = time.monotonic() + _METERED_SECONDS
        while not (events := UsageEvent.objects.filter(event_id=call_id)):
            if time.monotonic() > deadline:
                raise ProcessError(f"The call {call_id} was answered and not metered: see {env.var_dir() / 'log'}.")
            time.sleep(0.05)
        event = events[0]
        how = "streamed" if stream else "whole"
        counts = f"{event.prompt_tokens} + {event.completion_tokens} tokens"
        say(f"gateway: {call_id} answered {how} by {event.served_model}: {counts}, USD {event.cost_usd.normalize():f}")


def first_call(port: int, key: str) -> list[str]:
    """What to type for the first call, as the model's page shows it."""
    from portal.snippets import snippets

    shown = snippets(model_id=MODEL, base_url=f"http://127.0.0.1:{port}/v1", greeting=GREETING)
    samples = {sample.key: sample.text for sample in shown}
    return [
        "\nA first call (a made-up upstream answers; it is on the customer's dashboard at once):",
        f"export JEONGSAN_API_KEY={key}",
        samples["curl"],
    ]


def _call(port: int, key: str, *, stream: bool) -> str:
    """One chat call; the id under which it is metered."""
    body: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": GREETING}], "stream": stream}
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "X-Title": "make demo"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_SECONDS)
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body).encode(), headers)
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise ProcessError(f"The gateway answered {response.status}: {content[:500].decode(errors='replace')}")
    return str(response.headers["X-Generation-Id"])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
