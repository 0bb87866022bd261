"""docker-compose.yml: its services' commands run here as processes, on the embedded PostgreSQL and a real Redis."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from psycopg import sql

from config import embedded, env
from config.celery import QUEUES
from tests.ground.waiting import eventually

APP_PROCESSES = ("web", "gateway", "worker", "worker-ingest", "beat")
DATABASE = "jeongsan_compose"


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    compose = yaml.safe_load((env.REPOSITORY / "docker-compose.yml").read_text())
    return dict(compose["services"])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def filled_in(value: str, answers: dict[str, str]) -> str:
    """Compose's ${NAME}, ${NAME:-default} and ${NAME:?message}, with `answers` as its .env file."""

    def fill(match: re.Match[str]) -> str:
        name, kind, text = match.groups()
        return answers[name] if name in answers or kind == ":?" else text or ""

    return re.sub(r"\$\{(\w+)(?:(:[-?])([^}]*))?\}", fill, value)


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory, services: dict[str, Any]) -> Iterator[str]:
    port = free_port()
    command = [*services["redis"]["command"], "--port", str(port), "--bind", "127.0.0.1"]
    directory = tmp_path_factory.mktemp("redis")
    environment = {"PATH": str(Path(sys.executable).parent)}
    with subprocess.Popen(command, cwd=directory, env=environment, stdout=subprocess.DEVNULL) as process:
        yield f"redis://127.0.0.1:{port}/0"
        process.terminate()


