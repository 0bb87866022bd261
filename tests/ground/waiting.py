"""Waiting for what another process does."""

from __future__ import annotations

import time
from collections.abc import Callable


def eventually(condition: Callable[[], bool], what: Callable[[], object] = lambda: "") -> None:
    """Return when the condition holds; fail after 40 seconds, telling `what()`."""
    deadline = time.monotonic() + 40
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.03)
