"""`POST /billing/v1/usage/events` as an ASGI application of its own: bytes in, one answer per event, no Django in between.

Bodies of a few events are committed together with whatever else arrives at that moment; larger ones are metered in
threads, each in a transaction of its own, and those beyond a megabyte one at a time from a file, so that the process
stays small whatever is sent. `usage.api.ingest` describes the address; tests/usage/test_api.py tries it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http.request import split_domain_port, validate_host
from django.utils import timezone
from django.utils.http import parse_header_parameters

from accounts.errors import DomainError, InvalidInput
from accounts.models import ApiKey
from accounts.selectors import authenticate_api_key
from usage.api.bodies import MAX_HELD_BYTES, Body, Held, Receive, SenderGone, read_body
from usage.errors import PayloadTooLarge, UnsupportedMedia
from usage.services.grouping import GroupCommitter
from usage.services.ingesting import MAX_BATCH_EVENTS, ItemResult, count_by_status, ingest_events
from usage.services.reading import json_items
from usage.services.reconnecting import on_a_live_connection

PATH = "/billing/v1/usage/events"
JSON, NDJSON = "application/json", "application/x-ndjson"

#: A request up to both of these shares its commit with others.
_FEW_EVENTS, _FEW_BYTES = 50, 64 * 1024
_REQUESTS_AT_ONCE = 100
_BATCHES_AT_ONCE = 4
_MAX_KNOWN_KEYS = 1000
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"content-language", b"en"),
)

Scope = dict[str, Any]
Send = Callable[[dict[str, Any]], Any]

logger = logging.getLogger(__name__)


class Unauthenticated(DomainError):
    """No key was given."""

    code = "not_authenticated"
    http_status = 401


class KeyRefused(DomainError):
    """The key is unknown, revoked or expired: the caller can't tell which."""

    code = "authentication_failed"
    http_status = 401


class NotAnIngestKey(DomainError):
    """The key of a customer, who may not meter anybody, itself included."""

    code = "permission_denied"
    http_status = 403


class HostRefused(InvalidInput):
    """A host name that is not ours."""

    code = "invalid_host"


@dataclass(frozen=True, slots=True)
class _Sent:
    """What a key sent: raw events, not yet read."""

    key: ApiKey
    lines: Iterable[bytes]


