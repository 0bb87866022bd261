"""Opening the tables that commands read."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from usage.errors import UnreadableFile
from usage.sources.rows import Row, read_rows


@contextmanager
def opened_rows(name: str) -> Iterator[Iterator[Row]]:
    """The rows of a file, or of standard input for "-". Raises UnreadableFile."""
    if name == "-":
        yield read_rows(cast(io.BufferedReader, sys.stdin.buffer))
        return
    try:
        stream = open(name, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise UnreadableFile(f"{name}: {error.strerror}", field="file") from None
    with stream:
        yield read_rows(stream)
