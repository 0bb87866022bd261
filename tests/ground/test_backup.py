"""A backup of everything is the same books again, with their guards: dumped, restored, counted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from django.db import connection
from psycopg import sql

from config import env
from config.cluster import Places
from tests.admin.house import make_house
from tests.database import database_url

RESTORED = f"jeongsan_restored_{os.getpid()}"


def server() -> dict[str, Any]:
    settings = connection.settings_dict
    return {"host": settings["HOST"], "port": settings["PORT"] or None, "user": settings["USER"]}


def tool(name: str, *arguments: str) -> None:
    """One of PostgreSQL's own programs: the embedded server's, or the machine's for another server."""
    named = {"PGHOST": "host", "PGPORT": "port", "PGUSER": "user"}
    where = {variable: str(server()[part]) for variable, part in named.items() if server()[part]}
    password = connection.settings_dict["PASSWORD"]
    secret = {"PGPASSWORD": password} if password else {}
    program = Places(env.var_dir()).program(name) if env.database_url() is None else name
    subprocess.run([program, *arguments], env=os.environ | where | secret, check=True)


@pytest.fixture
def restored() -> Iterator[str]:
    """The URL of an empty database beside the test's, dropped afterwards."""
    tool("createdb", RESTORED)
    name = quote(connection.settings_dict["NAME"], safe="")
    yield database_url().replace(f"/{name}?", f"/{RESTORED}?")
    tool("dropdb", "--force", RESTORED)


def books(url: str) -> dict[str, Any]:
    answer = subprocess.run(
        [sys.executable, "manage.py", "check_books", "--json"],
        cwd=env.REPOSITORY,
        env=os.environ | {"DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=True,
    )
    said: dict[str, Any] = json.loads(answer.stdout)
    return said


@pytest.mark.django_db(transaction=True)
def test_a_restored_dump_is_the_same_books_and_as_well_guarded(restored: str, tmp_path: Path) -> None:
    make_house()
    dump = str(tmp_path / "jeongsan.dump")
    tool("pg_dump", "--format=custom", "--file", dump, connection.settings_dict["NAME"])
    tool("pg_restore", "--exit-on-error", "--dbname", RESTORED, dump)

    kept = books(restored)
    assert kept == books(database_url())
    assert kept["ok"] is True
    with psycopg.connect(**server(), password=connection.settings_dict["PASSWORD"] or None, dbname=RESTORED) as other:
        for table in ("billing_invoice", "usage_event", "billing_ledgerentry"):
            with pytest.raises(psycopg.errors.RestrictViolation), other.transaction():
                other.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
