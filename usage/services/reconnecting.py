"""Work on the kept connections of threads that outlive requests.

Django looks whether a connection still lives when a request begins. In a thread that serves many requests nobody does, and
a restarted database, or a firewall that drops idle connections, shows only when the connection is used next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connection

T = TypeVar("T")


def is_cut_off() -> bool:
    """Whether this thread has no connection that lives, so that what the database last said may have got lost."""
    return connection.connection is None or connection.connection.closed


def on_a_live_connection(work: Callable[[], T]) -> T:
    """Do what may be repeated; once more, over a new connection, where the kept one turns out to be dead.

    Raises OperationalError or InterfaceError where the database is away; the next call tries anew.
    """
    try:
        return work()
    except (OperationalError, InterfaceError):
        if not is_cut_off():
            raise
        connection.close()
    try:
        return work()
    except (OperationalError, InterfaceError):
        if is_cut_off():
            connection.close()
        raise
