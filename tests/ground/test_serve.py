"""`make run` as a user has it: it answers, it ends with everything it started, and it starts again after a kill -9."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from config import embedded, env
from config.embedded import Health
from tests.ground.waiting import eventually

CLAIMED = """
INSERT INTO billing_delivery (kind, status, recipient, attempts, created_at, next_attempt_at,
    claimed_until, last_error, invoice_id)
VALUES ('invoice_email', 'pending', 'a@b.example', 1, now(), now() + interval '1 day', now() + interval '1 hour', '', 0)
"""


class Site:
    """`python -m config.serve` in a process group of its own, as `make run` in a terminal."""

    def __init__(self, var: Path) -> None:
        self.var = var
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        without = {"CELERY_BROKER_URL", "DATABASE_URL"}
        kept = {name: value for name, value in os.environ.items() if name not in without}
        self.environment = kept | {"JEONGSAN_VAR": str(var), "PORT": str(self.port)}

    @contextlib.contextmanager
    def serving(self) -> Iterator[subprocess.Popen[str]]:
        process = subprocess.Popen(
            [sys.executable, "-m", "config.serve"],
            cwd=env.REPOSITORY,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line == "Ctrl-C ends it.\n":
                    break
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            process.communicate()

    def answer(self, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    def processes(self) -> list[int]:
        """Living processes that were started with this site's data directory."""
        mark = f"JEONGSAN_VAR={self.var}\0".encode()
        pids = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (entry / "environ").read_bytes():
                    pids.append(int(entry.name))
        return pids


@pytest.fixture
def site() -> Iterator[Site]:
    base = Path(tempfile.mkdtemp(prefix="js-"))
    base.chmod(0o711)
    made = Site(base / "var")
    (made.var / "static").mkdir(parents=True)
    yield made
    embedded.stop(made.var)
    shutil.rmtree(base)


def test_the_site_from_its_first_start_over_a_kill_to_ctrl_c(site: Site) -> None:
    with site.serving() as process:
        assert (site.answer("/livez"), site.answer("/readyz")) == (200, 200)
        assert len(site.processes()) == 4  # itself, worker, beat, web
        with psycopg.connect(embedded.ensure_started(site.var).dsn) as connection:
            connection.execute("SET session_replication_role = replica")  # the row stands for one with an invoice
            connection.execute(CLAIMED)

        second = subprocess.run(
            [sys.executable, "-m", "config.serve"],
            cwd=env.REPOSITORY,
            env=site.environment | {"PORT": str(site.port)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (second.returncode, second.stdout) == (1, "")
        assert second.stderr.startswith(f"Port {site.port} is in use: end the program that listens there, or choose")
        other = subprocess.run(
            [sys.executable, "-m", "config.serve"],
            cwd=env.REPOSITORY,
            env=site.environment | {"PORT": str(Site(site.var).port)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (other.returncode, other.stdout) == (1, "")
        assert other.stderr == (
            f"The data in {site.var} is being served already: end that `make run` or `make demo` first.\n"
        )

        process.kill()
        process.wait()
        eventually(lambda: not site.processes())
        assert site.answer("/livez") == 0

    embedded.stop(site.var)
    with site.serving() as process:
        assert site.answer("/readyz") == 200
        with psycopg.connect(embedded.ensure_started(site.var).dsn) as connection:
            assert connection.execute("SELECT claimed_until FROM billing_delivery").fetchall() == [(None,)]
        os.killpg(process.pid, signal.SIGINT)
        output, errors = process.communicate()
        assert (process.returncode, output, errors) == (0, "\nEnded.\n", "")
    assert site.processes() == []
    assert embedded.status(site.var) is Health.DOWN


def test_a_dead_worker_ends_the_site_with_its_last_words(site: Site) -> None:
    with site.serving() as process:
        worker = next(pid for pid in site.processes() if b"\0worker\0" in Path(f"/proc/{pid}/cmdline").read_bytes())
        os.kill(worker, signal.SIGKILL)
        _, errors = process.communicate()
        assert process.returncode == 1
        assert errors.startswith(
            f"The worker process ended (killed by SIGKILL). The end of {site.var}/log/worker.log:\n"
        )
        assert "Traceback" not in errors
    assert site.processes() == []
