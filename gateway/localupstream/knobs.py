"""`@upstream(name=value, flag)`, written anywhere in a request's body (a prompt is the place that every gateway leaves
alone), decides how that request is answered.

    completion=40 cached=16 cache_write=8 reasoning=4     counts (cache: of the prompt, reasoning: of the answer)
    chunks=20                                             into so many pieces the text of a stream is cut
    served=openai/gpt-5-nano                              which model answers
    slow_first_byte=2 slow_chunks=0.1                     seconds of waiting
    status=429 retry_after=3 times=1                      so often for one X-Client-Request-Id (without `times`: always)
    html_502                                              a web page instead of an answer
    error_200                                             an error object under status 200, nothing generated
    reset                                                 the connection is reset before any answer
    cut_stream=3                                          the connection ends after so many pieces (a body's: half-way)
    no_usage, two_usage                                   no usage object; a provisional one before the true one
    usage_then_error                                      usage, then an error where a stream's end belongs
    endless                                               the stream has no end; what is generated counts
    long_line=10000000                                    one piece with a text of so many bytes
    bad_utf8                                              a byte in one piece that is no UTF-8
    double_done                                           `[DONE]` twice
    empty                                                 no completion tokens, no finish reason
    generation_delay=2, no_generation                     `/generation` knows of it only so many seconds later; never
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

_WRITTEN = re.compile(rb"@upstream\(([^()\"\\]*)\)")


class UnknownKnob(ValueError):
    """A name that is not listed above, or a value that is not of its kind."""


@dataclass(frozen=True, slots=True)
class Knobs:
    """What a request wants its answer to be like; None and False leave it as it would be."""

    completion: int | None = None
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    chunks: int | None = None
    served: str = ""
    slow_first_byte: float = 0
    slow_chunks: float = 0
    status: int | None = None
    retry_after: int | None = None
    times: int | None = None
    html_502: bool = False
    error_200: bool = False
    reset: bool = False
    cut_stream: int | None = None
    no_usage: bool = False
    two_usage: bool = False
    usage_then_error: bool = False
    endless: bool = False
    long_line: int = 0
    bad_utf8: bool = False
    double_done: bool = False
    empty: bool = False
    generation_delay: float = 0
    no_generation: bool = False


_NONE = Knobs()
_KINDS = {knob.name: str(knob.type).removesuffix(" | None") for knob in fields(Knobs)}


_READERS: dict[str, Callable[[str], Any]] = {"int": int, "float": float, "str": str, "bool": lambda _: True}


def read_knobs(body: bytes) -> Knobs:
    """What the first `@upstream(...)` of a body says."""
    if b"@upstream(" not in body or not (found := _WRITTEN.search(body)):
        return _NONE
    values: dict[str, Any] = {}
    for entry in found[1].decode(errors="replace").split(","):
        name, equals, value = (part.strip() for part in entry.partition("="))
        kind = _KINDS.get(name)
        if kind is None or (kind == "bool") == bool(equals):
            raise UnknownKnob(f"@upstream: {entry.strip()!r} is not understood")
        try:
            values[name] = _READERS[kind](value)
        except ValueError:
            raise UnknownKnob(f"@upstream: {value!r} is no value of {name}") from None
    return Knobs(**values)
