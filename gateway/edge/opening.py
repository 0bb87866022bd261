"""Getting a call's answer to begin: one target after the other, until one answers or nobody is left to ask.

Nothing has gone to the client yet, so that another upstream or key may be asked; what each attempt came to is noted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import aiohttp
from msgspec.structs import replace

from gateway.calls import Attempt, CallRefused
from gateway.upstreams import Pool, Target, Unreachable, UpstreamClient

from .answers import scrubbed_error
from .asks import Ask
from .heads import Head

#: What may be said of an error: enough for any error object, and nobody waits long for it.
MAX_ERROR_BYTES = 65_536
ERROR_SECONDS = 5.0
#: Asked again elsewhere: too busy, or broken. Others are the request's own fault, except ours (401, 402, 403).
_RETRIED = frozenset({408, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
_OUR_TROUBLE = frozenset({401, 402, 403})
#: Answers that another key of the same upstream may not get.
_ABOUT_THE_KEY = frozenset({401, 402, 403, 429})


@dataclass(slots=True)
class Opened:
    """An answer that began: 2xx, and its first bytes. Whoever gets it closes `response`."""

    target: Target
    response: aiohttp.ClientResponse
    first: bytes


@dataclass(slots=True)
class Refused:
    """The upstream finds fault with the request: its status, its words (without our account's name), its Retry-After."""

    status: int
    body: bytes
    content_type: str
    headers: dict[str, str]


class Opening:
    """One call's way to an answer. `attempts` grows with each try; `may_have_begun`: somebody perhaps generates unseen."""

    def __init__(
        self, *, ask: Ask, head: Head, call_id: str, client: UpstreamClient, pool: Pool, clock: Callable[[], datetime]
    ) -> None:
        self._ask = ask
        self._head = head
        self._call_id = call_id
        self._client = client
        self._pool = pool
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._retry_after: float | None = None
        self.attempts: list[Attempt] = []
        self.may_have_begun = False

    async def open(self, plan: list[Target], granted_max_tokens: int | None) -> Opened | Refused:
        """The first answer. Raises CallRefused (502, 503, 504) when nobody answers."""
        waiting = list(plan)
        # Where there is nobody else, a failure gets a second chance with the same: a restart, a connection that had died.
        may_repeat = len(plan) == 1
        bodies: dict[str, bytes] = {}
        given_up: set[int] = set()
        while waiting:
            target = waiting.pop(0)
            if target.upstream_id in given_up:
                continue
            body = bodies.get(target.dialect)
            if body is None:
                body = bodies[target.dialect] = self._ask.body_for(target.dialect, granted_max_tokens)
            self.attempts.append(
                Attempt(target.upstream_id, target.key_id, len(self.attempts) + 1, started_at=self._clock())
            )
            try:
                found = await self._try(target, body)
                if found is not None:
                    return found
                is_broken = self.attempts[-1].status not in _ABOUT_THE_KEY
            except Unreachable as error:
                self._note(error_code=error.code)
                self._pool.note_failure(target, now=self._loop.time())
                self.may_have_begun |= error.may_have_begun
                if error.code == "first_byte_timeout":
                    # It may answer yet, at our cost; the client has waited long enough.
                    raise CallRefused(504, "timeout", "The model did not begin to answer in time.") from None
                is_broken = True
            if is_broken:
                given_up.add(target.upstream_id)
                if may_repeat:
                    waiting, given_up, may_repeat = [target], set(), False
        raise self._nobody()

    async def _try(self, target: Target, body: bytes) -> Opened | Refused | None:
        """One attempt: an answer, the upstream's no, or None where another is to be asked. Raises Unreachable."""
        headers = self._head.along(
            target,
            route=self._ask.route,
            call_id=self._call_id,
            content_type=self._ask.content_type,
            is_stream=self._ask.is_stream,
        )
        response: aiohttp.ClientResponse | None = None
        try:
            async with asyncio.timeout(target.first_byte_seconds):
                response = await self._client.post(target, self._ask.route, headers=headers, body=body)
                if 200 <= response.status < 300:
                    return await self._begun(target, response)
        except TimeoutError:
            _close(response)
            raise Unreachable("first_byte_timeout", may_have_begun=True) from None
        except BaseException:
            _close(response)
            raise
        return await self._judged(target, response)

    async def _begun(self, target: Target, response: aiohttp.ClientResponse) -> Opened:
        try:
            first = await response.content.readany()
        except aiohttp.ClientError:
            raise Unreachable("connection_lost", may_have_begun=True) from None
        if not first:
            raise Unreachable("empty_answer", may_have_begun=True)
        self._note(
            first_byte_at=self._clock(),
            status=response.status,
            upstream_generation_id=named_generation(response),
        )
        return Opened(target, response, first)

    async def _judged(self, target: Target, response: aiohttp.ClientResponse) -> Refused | None:
        """What a status other than 2xx means for the call."""
        status = response.status
        text = await _error_text(response)
        retry_after = retry_seconds(response.headers.get("Retry-After"))
        self._note(first_byte_at=self._clock(), status=status, error_code=f"http_{status}")
        return self.judge(target, status, text, response.content_type, retry_after)

    def judge(
        self, target: Target, status: int, text: bytes, content_type: str, retry_after: float | None
    ) -> Refused | None:
        """The upstream's no to the request itself; None where it is trouble of ours or theirs, which is noted."""
        now = self._loop.time()
        if status in _OUR_TROUBLE or status == 429:
            self._pool.note_refused(target, status=status, retry_after=retry_after, now=now)
            if status == 429 and retry_after is not None:
                self._retry_after = max(retry_after, self._retry_after or 0)
            return None
        if status in _RETRIED or status >= 500 or status < 400:
            self._pool.note_failure(target, now=now)
            return None
        body = scrubbed_error(text, secrets=(target.secret,))
        if body is None:
            raise CallRefused(status, "invalid_request", "The model's provider refused the request.")
        return Refused(status, body, "application/json", _retry_header(retry_after))

    def note_failure(self, error_code: str) -> None:
        """The last attempt's answer broke off after it had begun."""
        self._note(error_code=error_code)

    def note_generation(self, upstream_generation_id: str) -> None:
        """The last attempt's answer says under which id the upstream knows it."""
        if self.attempts[-1].upstream_generation_id is None:
            self._note(upstream_generation_id=upstream_generation_id)

    def _note(self, **changes: object) -> None:
        self.attempts[-1] = replace(self.attempts[-1], **changes)

    def _nobody(self) -> CallRefused:
        """What the client is told when every attempt failed: whose trouble it is, and when to come back. Nothing else."""
        statuses = [attempt.status for attempt in self.attempts]
        headers = _retry_header(self._retry_after)
        if statuses and all(status == 429 for status in statuses):
            return CallRefused(
                429, "rate_limit_exceeded", "The model's provider is busy; try again later.", headers=headers
            )
        if not statuses or any(status in _OUR_TROUBLE or status in {429, 503, 529} for status in statuses):
            headers = headers or {"Retry-After": "5"}
            return CallRefused(503, "provider_unavailable", "No provider is available for this call.", headers=headers)
        return CallRefused(502, "provider_unavailable", "The model's provider failed.", headers=headers)


def named_generation(response: aiohttp.ClientResponse) -> str | None:
    """The id under which the upstream says it knows the call, if its head says one that can be kept."""
    name = response.headers.get("X-Generation-Id", "")
    return name if 0 < len(name) <= 200 and name.isprintable() else None


def retry_seconds(value: str | None) -> float | None:
    """A Retry-After in seconds; a date or nonsense is as good as none."""
    if value is None or not value.isascii() or not value.strip().isdecimal() or len(value) > 6:
        return None
    return float(value)


def _retry_header(seconds: float | None) -> dict[str, str]:
    return {} if seconds is None else {"Retry-After": f"{seconds:.0f}"}


async def _error_text(response: aiohttp.ClientResponse) -> bytes:
    """The beginning of an error's body. What does not come soon is done without."""
    pieces, size = [], 0
    try:
        async with asyncio.timeout(ERROR_SECONDS):
            while size < MAX_ERROR_BYTES and (piece := await response.content.readany()):
                pieces.append(piece)
                size += len(piece)
    except (aiohttp.ClientError, TimeoutError):
        pass
    if not response.content.at_eof():
        response.close()
    else:
        response.release()
    return b"".join(pieces)


def _close(response: aiohttp.ClientResponse | None) -> None:
    if response is not None:
        response.close()
