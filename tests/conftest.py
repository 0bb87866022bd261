"""Surroundings of every test: data under var/test, a PostgreSQL that is there when asked for, no network.

DJANGO_SETTINGS_MODULE is set here and not in pyproject.toml, because pytest-django would read the settings (and
with them JEONGSAN_VAR) before this file runs.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from typing import Any

import django
import pytest

from config import embedded, env

os.environ["JEONGSAN_VAR"] = str(env.REPOSITORY / "var" / "test")
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
# Tasks that a test enqueues stay in its process; tests of the worker name their broker themselves.
os.environ["CELERY_BROKER_URL"] = "memory://"

# pytest-django sets Django up when it finds the variable before it loads this file; here it is found after.
django.setup()

_SLOT = "JEONGSAN_TEST_SLOT"
_held_locks: list[int] = []  # open until the process ends


def pytest_configure(config: pytest.Config) -> None:
    """Take a free slot, so that two test runs at the same time use different databases; its workers inherit it."""
    (env.var_dir() / "static").mkdir(parents=True, exist_ok=True)
    if hasattr(config, "workerinput"):
        return
    for slot in range(100):
        descriptor = os.open(env.var_dir() / f"slot-{slot}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        _held_locks.append(descriptor)
        os.environ[_SLOT] = str(slot)
        return
    raise pytest.UsageError(f"A hundred test runs hold the locks in {env.var_dir()}.")


@pytest.fixture(scope="session")
def django_db_modify_db_settings_tox_suffix() -> None:
    """Runs before pytest-django adds the worker's suffix: the server is up and the slot's database is named."""
    from django.conf import settings

    if env.database_url() is None:
        try:
            embedded.ensure_started(env.var_dir())
        except embedded.EmbeddedError as error:
            pytest.exit(str(error), returncode=2)
    settings.DATABASES["default"].setdefault("TEST", {})["NAME"] = f"test_jeongsan_{os.environ[_SLOT]}"


@pytest.fixture(scope="session", autouse=True)
def plain_static_files() -> Iterator[None]:
    """Templates name static files as they are: no test depends on an earlier collectstatic."""
    from django.conf import settings
    from django.test import override_settings

    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    with override_settings(STORAGES={**settings.STORAGES, "staticfiles": plain}):
        yield


@pytest.fixture(scope="session", autouse=True)
def flush_past_the_guards() -> Iterator[None]:
    """After a test that really commits, Django truncates all tables, which the guards refuse and which leaves out the
    tables made by hand. As a replica, where no trigger fires, both are done. What this process knows of customers is gone,
    and the catalog it keeps is an old one.
    """
    from django.db import connection, transaction
    from django.db.backends.postgresql.operations import DatabaseOperations

    from usage.services.resolving import forget_payers

    def execute(self: DatabaseOperations, statements: list[str]) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            for statement in [*statements, "TRUNCATE usage_event, usage_event_key, usage_archived_sum"]:
                cursor.execute(statement)
            # No trigger said so: a process would go on with models and prices that were taken away under it.
            cursor.execute("UPDATE catalog_version SET version = nextval('catalog_version_seq')")
        forget_payers()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DatabaseOperations, "execute_sql_flush", execute)
        yield


def _is_local(address: Any) -> bool:
    host = address[0] if isinstance(address, tuple) else ""
    return host in {"", "localhost", "::1", "0.0.0.0"} or str(host).startswith("127.")  # noqa: S104


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Python's sockets reach this machine only; anything else fails at once and says where it wanted to go."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex", "sendto"):
            original = getattr(socket.socket, name)

            def local_only(self: socket.socket, *arguments: Any, _original: Any = original) -> Any:
                if self.family in {socket.AF_INET, socket.AF_INET6} and not _is_local(arguments[-1]):
                    raise OSError(f"Tests have no network: {arguments[-1]}")
                return _original(self, *arguments)

            patch.setattr(socket.socket, name, local_only)
        resolve = socket.getaddrinfo

        def resolve_local(host: Any, *arguments: Any, **options: Any) -> Any:
            name = host.decode() if isinstance(host, bytes) else host
            if not _is_local((name or "",)):
                raise socket.gaierror(f"Tests have no network: {name}")
            return resolve(host, *arguments, **options)

        patch.setattr(socket, "getaddrinfo", resolve_local)
        yield
