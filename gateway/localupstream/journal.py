"""What the upstream has answered: one line a request, never a word of it, and what `/generation` tells about it."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import orjson

#: finished: to the end. cut: the client hung up, or a fault cut it. failed: it ended in an error after it had begun.
#: refused: nothing was generated and nothing is charged.
Ending = Literal["finished", "cut", "failed", "refused"]
_REMEMBERED = 200_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One request as it was answered. Counts are what is charged, `cost_usd` a plain decimal string of USD.

    `client_request_id` is the request's X-Client-Request-Id. Cache counts are inside the prompt, reasoning inside the
    completion.
    """

    id: str
    client_request_id: str
    at: str
    route: str
    model: str
    served_model: str
    is_stream: bool
    status: int
    ending: Ending
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: str = "0"
    finish_reason: str | None = None
    visible_at: float | None = 0  # when `/generation` begins to know of it (Unix time); None: never


class Journal:
    """Entries in memory and, with a path, as JSON lines in a file.

    A line is handed to the operating system before the answer's last bytes leave, so it survives the death of any process;
    another thread brings it to the disk (fsync) right behind.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.count = 0
        self._by_id: OrderedDict[str, Entry] = OrderedDict()
        self._by_client_id: OrderedDict[str, Entry] = OrderedDict()
        self._descriptor = -1
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._recall(path)
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._written = threading.Event()
            threading.Thread(target=self._sync, daemon=True, name="journal").start()

    def write(self, entry: Entry) -> None:
        """Keep an entry."""
        self.count += 1
        self._remember(entry)
        if self._descriptor >= 0:
            os.write(self._descriptor, orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))
            self._written.set()

    def find(self, name: str, *, now: float) -> Entry | None:
        """The answered request with this id or, the newest of them, this X-Client-Request-Id."""
        entry = self._by_id.get(name) or self._by_client_id.get(name)
        return entry if entry and entry.visible_at is not None and entry.visible_at <= now else None

    def _remember(self, entry: Entry) -> None:
        if entry.ending == "refused":
            return
        self._by_id[entry.id] = entry
        if entry.client_request_id:
            self._by_client_id.pop(entry.client_request_id, None)
            self._by_client_id[entry.client_request_id] = entry
        for memory in (self._by_id, self._by_client_id):
            while len(memory) > _REMEMBERED:
                memory.popitem(last=False)

    def _recall(self, path: Path) -> None:
        """Go on after what a file holds; a last line that a crash cut off is taken away."""
        if not path.exists():
            return
        for entry in read_journal(path):
            self.count += 1
            self._remember(entry)
        os.truncate(path, path.read_bytes().rfind(b"\n") + 1)

    def _sync(self) -> None:
        while True:
            self._written.wait()
            self._written.clear()
            os.fsync(self._descriptor)


def read_journal(path: Path) -> list[Entry]:
    """All entries of a file, in their order."""
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    return [Entry(**orjson.loads(line)) for line in whole.splitlines()]


def utc_text(moment: float) -> str:
    """A Unix time as RFC 3339 with microseconds."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
