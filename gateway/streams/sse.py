"""Server-sent events, cut out of a byte stream that is passed on as it is.

Lines may end in LF, CRLF or CR, an event in any two of them; comments, several `data:` lines, a BOM and invalid UTF-8 are
all taken. An event that grows beyond MAX_EVENT_BYTES is let through in parts, so that no line, however long, is kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_EVENT_BYTES = 1_000_000
#: What is kept of an event that was let through in parts: its usage stands at the end.
TAIL_BYTES = 65_536

# CRLF is one line end: "\r\n" alone must not pass for two.
_END = re.compile(rb"\r\n(?:\r\n|\r|\n)|\n(?:\r\n|\r|\n)|\r(?!\n)(?:\r\n|\r|\n)")
_LINE_END = re.compile(rb"\r\n|\r|\n")
_BOM = b"\xef\xbb\xbf"
_HELD_BACK = 3  # bytes in which an end may have begun


@dataclass(frozen=True, slots=True)
class Event:
    """`raw` is what came, to the byte. `data` joins its data lines, None where it has none (a comment, a part).

    `tail` is there only on the last part of an oversized event: up to TAIL_BYTES from its end.
    """

    raw: bytes
    data: bytes | None = None
    tail: bytes | None = None


class SseSplitter:
    """`feed` bytes as they come, `finish` when no more will."""

    __slots__ = ("_buffer", "_searched", "_started", "_tail")

    def __init__(self) -> None:
        self._buffer = b""
        self._searched = 0
        self._started = False
        self._tail: bytes | None = None

    def feed(self, piece: bytes) -> list[Event]:
        """The events that end in this piece, and parts of one that is too long to wait for."""
        buffer = self._buffer + piece if self._buffer else piece
        events: list[Event] = []
        start, search_from = 0, self._searched
        while (end := _END.search(buffer, search_from)) is not None:
            events.append(self._event(buffer[start : end.end()]))
            start = search_from = end.end()
        rest = buffer[start:] if start else buffer
        if len(rest) > MAX_EVENT_BYTES or (self._tail is not None and len(rest) > TAIL_BYTES):
            part, rest = rest[:-_HELD_BACK], rest[-_HELD_BACK:]
            self._started = True
            self._tail = ((self._tail or b"") + part)[-TAIL_BYTES:]
            events.append(Event(part))
        self._buffer = rest
        self._searched = max(0, len(rest) - _HELD_BACK)
        return events

    def finish(self) -> list[Event]:
        """What was left without an end. A cut event is read as far as it can be, and passed on."""
        rest, self._buffer, self._searched = self._buffer, b"", 0
        return [self._event(rest)] if rest or self._tail is not None else []

    def _event(self, raw: bytes) -> Event:
        if self._tail is not None:
            tail, self._tail = (self._tail + raw)[-TAIL_BYTES:], None
            return Event(raw, None, tail)
        text = raw
        if not self._started:
            self._started = True
            text = raw.removeprefix(_BOM)
        return Event(raw, _data(text))


def _data(raw: bytes) -> bytes | None:
    if raw.startswith(b"data: ") and raw.count(b"\n") == 2 and raw.endswith(b"\n\n") and b"\r" not in raw:
        return raw[6:-2]  # nearly every event there is
    lines = []
    for line in _LINE_END.split(raw):
        name, colon, value = line.partition(b":")
        if name == b"data":
            lines.append(value.removeprefix(b" ") if colon else b"")
    return b"\n".join(lines) if lines else None
