"""Outcomes on disk while the database is away: appended and fsynced before the client gets its last byte.

One file for all processes of a machine, a line an outcome, whole or not there: a line that a crash cut off was never
answered for and is skipped. It holds what `Outcome` holds: counts, names and times.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from django.conf import settings

from gateway.calls import Outcome

_DECODER = msgspec.json.Decoder(Outcome)

logger = logging.getLogger(__name__)


def spool_path() -> Path:
    """Where this machine's gateways spool: GATEWAY_SPOOL_DIR."""
    return Path(settings.GATEWAY_SPOOL_DIR) / "outcomes.ndjson"


class Spool:
    """The file at `path`. Safe to use from several processes and threads at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._draining = path.with_suffix(".draining")
        self._refused = path.with_suffix(".refused")

    def append(self, outcome: Outcome) -> None:
        """Keep an outcome; on disk when this returns. Raises OSError when the disk does not take it."""
        self._write(self.path, [outcome])

    def refuse(self, outcomes: list[Outcome]) -> None:
        """Put aside what cannot be settled, for a person to look at: it must not hold up the others."""
        self._write(self._refused, outcomes)

    def has_any(self) -> bool:
        """Whether something waits; asks the disk and takes no lock."""
        return self._draining.exists() or _size(self.path) > 0

    @contextmanager
    def draining(self) -> Iterator[list[Outcome]]:
        """What waits, oldest first. It is forgotten when the block ends without an exception, and kept otherwise.

        Of several processes one drains; the others get nothing. Appending goes on meanwhile.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield []
                return
            if not self._draining.exists():
                self._set_aside()
            yield list(self._read())
            self._draining.unlink(missing_ok=True)
            _sync(self.path.parent)

    def _set_aside(self) -> None:
        """Rename the file under its own lock, so that no writer is in the middle of a line."""
        if self.path.exists():
            with self.path.open("ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                self.path.rename(self._draining)
                _sync(self.path.parent)

    def _read(self) -> Iterator[Outcome]:
        if not self._draining.exists():
            return
        for number, line in enumerate(self._draining.read_bytes().split(b"\n"), start=1):
            if not line:
                continue
            try:
                yield _DECODER.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                logger.error("%s: line %d was cut off by a crash", self._draining, number)

    def _write(self, path: Path, outcomes: list[Outcome]) -> None:
        data = b"".join(msgspec.json.encode(outcome) + b"\n" for outcome in outcomes)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            is_new = not path.exists()
            with open(path, "ab", buffering=0, opener=_private) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                # Whoever drains may have renamed it while we waited for the lock.
                if not _is_at(path, file.fileno()):
                    continue
                if _is_torn(path):
                    data = b"\n" + data
                file.write(data)
                os.fsync(file.fileno())
            if is_new:
                _sync(path.parent)
            return


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _size(path: Path) -> int:
    """In bytes; 0 where no file is. Whoever drains may take it away at any moment, so it is asked once."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether the open file is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _is_torn(path: Path) -> bool:
    """Whether a crash left half a line at the end."""
    size = _size(path)
    if not size:
        return False
    with path.open("rb") as file:
        file.seek(size - 1)
        return file.read(1) != b"\n"


def _sync(directory: Path) -> None:
    """Make a name in a directory as durable as the file itself."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
