"""Statements from the event loop, without a thread in between.

Under load a thread that waits for the database waits for the interpreter as well, each time it is woken; the loop's own
connection does not. Nothing of Django is in it but where the database is. Statements are prepared once and go over libpq as
they are: for answers of a few short rows psycopg's cursors cost more than the rows.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Sequence
from itertools import count
from typing import Any

import psycopg
from django.db import connection
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

Row = tuple[Any, ...]

logger = logging.getLogger(__name__)

_DONE = frozenset({ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK})
#: Of a socket that was reset uvloop tells once and gives it up, though data may stand before the end: whoever waits looks
#: again.
_LOOK_SECONDS = 0.2


class Wire:
    """One connection, opened when it is first needed and again after it broke. One statement at a time."""

    def __init__(self) -> None:
        self._connection: psycopg.AsyncConnection[Row] | None = None
        self._socket = -1
        self._names: dict[str, bytes] = {}  # of statements that are prepared on this connection
        self._result: PGresult | None = None
        self._answer: asyncio.Future[PGresult] | None = None

    async def fetch(self, statement: str, arguments: Sequence[Any]) -> list[Row]:
        """Run a statement as a transaction of its own; `%s` stand for its arguments.

        Raises psycopg.Error; what became of it is not known then.
        """
        try:
            if self._connection is None:
                await self._open()
            assert self._connection is not None
            pgconn = self._connection.pgconn
            name = self._names.get(statement)
            if name is None:
                name = b"%d" % len(self._names)
                pgconn.send_prepare(name, _numbered(statement))
                await self._answered(pgconn)
                self._names[statement] = name
            transformer = Transformer(self._connection)
            pgconn.send_query_prepared(name, transformer.dump_sequence(arguments, [PyFormat.TEXT] * len(arguments)))
            transformer.set_pgresult(result := await self._answered(pgconn))
            return transformer.load_rows(0, result.ntuples, tuple)
        except BaseException as error:
            logger.warning("the event loop's connection is given up: %s", type(error).__name__)
            # Also when whoever waits is cancelled: an answer that nobody took would be taken for the next one's.
            self.close()
            raise

    def close(self) -> None:
        """Let go of the connection."""
        broken, self._connection = self._connection, None
        self._names.clear()
        self._result = None
        if broken is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._socket)
            loop.remove_writer(self._socket)
            os.close(self._socket)
            broken.pgconn.finish()

    async def _open(self) -> None:
        settings = connection.get_connection_params()
        # What Django's own cursors need.
        for name in ("cursor_factory", "context"):
            settings.pop(name, None)
        opened = await psycopg.AsyncConnection.connect(**settings, autocommit=True)
        await opened.execute("SELECT set_config('TimeZone', 'UTC', false)")
        # The loop watches a descriptor of our own: libpq closes its own when the connection breaks, whoever watches it.
        self._connection, self._socket = opened, os.dup(opened.pgconn.socket)
        asyncio.get_running_loop().add_reader(self._socket, self._read, opened.pgconn)

    async def _answered(self, pgconn: PGconn) -> PGresult:
        """The result of what was just sent. Raises psycopg.Error, for one that is an error as well."""
        loop = asyncio.get_running_loop()
        self._answer = loop.create_future()
        looking = loop.call_later(_LOOK_SECONDS, self._look, self._answer, pgconn)
        try:
            if pgconn.flush():
                loop.add_writer(self._socket, self._write_on, pgconn)
            result = await self._answer
        finally:
            looking.cancel()
            self._answer = None
        if result.status not in _DONE:
            raise psycopg.errors.error_from_result(result)
        return result

    def _write_on(self, pgconn: PGconn) -> None:
        """The socket takes more of what libpq holds."""
        try:
            if not pgconn.flush():
                asyncio.get_running_loop().remove_writer(self._socket)
        except psycopg.Error as error:
            self._break(error)

    def _read(self, pgconn: PGconn) -> None:
        """Something came: an answer, or the end of a connection that nobody was using."""
        try:
            pgconn.consume_input()
            while not pgconn.is_busy():
                result = pgconn.get_result()
                if result is None:
                    if self._result is not None and self._answer is not None and not self._answer.done():
                        self._answer.set_result(self._result)
                    self._result = None
                    return
                self._result = result
        except psycopg.Error as error:
            self._break(error)

    def _look(self, answer: asyncio.Future[PGresult], pgconn: PGconn) -> None:
        if self._answer is answer and not answer.done():
            self._read(pgconn)
            asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look, answer, pgconn)

    def _break(self, error: psycopg.Error) -> None:
        if self._answer is None or self._answer.done():
            self.close()
        else:
            self._answer.set_exception(error)


def _numbered(statement: str) -> bytes:
    """The statement as libpq takes it: $1, $2 in the place of each %s."""
    numbers = count(1)
    return re.sub("%s", lambda _: f"${next(numbers)}", statement).encode()
