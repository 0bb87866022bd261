"""The servers that the gateway's benchmark compares, each one process on this machine's loopback."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from config import env

UPSTREAM_KEY = "sk-bench-upstream"
MODEL = "openai/gpt-5-mini"
_PEERS = env.REPOSITORY / "var" / "bench-peers"
#: Later releases were published by somebody else's hand; this one is what the field was measured with.
_LITELLM = "litellm[proxy]==1.106.2"
_PORTKEY = {
    "private": True,
    "dependencies": {"@portkey-ai/gateway": "1.15.2"},
    # With what it resolves to today it fails on every stream.
    "overrides": {"@hono/node-server": "1.3.3", "hono": "4.6.10"},
}
_INSTALL_SECONDS = 600
_START_SECONDS = 90


class Unavailable(Exception):
    """A peer that cannot be measured here; the text says why."""


@dataclass(frozen=True)
class Server:
    """One that answers. `model` is what it calls the model, `headers` what a request needs."""

    url: str
    pid: int
    headers: dict[str, str] = field(default_factory=dict)
    model: str = MODEL


@contextlib.contextmanager
def local_upstream() -> Iterator[str]:
    """The upstream of all; yields the address before `/v1` and `/api/v1`."""
    port = _free_port()
    command = [sys.executable, "manage.py", "upstream", "--port", str(port), "--key", UPSTREAM_KEY]
    with _running(command, port, {}, "upstream"):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def passthrough(upstream: str) -> Iterator[Server]:
    """The yardstick."""
    with _uvicorn("tests.bench.passthrough:app", {"UPSTREAM_URL": f"{upstream}/api"}, "passthrough") as (url, pid):
        yield Server(f"{url}/v1/chat/completions", pid, {"Authorization": f"Bearer {UPSTREAM_KEY}"})


@contextlib.contextmanager
def ours(key: str) -> Iterator[Server]:
    """The site as it is, with everything on."""
    with _uvicorn("config.asgi:application", {}, "ours") as (url, pid):
        yield Server(f"{url}/v1/chat/completions", pid, {"Authorization": f"Bearer {key}"})


@contextlib.contextmanager
def litellm(upstream: str) -> Iterator[Server]:
    """The LiteLLM proxy without a database: key, routing, in-memory spend. Raises Unavailable."""
    folder = _PEERS / "litellm"
    program = folder / "bin" / "litellm"
    if not program.exists():
        _install([sys.executable, "-m", "venv", str(folder)])
        _install([str(folder / "bin" / "pip"), "install", "--quiet", _LITELLM])
    port = _free_port()
    parameters = {"model": f"openai/{MODEL}", "api_base": f"{upstream}/v1", "api_key": UPSTREAM_KEY}
    config = {"model_list": [{"model_name": "bench", "litellm_params": parameters}]}
    (folder / "config.yaml").write_text(json.dumps(config))
    command = [str(program), "--config", str(folder / "config.yaml"), "--host", "127.0.0.1", "--port", str(port)]
    extra: dict[str, str | None] = {"LITELLM_MASTER_KEY": "sk-bench", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    extra |= {"LITELLM_LOG": "ERROR", "DATABASE_URL": None, "DJANGO_SETTINGS_MODULE": None}
    with _running([*command, "--num_workers", "1", "--telemetry", "False"], port, extra, "litellm") as pid:
        yield Server(
            f"http://127.0.0.1:{port}/v1/chat/completions", pid, {"Authorization": "Bearer sk-bench"}, model="bench"
        )


@contextlib.contextmanager
def portkey(upstream: str) -> Iterator[Server]:
    """The Portkey gateway, which keeps no accounts. Raises Unavailable."""
    folder = _PEERS / "portkey"
    program = folder / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text(json.dumps(_PORTKEY))
        _install(["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder)])
    port = _free_port()
    headers = {
        "Authorization": f"Bearer {UPSTREAM_KEY}",
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"{upstream}/v1",
    }
    extra = {"TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost", "NODE_ENV": "production"}
    with _running(["node", str(program), f"--port={port}", "--headless"], port, extra, "portkey") as pid:
        yield Server(f"http://127.0.0.1:{port}/v1/chat/completions", pid, headers)


@contextlib.contextmanager
def _uvicorn(application: str, extra: Mapping[str, str], name: str) -> Iterator[tuple[str, int]]:
    port = _free_port()
    command = [sys.executable, "-m", "uvicorn", application, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--no-access-log", "--log-level", "warning", "--timeout-graceful-shutdown", "5"]
    with _running(command, port, extra, name) as pid:
        yield f"http://127.0.0.1:{port}", pid


@contextlib.contextmanager
def _running(command: list[str], port: int, extra: Mapping[str, str | None], name: str) -> Iterator[int]:
    """One process with these variables added, or taken away where they are None; yields its id."""
    environment = {key: value for key, value in {**os.environ, **extra}.items() if value is not None}
    log_path = env.var_dir() / "bench" / f"{name}.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command, cwd=env.REPOSITORY, env=environment, stdout=log, stderr=log, process_group=0
        )
        try:
            _wait_for(port, process, log_path)
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Unavailable(f"it ended at its start: {log}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/v1/models")
            connection.getresponse().read()
            return
        except OSError:
            time.sleep(0.2)
        finally:
            connection.close()
    raise Unavailable(f"it did not answer within {_START_SECONDS} s: {log}")


def _install(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=_INSTALL_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"it could not be installed here ({type(error).__name__})") from None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
