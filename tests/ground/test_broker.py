"""Tasks through pgmq on the embedded server: done, delivered again after a kill -9, whatever the path is called."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from config import embedded, env
from config.serve import WORKER
from tests.ground.waiting import eventually

SEND = """
import sys
import config.celery
from tests.ground import worker_tasks
task, path, word, *seconds = sys.argv[1:]
getattr(worker_tasks, task).delay(path, word, *map(float, seconds))
"""


class Site:
    """A var directory with its server; whatever runs in it uses pgmq."""

    def __init__(self, var: Path) -> None:
        self.var = var
        self.lines_file = var.parent / "lines"
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if name not in {"CELERY_BROKER_URL", "DATABASE_URL", "PYTEST_CURRENT_TEST"}
        } | {"JEONGSAN_VAR": str(var)}

    def python(self, code: str, *arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=env.REPOSITORY,
            env=self.environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    def send(self, task: str, *arguments: str) -> None:
        self.python(SEND, task, str(self.lines_file), *arguments)

    @contextlib.contextmanager
    def worker(self, *, visibility_timeout_seconds: int = 2) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen(
            [*WORKER, "--include", "tests.ground.worker_tasks"],
            cwd=env.REPOSITORY,
            env=self.environment | {"CELERY_VISIBILITY_TIMEOUT_SECONDS": str(visibility_timeout_seconds)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)

    def lines(self) -> list[str]:
        return self.lines_file.read_text().splitlines() if self.lines_file.exists() else []

    def wait_for_lines(self, number: int) -> list[str]:
        eventually(lambda: len(self.lines()) >= number, self.lines)
        return self.lines()

    def waiting_tasks(self) -> int:
        with psycopg.connect(embedded.ensure_started(self.var).dsn) as connection:
            row = connection.execute("SELECT count(*) FROM pgmq.q_low").fetchone()
        assert row is not None
        return int(row[0])

    def wait_until_empty(self) -> None:
        eventually(lambda: self.waiting_tasks() == 0)


@pytest.fixture(scope="module")
def standing() -> Iterator[Site]:
    base = Path(tempfile.mkdtemp(prefix="jb-"))
    base.chmod(0o711)
    # A space and letters of the user's own language: pgmq's client joins its connection string without quoting.
    made = Site(base / "정산 var")
    yield made
    embedded.stop(made.var)
    shutil.rmtree(base)


@pytest.fixture
def site(standing: Site) -> Site:
    """The site without what an earlier test left."""
    standing.lines_file.unlink(missing_ok=True)
    with psycopg.connect(embedded.ensure_started(standing.var).dsn) as connection:
        if connection.execute("SELECT to_regclass('pgmq.q_low')").fetchone() != (None,):
            connection.execute("TRUNCATE pgmq.q_low")
    return standing


def test_processes_send_the_first_task_ever_at_the_same_moment_and_a_worker_does_them(site: Site) -> None:
    with psycopg.connect(embedded.ensure_started(site.var).dsn) as connection:
        connection.execute("DROP SCHEMA IF EXISTS pgmq CASCADE")
    senders = [
        subprocess.Popen(
            [sys.executable, "-c", SEND, "note", str(site.lines_file), word], cwd=env.REPOSITORY, env=site.environment
        )
        for word in ("하나", "둘", "셋", "넷")
    ]
    assert [sender.wait() for sender in senders] == [0, 0, 0, 0]
    assert site.waiting_tasks() == 4
    with site.worker():
        assert sorted(site.wait_for_lines(4)) == ["넷", "둘", "셋", "하나"]
        site.wait_until_empty()


def test_a_task_whose_worker_is_killed_is_done_by_the_next(site: Site) -> None:
    site.send("note_slowly", "done", "1")
    with site.worker() as worker:
        assert site.wait_for_lines(1) == [f"started {worker.pid}"]
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    assert site.waiting_tasks() == 1
    with site.worker() as second:
        assert site.wait_for_lines(3) == [f"started {worker.pid}", f"started {second.pid}", "done"]
        site.wait_until_empty()


def test_a_new_site_need_not_wait_for_what_a_dead_one_had_taken(site: Site) -> None:
    site.send("note_slowly", "done", "0.5")
    with site.worker(visibility_timeout_seconds=3600) as worker:
        site.wait_for_lines(1)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    released = site.python("from config.celery import release_unacknowledged; print(release_unacknowledged())")
    assert released == "1\n"
    with site.worker():
        assert site.wait_for_lines(3)[-1] == "done"
        site.wait_until_empty()


def test_the_worker_survives_a_killed_server(site: Site) -> None:
    with site.worker():
        site.send("note", "before")
        site.wait_for_lines(1)
        postmaster = int((site.var / "postgres/data/postmaster.pid").read_text().split("\n")[0])
        os.kill(postmaster, signal.SIGKILL)
        site.send("note", "after")
        assert site.wait_for_lines(2) == ["before", "after"]


def test_routes_and_schedule_name_tasks_that_exist(site: Site) -> None:
    code = """
import django
django.setup()
from config.celery import app
app.loader.import_default_modules()
for name in sorted(app.tasks):
    if not name.startswith("celery."):
        print(name, app.amqp.router.route({}, name, (), {})["queue"].name)
named = {name for name in app.conf.task_routes if not name.endswith("*")}
print(named | {entry["task"] for entry in app.conf.beat_schedule.values()} <= set(app.tasks))
"""
    site.environment["DJANGO_SETTINGS_MODULE"] = "config.settings"
    *routes, all_exist = site.python(code).splitlines()
    assert all_exist == "True"
    assert {route.split()[0]: route.split()[1] for route in routes} == {
        "billing.tasks.close_customers": "money",
        "billing.tasks.draft_customers": "money",
        "billing.tasks.alert_reconciliation": "low",
        "billing.tasks.deliver_due": "documents",
        "billing.tasks.fetch_rates": "low",
        "billing.tasks.raise_alerts": "low",
        "billing.tasks.request_top_ups": "low",
        "billing.tasks.expire_credits": "low",
        "billing.tasks.refresh_spending": "money",
        "billing.tasks.send_alerts": "low",
        "billing.tasks.sync_catalog": "low",
        "gateway.tasks.sweep_calls": "ingest",
        "gateway.tasks.tidy_calls": "ingest",
        "usage.tasks.make_partitions": "ingest",
        "usage.tasks.rate_quarantine": "ingest",
        "usage.tasks.withdraw_estimates": "ingest",
    }
