"""Tasks that a real worker runs in the tests of the ground: each leaves a line in a file."""

from __future__ import annotations

import os
import time
from pathlib import Path

from celery import shared_task


def _write(path: str, line: str) -> None:
    with Path(path).open("a") as file:
        file.write(line + "\n")


@shared_task
def note(path: str, word: str) -> None:
    """Append one line."""
    _write(path, word)


@shared_task
def note_slowly(path: str, word: str, seconds: float) -> None:
    """Append `started` and the worker's process id, wait, append the word."""
    _write(path, f"started {os.getpid()}")
    time.sleep(seconds)
    _write(path, word)
