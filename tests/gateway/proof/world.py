"""Everything that lives in the proof: PostgreSQL in a directory of its own, the gateway, the client, the upstream."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from config import embedded, env
from tests.gateway.local import KEY, LocalUpstream, local_upstream
from tests.gateway.site import Site, free_port, start_site

VICTIMS = ("gateway", "postgresql", "client", "postgresql and gateway")
#: For how long a killed database is away at most.
_AWAY_SECONDS = 1.5
_CLIENT_START_SECONDS = 40
_CLIENT_END_SECONDS = 40


@dataclass
class World:
    """What can be killed, and how it is started again."""

    var: Path
    upstream: LocalUpstream
    port: int
    keys: list[str]
    seed: int
    gateway: Site | None = None
    client: subprocess.Popen[bytes] | None = None
    clients: int = 0
    killed: dict[str, int] = field(default_factory=lambda: dict.fromkeys(VICTIMS, 0))

    @property
    def client_log(self) -> Path:
        """What the clients have read to its end."""
        return self.var / "clients.jsonl"

    def start_gateway(self) -> None:
        """Start the site's web process, and wait until it answers."""
        self.gateway = start_site(self.var / "web.log", {"JEONGSAN_VAR": str(self.var)}, port=self.port)

    def start_client(self) -> None:
        """Start the load, and wait until the upstream has answered something of it."""
        answered = self.upstream.log.stat().st_size if self.upstream.log.exists() else 0
        self.clients += 1
        seed = f"{self.seed}/{self.clients}"
        arguments = [f"http://127.0.0.1:{self.port}/v1", ",".join(self.keys), str(self.client_log), seed]
        command = [sys.executable, "-m", "tests.gateway.proof.client", *arguments]
        self.client = subprocess.Popen(command, cwd=env.REPOSITORY)
        deadline = time.monotonic() + _CLIENT_START_SECONDS
        while not self.upstream.log.exists() or self.upstream.log.stat().st_size == answered:
            assert time.monotonic() < deadline, "no call reaches the upstream"
            time.sleep(0.02)

    def kill(self, victim: str, dice: random.Random) -> None:
        """kill -9, and start it again; the database after it was away for a moment."""
        self.killed[victim] += 1
        if victim == "client":
            self._kill_client()
        if "postgresql" in victim:
            self._kill_server(dice)
            time.sleep(dice.uniform(0, _AWAY_SECONDS))
        if "gateway" in victim:
            assert self.gateway is not None
            self.gateway.process.kill()
            self.gateway.process.wait()
        if "postgresql" in victim:
            embedded.ensure_started(self.var)
        if "gateway" in victim:
            self.start_gateway()

    def _kill_client(self) -> None:
        assert self.client is not None
        self.client.kill()
        self.client.wait()
        self.start_client()

    def _kill_server(self, dice: random.Random) -> None:
        """The postmaster or, which resets it, one of its backends."""
        postmaster = int((embedded.Places(self.var).data / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        os.kill(dice.choice([postmaster, *map(int, children)]), signal.SIGKILL)

    def ended_by_others(self) -> list[str]:
        """What was ended by somebody else than this proof: then it proves nothing."""
        processes = {"the upstream": self.upstream.process, "the gateway": self.gateway and self.gateway.process}
        return [name for name, process in processes.items() if process is None or process.poll() is not None]

    def end_load(self) -> None:
        """Let the client's calls come to their end, and the client with them."""
        assert self.client is not None
        self.client.terminate()
        self.client.wait(_CLIENT_END_SECONDS)
        self.client = None

    def end(self) -> None:
        """End whatever still lives."""
        if self.client is not None:
            self.client.kill()
            self.client.wait()
        if self.gateway is not None:
            self.gateway.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.gateway.process.wait(20)
            self.gateway.process.kill()
            self.gateway.process.wait()
        embedded.stop(self.var)


@contextmanager
def world(var: Path, *, seed: int) -> Iterator[World]:
    """Make a world in a var directory that is new, with JEONGSAN_VAR set to it and Django not yet set up."""
    with ExitStack() as stack:
        upstream = stack.enter_context(local_upstream(var / "answers.jsonl"))
        embedded.ensure_started(var)
        stack.callback(embedded.stop, var)
        keys = _settle_in(upstream)
        made = World(var, upstream, free_port(), keys, seed)
        stack.callback(made.end)
        made.start_gateway()
        yield made


def _settle_in(upstream: LocalUpstream) -> list[str]:
    """Tables, prices, the upstream, and customers: one without a bound, one that pays ahead, one with little left."""
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", interactive=False, verbosity=0)
    from tests.gateway.shop import add_upstream, new_customer, open_shop, set_limits

    open_shop()
    add_upstream("local", f"{upstream.url}/api/v1", KEY)
    keys = []
    for limit_krw in (None, 100_000, 40):
        customer, key = new_customer()
        if limit_krw is not None:
            set_limits(customer, credit_limit_krw=limit_krw)
        keys.append(key)
    return keys
