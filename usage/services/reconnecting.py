"""Work on the kept connections of threads that outlive requests.

Django looks whether a connection still lives when a request begins. In a thread that serves many requests nobody does, and
a restarted database, or a firewall that drops idle connections, shows only when the connection is used next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.db import DatabaseError, InterfaceError, OperationalError, connection

T = TypeVar("T")


#: The server's last words on a connection that it ends: by an administrator, after a crash, while it starts.
_LAST_WORDS = frozenset({"57P01", "57P02", "57P03"})


def is_cut_off(error: DatabaseError | InterfaceError) -> bool:
    """Whether this error says that the connection is no more, so that what the database last said may have got lost."""
    if connection.connection is None or connection.connection.closed:
        return True
    return getattr(error.__cause__, "sqlstate", None) in _LAST_WORDS


def on_a_live_connection(work: Callable[[], T]) -> T:
    """Do what may be repeated; once more, over a new connection, where the kept one turns out to be dead.

    Raises OperationalError or InterfaceError where the database is away; the next call tries anew.
    """
    try:
        return work()
    except (OperationalError, InterfaceError) as error:
        if not is_cut_off(error):
            raise
        connection.close()
    try:
        return work()
    except (OperationalError, InterfaceError) as error:
        if is_cut_off(error):
            connection.close()
        raise