@pytest.fixture(scope="module")
def database() -> Iterator[embedded.EmbeddedServer]:
    server = embedded.ensure_started(env.var_dir())
    name = f"{DATABASE}_{os.getpid()}"
    with psycopg.connect(replace(server, database="postgres").dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield replace(server, database=name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


class Deployment:
    """The app's services as processes: compose's commands and variables, with this machine's addresses."""

    def __init__(
        self, services: dict[str, Any], database: embedded.EmbeddedServer, redis_url: str, directory: Path
    ) -> None:
        self.services = services
        self.directory = directory
        self.port = free_port()
        self.here = {
            "DATABASE_URL": f"postgresql://{database.user}@/{database.database}?host={database.socket_dir}",
            "CELERY_BROKER_URL": redis_url,
            "JEONGSAN_VAR": str(directory / "var"),
            "UVICORN_HOST": "127.0.0.1",
            "UVICORN_PORT": str(self.port),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOSTNAME": socket.gethostname(),
            "GATEWAY_SPOOL_DIR": str(directory / "spool"),
        }

    def environment(self, name: str) -> dict[str, str]:
        answers = {
            "POSTGRES_PASSWORD": "p",
            "DJANGO_SECRET_KEY": "s" * 50,
            "JEONGSAN_PEPPERS": "1:" + "p" * 40,
            "JEONGSAN_UPSTREAM_SECRETS": "u" * 40,
        }
        given = {key: filled_in(value, answers) for key, value in self.services[name]["environment"].items()}
        assert set(self.here) - set(given) <= {"JEONGSAN_VAR", "PATH", "HOSTNAME", "UVICORN_HOST", "UVICORN_PORT"}
        return given | self.here

    def run(self, name: str, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=env.REPOSITORY, env=self.environment(name), capture_output=True, text=True, check=False
        )

    @contextlib.contextmanager
    def started(self, name: str) -> Iterator[None]:
        """Run the service's command; it has to live until it is asked to end, and then end well."""
        with (self.directory / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                self.services[name]["command"],
                cwd=env.REPOSITORY,
                env=self.environment(name),
                stdout=log,
                stderr=log,
                process_group=0,
            )
            try:
                yield
                assert process.poll() is None, self.log(name)
            finally:
                process.terminate()
                code = process.wait(60)
        assert code in {0, -15}, self.log(name)

    def log(self, name: str) -> str:
        return (self.directory / f"{name}.log").read_text()

    def health(self, name: str) -> int:
        """Exit code of the service's health check."""
        kind, *words = self.services[name]["healthcheck"]["test"]
        words = [
            word.replace("$$", "$")
            .replace("127.0.0.1:8000", f"127.0.0.1:{self.port}")
            .replace("127.0.0.1:8010", f"127.0.0.1:{self.port}")
            .replace("/var/lib/jeongsan", self.here["JEONGSAN_VAR"])
            for word in words
        ]
        return self.run(name, ["sh", "-c", *words] if kind == "CMD-SHELL" else words).returncode

    def readiness(self) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def send(self, module: str, task: str) -> None:
        code = f"from {module} import {task}; {task}.delay()"
        answer = self.run("web", ["python", "manage.py", "shell", "--command", code])
        assert answer.returncode == 0, answer.stderr


def test_every_service_tells_its_health_and_waits_for_what_it_needs(services: dict[str, Any]) -> None:
    assert list(services) == [
        "postgres",
        "redis",
        "migrate",
        "web",
        "gateway",
        "worker",
        "worker-ingest",
        "beat",
        "mail",
    ]
    assert [name for name, service in services.items() if "healthcheck" not in service] == ["migrate"]
    for name in APP_PROCESSES:
        assert services[name]["depends_on"] == {
            "migrate": {"condition": "service_completed_successfully"},
            "postgres": {"condition": "service_healthy"},
            "redis": {"condition": "service_healthy"},
        }


def test_every_queue_has_a_worker(services: dict[str, Any]) -> None:
    workers = [services[name]["command"] for name in ("worker", "worker-ingest")]
    queues = ",".join(command[command.index("--queues") + 1] for command in workers).split(",")
    assert sorted(queues) == sorted(QUEUES)


def test_no_secret_has_a_default() -> None:
    text = (env.REPOSITORY / "docker-compose.yml").read_text()
    for name in ("POSTGRES_PASSWORD", "DJANGO_SECRET_KEY", "JEONGSAN_PEPPERS", "JEONGSAN_UPSTREAM_SECRETS"):
        assert set(re.findall(rf"\$\{{{name}[^}}]*\}}", text)) == {f"${{{name}:?set it in .env}}"}


def test_the_services_work_together(
    services: dict[str, Any], database: embedded.EmbeddedServer, redis_url: str, tmp_path: Path
) -> None:
    site = Deployment(services, database, redis_url, tmp_path)
    (tmp_path / "var" / "static").mkdir(parents=True)

    def partitions() -> int:
        with psycopg.connect(database.dsn) as connection:
            row = connection.execute("SELECT count(*) FROM pg_inherits WHERE inhparent = 'usage_event'::regclass")
            return int((row.fetchone() or (0,))[0])

    def refusal() -> tuple[int, str]:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{site.port}/v1/chat/completions", data=b"{}", timeout=10)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)["error"]["type"]
        raise AssertionError("a call without a key was answered")

    with site.started("web"):
        eventually(lambda: site.readiness()[0] == 503, site.readiness)  # before the migrations
        assert site.health("web") == 1
        migrated = site.run("migrate", services["migrate"]["command"])
        assert migrated.returncode == 0, migrated.stderr
        assert site.readiness() == (200, '{"status": "ok"}')
        assert site.health("web") == 0
        assert partitions() == 0
        site.send("usage.tasks", "make_partitions")
        site.send("billing.tasks", "deliver_due")
        with site.started("worker"):
            eventually(lambda: re.search(r"billing\.tasks\.deliver_due\[.*succeeded", site.log("worker")) is not None)
            assert site.health("worker") == 0
            assert partitions() == 0  # ingest's worker is not there yet
        with site.started("worker-ingest"), site.started("beat"):
            eventually(lambda: partitions() == 4)
            eventually(lambda: "beat: Starting..." in site.log("beat"))
            eventually(lambda: site.health("beat") == 0)
    with site.started("gateway"):
        eventually(lambda: site.health("gateway") == 0)
        assert refusal() == (401, "authentication")