class IngestEdge:
    """Takes events in. Usable without `startup`: threads and connections are made when they are first needed."""

    def __init__(self) -> None:
        self._held = Held(MAX_HELD_BYTES)
        self._few: GroupCommitter[_Sent, bytes | DomainError] = GroupCommitter(
            self._store_few, max_items=_REQUESTS_AT_ONCE
        )
        self._one = ThreadPoolExecutor(1, thread_name_prefix="ingest-few")
        self._batches = ThreadPoolExecutor(_BATCHES_AT_ONCE, thread_name_prefix="ingest")
        self._large = ThreadPoolExecutor(1, thread_name_prefix="ingest-large")
        self._helpers = ThreadPoolExecutor(1, thread_name_prefix="ingest-helper")
        self._under_way = 0
        self._keys: dict[bytes, ApiKey] = {}

    async def startup(self) -> None:
        """Nothing to do."""

    async def shutdown(self) -> None:
        """Store what was taken in."""
        await self._few.close()
        for pool in (self._one, self._batches, self._large, self._helpers):
            await asyncio.to_thread(pool.shutdown)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            status, content = 200, await self._take_in(_Head(scope), receive)
        except DomainError as error:
            status, content = error.http_status, _problem(error.http_status, error.code, error.message, error.field)
        except SenderGone:
            return
        except (OperationalError, InterfaceError) as error:
            logger.error("events cannot be stored: %s", type(error).__name__)
            status = 503
            content = _problem(503, "service_unavailable", "The database is away; send the same again later.", None)
        except Exception:
            logger.exception("unforeseen error while taking in events")
            status = 500
            content = _problem(500, "internal_error", "Something went wrong here; it has been logged.", None)
        content_type = b"application/json" if status == 200 else b"application/problem+json"
        headers = [
            (b"content-type", content_type),
            (b"content-length", str(len(content)).encode()),
            *_HEADERS,
        ]
        if status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        if status == 503:
            headers.append((b"retry-after", b"5"))
        if settings.SECURE_HSTS_SECONDS:
            headers.append((b"strict-transport-security", f"max-age={settings.SECURE_HSTS_SECONDS}".encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _take_in(self, head: _Head, receive: Receive) -> bytes:
        head.check_host()
        key = await self._caller(head.secret())
        is_ndjson = head.content_type() == NDJSON
        async with await read_body(
            receive, held=self._held, is_gzip=head.is_gzip(), length=head.content_length()
        ) as body:
            if body.size <= _FEW_BYTES:
                lines = list(_lines(body, is_ndjson))
                if len(lines) > MAX_BATCH_EVENTS:
                    raise PayloadTooLarge(f"one batch has at most {MAX_BATCH_EVENTS} events")
                if len(lines) <= _FEW_EVENTS:
                    answer = await self._few.submit(_Sent(key, lines))
                    if isinstance(answer, DomainError):
                        raise answer
                    return answer
            return await self._store(key, body, is_ndjson)

    async def _store_few(self, requests: Sequence[_Sent]) -> list[bytes | DomainError]:
        return await asyncio.get_running_loop().run_in_executor(self._one, _store_together, requests)

    async def _store(self, key: ApiKey, body: Body, is_ndjson: bool) -> bytes:
        """Store one larger request; where it is the only one, with a helper beside it."""
        pool = self._large if body.is_file else self._batches
        helpers = self._helpers if self._under_way == 0 and not body.is_file else None
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, _store_batch, key, body, is_ndjson, helpers)
        finally:
            self._under_way -= 1

    async def _caller(self, secret: str) -> ApiKey:
        """The ingest key that calls. A key that was right before is asked about when its events are stored."""
        digest = hashlib.sha256(secret.encode()).digest()
        key = self._keys.get(digest)
        if key is None:
            loop = asyncio.get_running_loop()
            key = await loop.run_in_executor(self._batches, _authenticate, secret, timezone.now())
            if len(self._keys) >= _MAX_KNOWN_KEYS:
                self._keys.clear()
            self._keys[digest] = key
        if not key.is_usable(at=timezone.now()):
            raise _key_refused()
        if key.scope != ApiKey.Scope.INGEST:
            raise NotAnIngestKey("This needs an operator's ingest key.")
        return key


class _Head:
    """The head of a request, with Django's reading of it: what is given twice is joined by commas."""

    def __init__(self, scope: Scope) -> None:
        self._headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            known = self._headers.get(name)
            self._headers[name] = value if known is None else known + b"," + value

    def _text(self, name: bytes) -> str:
        return self._headers.get(name, b"").decode("latin-1")

    def check_host(self) -> None:
        host = self._text(b"host")
        domain, _ = split_domain_port(host)
        if not domain or not validate_host(domain, settings.ALLOWED_HOSTS):
            raise HostRefused("this is not the name of a host here", field="Host")

    def secret(self) -> str:
        scheme, _, secret = self._text(b"authorization").partition(" ")
        if scheme.lower() != "bearer" or not secret:
            raise Unauthenticated("Authentication credentials were not provided.")
        return secret

    def content_type(self) -> str:
        content_type, parameters = parse_header_parameters(self._text(b"content-type"))
        content_type = content_type.strip().lower()
        if content_type not in {JSON, NDJSON}:
            raise UnsupportedMedia(f"send {JSON} or {NDJSON}", field="Content-Type")
        if parameters.get("charset", "utf-8").lower() not in {"utf-8", "utf8"}:
            raise UnsupportedMedia("the character set must be UTF-8", field="Content-Type")
        return content_type

    def is_gzip(self) -> bool:
        encoding = self._text(b"content-encoding").strip().lower() or "identity"
        if encoding not in {"identity", "gzip"}:
            raise UnsupportedMedia("the content encoding must be gzip or none", field="Content-Encoding")
        return encoding == "gzip"

    def content_length(self) -> int:
        """As the sender states it; 0 where it does not."""
        text = self._text(b"content-length")
        return int(text) if text.isdigit() else 0


# -- In threads --------------------------------------------------------------------------------------------------------
def _authenticate(secret: str, now: datetime) -> ApiKey:
    key = on_a_live_connection(lambda: authenticate_api_key(secret, at=now))
    if key is None:
        raise _key_refused()
    return key


def _store_together(requests: Sequence[_Sent]) -> list[bytes | DomainError]:
    """Store what several requests sent in one transaction; each gets its own answer."""
    return on_a_live_connection(lambda: _stored_together(requests))


def _stored_together(requests: Sequence[_Sent]) -> list[bytes | DomainError]:
    now = timezone.now()
    usable = _usable_keys({request.key.pk for request in requests}, now)
    taken = [list(request.lines) if request.key.pk in usable else [] for request in requests]
    lines = [line for part in taken for line in part]
    results = iter(ingest_events(lines=lines, now=now, actor=f"{len(requests)} requests") if lines else [])
    answers: list[bytes | DomainError] = []
    for request, part in zip(requests, taken, strict=True):
        if request.key.pk not in usable:
            answers.append(_key_refused())
        else:
            own = [msgspec.structs.replace(next(results), index=index) for index in range(len(part))]
            answers.append(_answer(own))
    return answers


def _store_batch(key: ApiKey, body: Body, is_ndjson: bool, helpers: Executor | None) -> bytes:
    """Store one larger request."""

    def store() -> bytes:
        now = timezone.now()
        if not _usable_keys({key.pk}, now):
            raise _key_refused()
        lines = _lines(body, is_ndjson)
        return _answer(ingest_events(lines=lines, now=now, actor=f"key {key.prefix}", helpers=helpers))

    return on_a_live_connection(store)


def _lines(body: Body, is_ndjson: bool) -> Iterable[bytes]:
    return body.lines() if is_ndjson else json_items(body.content())


def _usable_keys(pks: set[int], now: datetime) -> set[int]:
    return {key.pk for key in ApiKey.objects.filter(pk__in=pks) if key.is_usable(at=now)}


def _answer(results: list[ItemResult]) -> bytes:
    return msgspec.json.encode({**count_by_status(results), "items": [result.as_dict() for result in results]})


def _key_refused() -> KeyRefused:
    return KeyRefused("The API key is missing or can't be used.")


def _problem(status: int, code: str, detail: str, field: str | None) -> bytes:
    """An RFC 9457 problem document, as `accounts.api.problem` makes it."""
    body: dict[str, Any] = {"type": "about:blank", "title": code.replace("_", " "), "status": status, "code": code}
    body["detail"] = detail
    if field is not None:
        body["errors"] = [{"field": field, "code": code, "detail": detail}]
    return msgspec.json.encode(body)


ingest_edge = IngestEdge()
