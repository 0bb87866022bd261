"""One admitted call, from the first try at an upstream to its settlement.

The answer goes to the client as it comes, to the byte, except that a usage chunk stays here where only we asked for it. Its
last bytes go out when the settlement is durable. A client that hangs up changes nothing for the upstream: the answer is
read to its end, within bounds, and billed by what it says.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import aiohttp

from gateway.calls import Admission, Answering, CallRefused, CallRequest, Ending, Outcome, dialect_of
from gateway.streams import AnswerReader, Event, Seen, SseSplitter
from gateway.upstreams import Pool, Target, UpstreamClient

from .answers import call_headers, encoded, failure_in_stream, send_refusal, send_whole
from .asgi import Headers, Receive, Send
from .asks import Ask
from .heads import Head
from .opening import Opened, Opening, Refused, retry_seconds
from .patience import Patience

logger = logging.getLogger(__name__)

_USAGE_ONLY = Seen.USAGE_ONLY
_CUT = (aiohttp.ClientError, TimeoutError, ConnectionError)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long and how much: of any answer, and of what is still read for a client that is gone."""

    answer_bytes: int = 64 * 1024 * 1024
    stream_bytes: int = 256 * 1024 * 1024
    stream_seconds: float = 3600.0
    drain_bytes: int = 16 * 1024 * 1024
    drain_seconds: float = 120.0
    client_stall_seconds: float = 60.0
    after_end_seconds: float = 2.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a call needs from the process: the way out, the way to the money, a clock."""

    client: UpstreamClient
    pool: Pool
    bounds: Bounds
    clock: Callable[[], datetime]
    settle: Callable[[Outcome], Awaitable[None]]
    settle_later: Callable[[Outcome], None]
    answering: dict[str, Answering]


class Relay:
    """One call. `run` it once; it settles whatever happens."""

    __slots__ = (
        "_admission",
        "_around",
        "_ask",
        "_dialect",
        "_gone_at",
        "_is_settled",
        "_loop",
        "_noted",
        "_on_sent",
        "_opening",
        "_reader",
        "_request",
        "_send",
        "_sent",
        "_target",
    )

    def __init__(
        self,
        around: Surroundings,
        ask: Ask,
        head: Head,
        request: CallRequest,
        admission: Admission,
        *,
        send: Send,
        on_sent: Callable[[], None],
    ) -> None:
        self._around = around
        self._ask = ask
        self._request = request
        self._admission = admission
        self._send = send
        self._on_sent = on_sent
        self._loop = asyncio.get_running_loop()
        self._reader = AnswerReader(ask.route)
        self._opening = Opening(
            ask=ask,
            head=head,
            call_id=request.call_id,
            client=around.client,
            pool=around.pool,
            clock=around.clock,
        )
        self._target: Target | None = None
        self._dialect = request.dialect
        self._gone_at: float | None = None
        self._noted = ""
        self._is_settled = False
        self._sent = False

    async def run(self, plan: list[Target], receive: Receive) -> None:
        """Answer the call and settle it. Cancelled (the process ends): settled all the same, a moment later."""
        try:
            await self._answer(plan, receive)
        except CallRefused as refused:
            await self._settle(
                "cancelled" if self._opening.may_have_begun else "failed", error_code=f"{refused.status}"
            )
            await send_refusal(self._send, self._ask.route, refused, call_id=self._request.call_id)
        except asyncio.CancelledError:
            self._settle_later("interrupted")
            raise
        except Exception as error:
            # The type only: a message may repeat what was said.
            logger.error("call %s broke: %s", self._request.call_id, type(error).__name__)
            self._settle_later("internal_error")
            if not self._sent:
                broken = CallRefused(500, "server", "Something went wrong here; it has been logged.")
                await send_refusal(self._send, self._ask.route, broken, call_id=self._request.call_id)
        finally:
            self._around.answering.pop(self._request.call_id, None)

    async def _answer(self, plan: list[Target], receive: Receive) -> None:
        while True:
            opened = await self._opening.open(plan, self._admission.granted_max_tokens)
            if isinstance(opened, Refused):
                await self._tell_refusal(opened)
                return
            self._target = opened.target
            self._dialect = dialect_of(opened.target.dialect, self._ask.route)
            self._note_answering(self._opening.attempts[-1].upstream_generation_id)
            try:
                if opened.response.content_type == "text/event-stream":
                    self._on_sent()  # nobody else will be asked: the request need not be kept
                    await self._pass_stream(opened, receive)
                    return
                body = await self._whole(opened)
            finally:
                # Read to its end it has gone back to the pool already, and this does nothing.
                opened.response.close()
            judged = self._judged_inside(opened, body)
            if judged is None:
                self._around.pool.note_answer(opened.target)
                await self._settle("answered")
                await self._tell_body(opened.response, body)
                return
            if isinstance(judged, Refused):
                await self._settle("failed", error_code=self._reader.error_code)
                await self._tell_body(opened.response, body)
                return
            plan = [target for target in plan if target.upstream_id != opened.target.upstream_id]
            self._reader = AnswerReader(self._ask.route)

    # -- answers in one piece

    async def _whole(self, opened: Opened) -> bytes:
        """The whole body. Raises CallRefused (502) for one that breaks off or is larger than anything sensible."""
        pieces, size = [opened.first], len(opened.first)
        content = opened.response.content
        try:
            while not content.at_eof():
                async with asyncio.timeout(opened.target.idle_seconds):
                    piece = await content.readany()
                size += len(piece)
                if size > self._around.bounds.answer_bytes:
                    raise self._broken("too_large")
                pieces.append(piece)
        except _CUT as error:
            raise self._broken("idle_timeout" if isinstance(error, TimeoutError) else "cut") from None
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _broken(self, code: str) -> CallRefused:
        """An answer that began and can't be used: it may well have been charged."""
        assert self._target is not None
        self._opening.note_failure(code)
        self._opening.may_have_begun = True
        self._around.pool.note_failure(self._target, now=self._loop.time())
        return CallRefused(502, "provider_unavailable", "The model's provider broke off its answer.")

    def _judged_inside(self, opened: Opened, body: bytes) -> Refused | Literal["elsewhere"] | None:
        """Whether a 200 is none: an error object in its place is judged as if its code were the status.

        None: an answer. Refused: the request's own fault, to be passed on. "elsewhere": somebody else is to be asked.
        """
        reader = self._reader
        reader.read_body(body)
        is_web_page = not reader.is_ended and self._ask.route != "audio/transcriptions"
        if is_web_page:
            raise self._broken("not_json")
        if not reader.error_code or reader.usage is not None or reader.answered_bytes:
            return None
        status = reader.error_status or 502
        self._opening.note_failure(f"error_in_200_{status}")
        retry_after = retry_seconds(opened.response.headers.get("Retry-After"))
        return self._opening.judge(opened.target, status, body, "application/json", retry_after) or "elsewhere"

    async def _tell_body(self, response: aiohttp.ClientResponse, body: bytes) -> None:
        self._sent = True
        await send_whole(self._send, response.status, self._headers(response), body)

    async def _tell_refusal(self, refused: Refused) -> None:
        await self._settle("failed", error_code=f"http_{refused.status}")
        headers = [(b"content-type", refused.content_type.encode()), *encoded(refused.headers)]
        headers += call_headers(self._request.call_id)
        self._sent = True
        await send_whole(self._send, refused.status, headers, refused.body)

    # -- streams

    async def _pass_stream(self, opened: Opened, receive: Receive) -> None:
        headers = self._headers(opened.response)
        headers += [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
        self._sent = True
        await self._send({"type": "http.response.start", "status": opened.response.status, "headers": headers})
        watcher = self._loop.create_task(self._watch(receive))
        try:
            last = await self._pump(opened)
        finally:
            watcher.cancel()
        # To one that takes nothing the server is left to close the connection.
        if self._gone_at is None:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(self._around.bounds.client_stall_seconds):
                    await self._send({"type": "http.response.body", "body": last})

    async def _pump(self, opened: Opened) -> bytes:
        """Pass the stream on until it ends, and settle. The bytes that may go out only now are returned."""
        splitter, held = SseSplitter(), list[bytes]()
        reader = self._reader
        cut = ""
        try:
            cut = await self._read_on(opened, splitter, held)
        except _CUT as error:
            if not reader.is_ended:
                cut = "idle_timeout" if isinstance(error, TimeoutError) else "cut"
        rest = self._take(splitter.finish(), held)
        if not cut and not reader.is_ended and reader.usage is None and not reader.finish_reason:
            cut = "cut"  # the connection ended in order, the answer did not
        if cut:
            self._opening.note_failure(cut)
            self._around.pool.note_failure(opened.target, now=self._loop.time())
            broken = "The model's provider broke off its answer."
            held.append(failure_in_stream(self._ask.route, status=502, message=broken))
        else:
            self._around.pool.note_answer(opened.target)
        await self._settle("cancelled" if cut else "answered", error_code=cut or reader.error_code)
        return rest + b"".join(held)

    async def _read_on(self, opened: Opened, splitter: SseSplitter, held: list[bytes]) -> str:
        """Read to the end and pass on; "endless" where there was none within the bounds. Raises what `_CUT` names."""
        bounds = self._around.bounds
        until = self._loop.time() + bounds.stream_seconds
        piece, size = opened.first, 0
        is_sending = False
        while True:
            try:
                async with Patience() as patience:
                    while True:
                        size += len(piece)
                        body = self._take(splitter.feed(piece), held)
                        if size > bounds.stream_bytes or self._loop.time() > until or self._is_drained(size):
                            return "endless"
                        if body and self._gone_at is None:
                            is_sending = True
                            patience.allow(bounds.client_stall_seconds)
                            await self._send({"type": "http.response.body", "body": body, "more_body": True})
                            is_sending = False
                        patience.allow(
                            bounds.after_end_seconds if self._reader.is_ended else opened.target.idle_seconds
                        )
                        piece = await opened.response.content.readany()
                        if not piece:
                            return ""
            except (OSError, TimeoutError):
                if not is_sending:
                    raise
                # One that takes nothing for long is as good as gone; the upstream is read on.
                self._gone_at, is_sending, piece = self._loop.time(), False, b""

    def _take(self, events: list[Event], held: list[bytes]) -> bytes:
        """Read events; the bytes to pass on. From the event that ends the stream on they are held back."""
        reader = self._reader
        passed: list[bytes] = []
        for event in events:
            seen = reader.read_event(event)
            if reader.is_ended:
                held.append(event.raw)
            elif seen is not _USAGE_ONLY or self._shows_usage:
                passed.append(event.raw)
        if reader.upstream_id and reader.upstream_id != self._noted:
            self._note_answering(reader.upstream_id)
        return passed[0] if len(passed) == 1 else b"".join(passed)

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        if self._gone_at is None:
            self._gone_at = self._loop.time()

    def _is_drained(self, size: int) -> bool:
        """Whether enough was read for a client that is gone."""
        if self._gone_at is None:
            return False
        bounds = self._around.bounds
        return size > bounds.drain_bytes or self._loop.time() - self._gone_at > bounds.drain_seconds

    @property
    def _shows_usage(self) -> bool:
        """Whether the client sees the usage chunk: it asked for it, or the upstream sends it to everybody."""
        return self._ask.wants_usage or self._dialect == "openrouter"

    # -- both

    def _headers(self, response: aiohttp.ClientResponse) -> Headers:
        content_type = response.headers.get("Content-Type", "application/json")
        headers: Headers = [(b"content-type", content_type.encode("latin-1", "replace"))]
        headers += encoded(self._admission.headers)
        headers += call_headers(self._request.call_id)
        return headers

    def _note_answering(self, upstream_generation_id: str | None) -> None:
        """Let the process write down, in a moment, that this answer began and under which id."""
        if self._target is None or upstream_generation_id is None:
            return
        self._noted = upstream_generation_id
        self._opening.note_generation(upstream_generation_id)
        self._around.answering[self._request.call_id] = Answering(
            self._request.call_id, self._target.upstream_id, upstream_generation_id
        )

    def _outcome(self, ending: Ending, error_code: str) -> Outcome:
        reader, attempts = self._reader, self._opening.attempts
        named = attempts[-1].upstream_generation_id if attempts else None
        return Outcome(
            call_id=self._request.call_id,
            ending=ending,
            finished_at=self._around.clock(),
            served_model=reader.served_model,
            dialect=self._dialect,
            usage=None if ending == "cancelled" and reader.is_provisional else reader.usage_json(),
            upstream_generation_id=reader.upstream_id or named,
            upstream_id=self._target.upstream_id if self._target else None,
            finish_reason=reader.finish_reason,
            answered_bytes=reader.answered_bytes,
            answered_chunks=reader.answered_chunks,
            attempts=tuple(attempts),
            error_code=error_code,
        )

    async def _settle(self, ending: Ending, *, error_code: str = "") -> None:
        self._is_settled = True
        await self._around.settle(self._outcome(ending, error_code))

    def _settle_later(self, error_code: str) -> None:
        if not self._is_settled:
            self._is_settled = True
            self._around.settle_later(self._outcome("cancelled", error_code))
