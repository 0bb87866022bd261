"""Reading an upstream's answer while it goes by: pure, incremental, and without changing a byte of it.

`SseSplitter` cuts a stream into events whose `raw` bytes, joined, are the stream again; `AnswerReader` takes from them (or
from a whole body) what settles a call: usage, served model, the upstream's id, how it finished, how much text there was.
"""

from .answers import AnswerReader, Seen
from .sse import MAX_EVENT_BYTES, Event, SseSplitter

__all__ = ["MAX_EVENT_BYTES", "AnswerReader", "Event", "Seen", "SseSplitter"]
