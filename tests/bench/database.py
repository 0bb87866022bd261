"""A database of the benchmarks' own on the server that the site uses, made anew for each run and dropped afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql

from config import embedded, env

#: Two runs at the same time do not disturb each other.
NAME = f"jeongsan_bench_{os.getpid()}"


@contextmanager
def bench_database() -> Iterator[None]:
    """DATABASE_URL names a new, migrated database while this lasts, for this process and those it starts."""
    url = env.database_url()
    if url is None:
        embedded.ensure_started(env.var_dir())
    settings = env.parse_database_url(url) if url else embedded.connection_settings(env.var_dir())
    os.environ["DATABASE_URL"] = _url(settings)
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    _administer(settings, "DROP DATABASE IF EXISTS {} WITH (FORCE)", "CREATE DATABASE {}")
    try:
        set_up()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        yield
    finally:
        _administer(settings, "DROP DATABASE IF EXISTS {} WITH (FORCE)")


def set_up() -> None:
    """Make Django ready in this process; DATABASE_URL names the database."""
    import django

    django.setup()


def _url(settings: dict[str, Any]) -> str:
    password = f":{quote(settings['PASSWORD'], safe='')}" if settings["PASSWORD"] else ""
    port = f":{settings['PORT']}" if settings["PORT"] else ""
    options = urlencode({"host": settings["HOST"], **settings["OPTIONS"]})
    return f"postgresql://{quote(settings['USER'], safe='')}{password}@{port}/{NAME}?{options}"


def _administer(settings: dict[str, Any], *statements: str) -> None:
    with psycopg.connect(
        host=settings["HOST"],
        port=settings["PORT"] or None,
        user=settings["USER"] or None,
        password=settings["PASSWORD"] or None,
        dbname=settings["NAME"],
        autocommit=True,
    ) as connection:
        for statement in statements:
            connection.execute(sql.SQL(statement).format(sql.Identifier(NAME)))
