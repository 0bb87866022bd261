"""A local upstream in a process of its own, and what it says it answered."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from config import env
from gateway.localupstream.journal import Entry, read_journal

KEY = "sk-local-upstream"


@dataclass(frozen=True)
class LocalUpstream:
    """A running one. `url` ends before `/v1` and `/api/v1`."""

    url: str
    log: Path
    process: subprocess.Popen[str]

    def entries(self, client_request_id: str = "") -> list[Entry]:
        """What it has answered; with an id, to that X-Client-Request-Id only."""
        entries = read_journal(self.log) if self.log.exists() else []
        return [entry for entry in entries if client_request_id in ("", entry.client_request_id)]


@contextmanager
def local_upstream(log: Path, *, port: int = 0, seed: str = "t") -> Iterator[LocalUpstream]:
    """Run `manage.py upstream` until the block ends."""
    command = [sys.executable, str(env.REPOSITORY / "manage.py"), "upstream", "--port", str(port), "--seed", seed]
    with subprocess.Popen(
        [*command, "--log", str(log), "--key", KEY],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "JEONGSAN_VAR": str(env.var_dir())},
    ) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            assert line.startswith("upstream http://"), line
            yield LocalUpstream(line.split()[1].removesuffix("/api/v1"), log, process)
        finally:
            process.terminate()
            process.wait(10)
