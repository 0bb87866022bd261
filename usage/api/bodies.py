"""Request bodies of any size in little memory: unpacked while they arrive, counted, and put into a file when they grow."""

from __future__ import annotations

import asyncio
import io
import tempfile
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import IO, Any

from accounts.errors import DomainError
from usage.errors import InvalidGzip, PayloadTooLarge
from usage.services.reading import MAX_BODY_BYTES

Receive = Callable[[], Awaitable[Mapping[str, Any]]]

#: A body larger than this goes into a file.
MAX_BODY_IN_MEMORY_BYTES = 1024 * 1024
#: All bodies in memory together; what comes beyond goes into files as well.
MAX_HELD_BYTES = 32 * 1024 * 1024
#: How long a body may take to arrive.
MAX_READING_SECONDS = 120.0


class SenderGone(Exception):
    """The connection ended before the body did."""


class TooSlow(DomainError):
    """The body did not arrive in time."""

    code = "request_timeout"
    http_status = 408


class Held:
    """Counts the bytes that bodies hold in memory."""

    def __init__(self, most: int) -> None:
        self._free = most

    def take(self, size: int) -> bool:
        """Whether there was room for so many bytes; then they are taken."""
        if size > self._free:
            return False
        self._free -= size
        return True

    def give_back(self, size: int) -> None:
        """So many bytes are free again."""
        self._free += size


class Body:
    """A body in memory or in a file. Used as a context; afterwards its bytes are gone."""

    def __init__(self, held: Held) -> None:
        self._held = held
        self._taken = 0
        self._buffer: IO[bytes] = io.BytesIO()
        self.size = 0
        self.is_file = False

    def write(self, part: bytes) -> None:
        """Add what arrived. Raises PayloadTooLarge beyond the limit."""
        self.size += len(part)
        if self.size > MAX_BODY_BYTES:
            raise PayloadTooLarge(f"a body has at most {MAX_BODY_BYTES} bytes")
        if not self.is_file:
            if self.size <= MAX_BODY_IN_MEMORY_BYTES and self._held.take(len(part)):
                self._taken += len(part)
            else:
                self._move_to_file()
        self._buffer.write(part)

    def content(self) -> bytes:
        """All of it."""
        self._buffer.seek(0)
        return self._buffer.read()

    def lines(self) -> Iterator[bytes]:
        """The lines that are not blank, one at a time."""
        self._buffer.seek(0)
        return (line for line in self._buffer if line.strip(b" \t\r\n"))

    def _move_to_file(self) -> None:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __aexit__
        file.write(self.content())
        self._buffer, self.is_file = file, True
        self._give_back()

    def _give_back(self) -> None:
        self._held.give_back(self._taken)
        self._taken = 0

    async def __aenter__(self) -> Body:
        return self

    async def __aexit__(self, *error: object) -> None:
        self._buffer.close()
        self._give_back()


class _Gunzip:
    """Unpacks one gzip member as it arrives, never further than a body may be long."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._member = zlib.decompressobj(wbits=31)
        self._packed = 0

    def write(self, part: bytes) -> None:
        self._packed += len(part)
        if self._packed > MAX_BODY_BYTES:
            raise PayloadTooLarge(f"a body has at most {MAX_BODY_BYTES} bytes")
        try:
            unpacked = self._member.decompress(part, MAX_BODY_BYTES + 1 - self._body.size)
        except zlib.error as error:
            raise InvalidGzip(f"the body is not gzip: {error}") from None
        if self._body.size + len(unpacked) > MAX_BODY_BYTES:
            raise PayloadTooLarge(f"the body unpacks to more than {MAX_BODY_BYTES} bytes")
        self._body.write(unpacked)
        if self._member.unused_data:
            raise InvalidGzip("something follows the end of the gzip body")

    def finish(self) -> None:
        if not self._member.eof:
            raise InvalidGzip("the gzip body ends too early")


async def read_body(receive: Receive, *, held: Held, is_gzip: bool, length: int) -> Body:
    """The whole body, unpacked where it is gzip. `length` is what the sender announced, 0 where it did not.

    Raises PayloadTooLarge, InvalidGzip, TooSlow or SenderGone.
    """
    if length > MAX_BODY_BYTES:
        raise PayloadTooLarge(f"a body has at most {MAX_BODY_BYTES} bytes")
    body = Body(held)
    packed = _Gunzip(body) if is_gzip else None
    try:
        async with asyncio.timeout(MAX_READING_SECONDS):
            await _receive_into(receive, packed or body)
        if packed:
            packed.finish()
    except TimeoutError:
        await body.__aexit__()
        raise TooSlow(f"the body did not arrive within {MAX_READING_SECONDS:.0f} seconds") from None
    except BaseException:
        await body.__aexit__()
        raise
    return body


async def _receive_into(receive: Receive, target: Body | _Gunzip) -> None:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise SenderGone
        if part := message.get("body", b""):
            target.write(part)
        if not message.get("more_body"):
            return
