"""The whole site as one real server process, on a database of its own that is a copy of the tests' empty one.

What its tests make stays until the run ends, so each makes a customer of its own.
"""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

from config.serve import web

_START_SECONDS = 60
_END_OTHERS = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s AND state = 'idle'"


@dataclass
class Site:
    """A running one. `url` ends before `/v1`; `log` is what the process printed."""

    url: str
    log: Path
    process: subprocess.Popen[bytes]


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def migrated_database() -> Iterator[None]:
    """Django's test database: there already where another test of this run asked for it, made here where none did."""
    from django.db import connection

    usual = connection.settings_dict["NAME"]
    if usual == connection.settings_dict["TEST"]["NAME"]:
        yield
        return
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        yield
    finally:
        connection.creation.destroy_test_db(usual, verbosity=0)


@contextmanager
def copied_database(settings: dict[str, Any]) -> Iterator[str]:
    """A copy of the database in Django's `settings` (nobody may be connected to it), dropped at the end; its name."""
    name = f"{settings['NAME']}_site"
    server = {"host": settings["HOST"], "port": settings["PORT"] or None, "user": settings["USER"]}
    with psycopg.connect(
        **server, password=settings["PASSWORD"] or None, dbname="postgres", autocommit=True
    ) as connection:
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        connection.execute(drop)
        copy = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        # Connections that other tests' threads have left idle would be in the way.
        connection.execute(_END_OTHERS, [settings["NAME"]])
        connection.execute(copy.format(sql.Identifier(name), sql.Identifier(settings["NAME"])))
        try:
            yield name
        finally:
            connection.execute(drop)


def url_of(settings: dict[str, Any], name: str) -> str:
    """DATABASE_URL of a database on the server in Django's `settings`."""
    secret = f":{quote(settings['PASSWORD'], safe='')}" if settings["PASSWORD"] else ""
    port = f":{settings['PORT']}" if settings["PORT"] else ""
    return f"postgresql://{quote(settings['USER'])}{secret}@{quote(settings['HOST'], safe='')}{port}/{name}"


def start_site(log: Path, environment: Mapping[str, str], *, port: int | None = None) -> Site:
    """Start the server and wait until it answers. Without a port a free one is taken."""
    port = port or free_port()
    with log.open("ab") as output:
        process = subprocess.Popen(
            web(port), stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, **environment}
        )
    deadline = time.monotonic() + _START_SECONDS
    while not _answers(port):
        assert process.poll() is None, log.read_text()[-4000:]
        assert time.monotonic() < deadline, log.read_text()[-4000:]
        time.sleep(0.05)
    return Site(f"http://127.0.0.1:{port}", log, process)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@contextmanager
def on_database(name: str) -> Iterator[None]:
    """Django's own connection is to this database until the block ends."""
    from django.db import connection

    usual = connection.settings_dict["NAME"]
    connection.close()
    connection.settings_dict["NAME"] = name
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict["NAME"] = usual
