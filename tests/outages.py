"""A database that goes away and comes back, as a restart looks from outside."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from django.db import connection
from psycopg import sql

_THROW_OUT = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"


@contextlib.contextmanager
def _administrator() -> Iterator[psycopg.Connection[Any]]:
    settings = connection.settings_dict
    server = {"host": settings["HOST"], "port": settings["PORT"] or None, "user": settings["USER"]}
    with psycopg.connect(**server, password=settings["PASSWORD"] or None, dbname="postgres", autocommit=True) as admin:
        yield admin


def throw_everybody_out() -> None:
    """Every connection to the database is cut; each may come back at once."""
    connection.close()
    with _administrator() as admin:
        admin.execute(_THROW_OUT, [connection.settings_dict["NAME"]])


@contextlib.contextmanager
def database_away() -> Iterator[None]:
    """Nobody gets in, and everybody is thrown out: whoever calls this closes what the tests have of connections."""
    name = sql.Identifier(connection.settings_dict["NAME"])
    with _administrator() as admin:
        admin.execute(sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false").format(name))
        try:
            admin.execute(_THROW_OUT, [connection.settings_dict["NAME"]])
            yield
        finally:
            admin.execute(sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS true").format(name))


class LosingWire:
    """A socket before the embedded server's that passes everything on, and loses what it is told to."""

    def __init__(self, directory: Path, behind: str, port: str) -> None:
        self._behind = f"{behind}/.s.PGSQL.{port}"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(directory / f".s.PGSQL.{port}"))
        self._listener.listen()
        self._marker: bytes | None = None
        self._unread: bytes | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_answer_to(self, marker: bytes) -> None:
        """Cut the next connection that asks something with these bytes, when the server's answer comes: it is lost."""
        self._marker = marker

    def leave_unread(self, marker: bytes) -> None:
        """Cut the next connection that asks something with these bytes: a reset, behind the first bytes of an answer."""
        self._unread = marker

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._pass_on, args=[client], daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, contextlib.suppress(OSError):
            server.connect(self._behind)
            is_asked = False
            while True:
                for end in select.select([client, server], [], [])[0]:
                    if self._unread is not None and self._unread in end.recv(65_536, socket.MSG_PEEK):
                        self._unread = None
                        client.sendall(b"N\x00\x00")
                        return
                    data = end.recv(65_536)
                    if not data:
                        return
                    if end is server and is_asked:
                        self._marker = None
                        return
                    is_asked |= end is client and self._marker is not None and self._marker in data
                    (server if end is client else client).sendall(data)


@contextlib.contextmanager
def losing_wire() -> Iterator[LosingWire]:
    """Django's connection of this thread goes over such a wire until the block ends. For a server behind a socket."""
    settings = connection.settings_dict
    usual, port = settings["HOST"], settings["PORT"] or "5432"
    # The path of a socket has at most 107 bytes: pytest's folders are too deep.
    with tempfile.TemporaryDirectory(prefix="wire") as directory:
        wire = LosingWire(Path(directory), usual, port)
        connection.close()
        settings["HOST"] = os.fspath(directory)
        try:
            yield wire
        finally:
            connection.close()
            settings["HOST"] = usual
            wire.close()
