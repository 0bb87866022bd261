"""From bytes to single raw events: NDJSON lines or the items of a JSON array, gzip or not, without reading them.

An item is only cut out here; whether it is JSON at all is found out when it is parsed, so that a bad one takes no other
down. Memory stays bounded: what is longer than an event may be is cut one byte after the limit and refused later.
"""

from __future__ import annotations

import gzip
import io
import itertools
import re
import zlib
from collections.abc import Iterable, Iterator

import msgspec

from usage.errors import InvalidGzip, InvalidJson, PayloadTooLarge
from usage.events import MAX_EVENT_BYTES

MAX_BODY_BYTES = 16 * 1024 * 1024
GZIP_MAGIC = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"

_CHUNK_BYTES = 256 * 1024
_BLANK = b" \t\r\n"
_KEPT_BYTES = MAX_EVENT_BYTES + 1
_MAX_DEPTH = 100_000  # no event's item is kept beyond a depth of 64; millions of brackets are looked at one by one
_FAST_COMMAS = 1_000_000  # beyond, an array could have millions of items: they are not cut out all at once
_STRUCTURE = re.compile(rb'["\[\]{},]')
_STRING_END = re.compile(rb'["\\]')
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])


def gunzip(body: bytes) -> bytes:
    """The content of a gzip body. Raises InvalidGzip, or PayloadTooLarge for what unpacks to more than a body may have;
    a bomb is never unpacked further than that.
    """
    member = zlib.decompressobj(wbits=31)
    try:
        content = member.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error as error:
        raise InvalidGzip(f"the body is not gzip: {error}") from None
    if len(content) > MAX_BODY_BYTES:
        raise PayloadTooLarge(f"the body unpacks to more than {MAX_BODY_BYTES} bytes")
    if not member.eof:
        raise InvalidGzip("the gzip body ends too early")
    if member.unused_data:
        raise InvalidGzip("something follows the end of the gzip body")
    return content


def json_items(body: bytes) -> Iterable[bytes]:
    """The raw items of a JSON array, or the one JSON object.

    Raises InvalidJson for a document that is neither, at once or while the items are taken out.
    """
    start = body.lstrip(_BLANK)[:1]
    if start == b"{":
        return [body]
    if start != b"[":
        raise InvalidJson("the body is neither a JSON array of events nor one event")
    if body.count(b",") <= _FAST_COMMAS:
        try:
            return map(bytes, _ARRAY.decode(body))
        except (msgspec.DecodeError, RecursionError):
            pass
    return array_items([body])  # slower; finds the good ones beside a bad one, one at a time


def ndjson_items(body: bytes) -> Iterator[bytes]:
    """The lines of an NDJSON body that are not blank."""
    return (line for line in io.BytesIO(body) if line.strip(_BLANK))


def file_items(stream: io.BufferedReader) -> Iterator[tuple[int, bytes]]:
    """(number, raw event) of an NDJSON file or a JSON array, gzip or not, told apart by their first bytes.

    Numbers count from 1: lines of NDJSON, items of an array. Raises InvalidGzip or InvalidJson where the file breaks
    off; what was yielded before stands.
    """
    source: io.BufferedReader | gzip.GzipFile = stream
    if stream.peek(2)[:2] == GZIP_MAGIC:
        source = gzip.GzipFile(fileobj=stream)
    try:
        head = source.read(_CHUNK_BYTES).removeprefix(BOM)
        chunks = itertools.chain([head], iter(lambda: source.read(_CHUNK_BYTES), b""))
        if head.lstrip(_BLANK)[:1] == b"[":
            yield from enumerate(array_items(chunks), start=1)
        else:
            yield from _lines(chunks)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise InvalidGzip(f"the gzip file breaks off: {error}") from None


def array_items(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The raw items of a JSON array that arrives in chunks of any size.

    Only strings and brackets are looked at. Raises InvalidJson where the brackets do not come out, after the items
    before that place.
    """
    scanner = _ArrayScanner()
    for chunk in chunks:
        yield from scanner.feed(chunk)
    scanner.finish()


class _ArrayScanner:
    """Where in the array the scan stands: how many brackets are open, inside a string or not, and the item so far."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._item = bytearray()
        self._items = 0
        self._done = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        position = begin = 0  # `begin`: what of the chunk is not yet in the item
        if self._escaped and chunk:
            self._escaped, position = False, 1
        while found := (_STRING_END if self._in_string else _STRUCTURE).search(chunk, position):
            character, position = found[0], found.end()
            if self._in_string:
                if character == b'"':
                    self._in_string = False
                elif position < len(chunk):
                    position += 1
                else:
                    self._escaped = True
                continue
            self._refuse_after_end(character)
            if character == b'"':
                self._in_string = True
            elif character in b"[{":
                self._depth += 1
                if self._depth > _MAX_DEPTH:
                    raise InvalidJson("the JSON array is nested too deeply")
                if self._depth == 1:
                    begin = self._open(chunk, found)
            elif character in b"]}":
                self._depth -= 1
                if self._depth == 0:
                    if character != b"]":
                        raise InvalidJson("the brackets of the JSON array do not come out")
                    yield from self._cut(chunk[begin : found.start()], last=True)
                    begin, self._done = position, True
            elif self._depth == 1:
                yield from self._cut(chunk[begin : found.start()], last=False)
                begin = position
        self._keep(chunk[begin:])

    def finish(self) -> None:
        """Check that the array ended, and nothing else followed."""
        if not self._done:
            raise InvalidJson("the JSON array breaks off")
        if self._item.strip(_BLANK):
            raise InvalidJson("something follows the end of the JSON array")

    def _open(self, chunk: bytes, found: re.Match[bytes]) -> int:
        self._keep(chunk[: found.start()])
        if found[0] != b"[" or self._item.strip(_BLANK):
            raise InvalidJson("the document is not a JSON array")
        self._item.clear()
        return found.end()

    def _cut(self, part: bytes, *, last: bool) -> Iterator[bytes]:
        self._keep(part)
        item = bytes(self._item)
        self._item.clear()
        if last and not self._items and not item.strip(_BLANK):
            return  # the empty array
        self._items += 1
        yield item

    def _keep(self, part: bytes) -> None:
        self._item += part[: _KEPT_BYTES - len(self._item)]

    def _refuse_after_end(self, character: bytes) -> None:
        if self._done or (self._depth == 0 and character not in b"[{"):
            raise InvalidJson("the brackets of the JSON array do not come out")


def _lines(chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, with their numbers; of one that is too long only its beginning."""
    number = 0
    kept = bytearray()
    for chunk in chunks:
        *ended, open_end = chunk.split(b"\n")
        for part in ended:
            number += 1
            kept += part[: _KEPT_BYTES - len(kept)]
            if kept.strip(_BLANK):
                yield number, bytes(kept)
            kept.clear()
        kept += open_end[: _KEPT_BYTES - len(kept)]
    if kept.strip(_BLANK):
        yield number + 1, bytes(kept)
