"""Statements from the event loop, without a thread in between.

Under load a thread that waits for the database waits for the interpreter as well, each time it is woken; the loop's own
connection does not. Nothing of Django is in it but where the database is.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import psycopg
from django.db import connection

Row = tuple[Any, ...]

logger = logging.getLogger(__name__)


class Wire:
    """One connection, opened when it is first needed and again after it broke. One statement at a time."""

    def __init__(self) -> None:
        self._connection: psycopg.AsyncConnection[Row] | None = None

    async def fetch(self, statement: str, arguments: Sequence[Any]) -> list[Row]:
        """Run a statement as a transaction of its own. Raises psycopg.Error; what became of it is not known then."""
        if self._connection is None:
            self._connection = await _connect()
        try:
            cursor = await self._connection.execute(statement, arguments)
            return await cursor.fetchall()
        except BaseException as error:
            logger.warning("the event loop's connection is given up: %s", type(error).__name__)
            # Also when whoever waits is cancelled: an answer that nobody took would be taken for the next one's.
            await self.close()
            raise

    async def close(self) -> None:
        """Let go of the connection."""
        broken, self._connection = self._connection, None
        if broken is not None:
            await broken.close()


async def _connect() -> psycopg.AsyncConnection[Row]:
    settings = connection.get_connection_params()
    # What Django's own cursors need.
    for name in ("cursor_factory", "context"):
        settings.pop(name, None)
    opened = await psycopg.AsyncConnection.connect(**settings, autocommit=True)
    await opened.execute("SELECT set_config('TimeZone', 'UTC', false)")
    return opened
