"""What the gateway's parts say to each other about one call: pure values, no I/O, never a prompt or an answer.

    find_caller(key_text, now=)          -> Caller, or raises CallRefused        gateway.services.callers
    admit_calls([CallRequest], now=)     -> [Admission | CallRefused]            gateway.services.admitting
    note_answering([Answering], now=)                                            gateway.services.leasing
    extend_leases(instance=, now=)                                               gateway.services.leasing
    settle_calls([Outcome], now=)        -> [Settled]                            gateway.services.settling
    Spool(path).append(outcome) / drain_spool(path=, now=)                       gateway.spool, .services.spooling
    worst_prompt_tokens(...), holds_media(...)                                   gateway.estimates

`admit_calls` and `settle_calls` take a group and do it in one transaction (`gateway.edge.desk` gathers them). They raise
`django.db.OperationalError` / `InterfaceError` when the database is away; nothing of the group is stored then.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec

CALL_ID_PREFIX = "gen-"

#: The routes that are metered, as they stand behind `/v1/` and `/api/v1/`.
Route = Literal[
    "chat/completions",
    "completions",
    "responses",
    "messages",
    "embeddings",
    "images/generations",
    "audio/transcriptions",
]
ROUTES: tuple[Route, ...] = (
    "chat/completions",
    "completions",
    "responses",
    "messages",
    "embeddings",
    "images/generations",
    "audio/transcriptions",
)
#: Routes whose answers are generated text: where they end without any, nothing is charged.
GENERATING_ROUTES: frozenset[str] = frozenset({"chat/completions", "completions", "responses", "messages"})

#: How a route's usage object is to be read, by the kind of upstream (`Upstream.dialect`). `usage.dialects.DIALECTS`.
_PLAIN_DIALECTS: Mapping[str, str] = {
    "chat/completions": "openai_chat",
    "completions": "openai_chat",
    "responses": "openai_responses",
    "messages": "anthropic_messages",
    "embeddings": "openai_chat",
    "images/generations": "openai_responses",
    "audio/transcriptions": "openai_responses",
}


def dialect_of(upstream_dialect: str, route: str) -> str:
    """The usage dialect of a route's answers: "openrouter" reads all its routes itself, others speak each API's own."""
    return "openrouter" if upstream_dialect == "openrouter" else _PLAIN_DIALECTS[route]


#: The longest app name or referer that an event carries.
MAX_APP_CHARS = 300


def storable(text: str, longest: int = MAX_APP_CHARS) -> str:
    """A header's text as a row may carry it: what cannot be printed is left out, the rest is cut."""
    return text[:longest] if text.isprintable() else "".join(filter(str.isprintable, text))[:longest]


def new_call_id() -> str:
    """A fresh generation id, ours: `gen-`, the second, and 24 URL-safe characters (144 random bits).

    Ids that begin with the time lie side by side in the indexes; random ones would touch a page each.
    """
    try:
        part = _random_parts.pop()
    except IndexError:
        # A system call for a hundred ids costs what one for each would.
        text = secrets.token_urlsafe(18 * 100)
        _random_parts.extend(text[start : start + 24] for start in range(0, 2400, 24))
        part = _random_parts.pop()
    return f"{CALL_ID_PREFIX}{int(time.time())}-{part}"


_random_parts: list[str] = []
# Two processes must not hand out the same ones.
os.register_at_fork(after_in_child=_random_parts.clear)


class Caller(msgspec.Struct, frozen=True):
    """Whose key it is. The admission asks the database again whether the key and its customer may still call."""

    customer_id: int
    customer_slug: str
    api_key_id: int
    prefix: str


class CallRequest(msgspec.Struct, frozen=True):
    """What a call asks for, as far as money is concerned.

    `model` is the requested one and `models` the fallback list (without it, where the body has none); all are checked and
    the dearest is held. `prompt_bytes` is the size of the body; `prompt_tokens_worst` an upper bound of its tokens
    (`gateway.estimates.worst_prompt_tokens`), None where bytes bound nothing (images, audio, files, stored
    conversations): then the model's context counts. `max_tokens` is what the client asked for each of `n` answers.
    `web_searches` and `images` are at most so many (plugins, server tools; images/generations).
    `client_ip` is the peer's address as text ("" where unknown).
    """

    call_id: str
    caller: Caller
    route: str
    dialect: str
    model: str
    started_at: datetime
    models: Sequence[str] = ()
    is_stream: bool = False
    prompt_bytes: int = 0
    prompt_tokens_worst: int | None = None
    max_tokens: int | None = None
    n: int = 1
    images: int = 0
    web_searches: int = 0
    app_title: str = ""
    app_referer: str = ""
    idempotency_key: str | None = None
    client_ip: str = ""
    #: Which process has the call: its lease is extended by that process (`extend_leases`).
    instance: str = ""


class Admission(msgspec.Struct, frozen=True):
    """The call may go out. Where `granted_max_tokens` is a number, the edge writes it into the body as the route's limit
    (the client gave none, and nothing else bounds what the model may answer); None: the body goes as it came.
    """

    call_id: str
    granted_max_tokens: int | None
    hold_krw: int
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)


class CallRefused(Exception):
    """The call must not go out. `status` is the HTTP status and the `code` of the error object, `type` its type.

    `message` is for the client; `metadata` is the error object's (402: `affordable_max_tokens`; 409:
    `generation_id` of the first call), `headers` go with the answer (Retry-After, x-ratelimit-*).
    """

    def __init__(
        self,
        status: int,
        type: str,
        message: str,
        *,
        metadata: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.message = message
        self.metadata = dict(metadata or {})
        self.headers = dict(headers or {})


class Attempt(msgspec.Struct, frozen=True):
    """One try at one upstream with one key. `number` counts from 1; `status` is the HTTP status, None where none came."""

    upstream_id: int
    key_id: int
    number: int
    started_at: datetime
    first_byte_at: datetime | None = None
    status: int | None = None
    error_code: str = ""
    upstream_generation_id: str | None = None


class Answering(msgspec.Struct, frozen=True):
    """A call whose answer has begun: kept at once, so that a crash leaves the id under which the upstream knows it."""

    call_id: str
    upstream_id: int
    upstream_generation_id: str | None


#: answered: the upstream's answer was read to its end, whatever the client did meanwhile (also one that says it failed
#: after it had begun). cancelled: it began, or may have, and was cut (by us, the upstream, or the network). failed: every
#: upstream refused or could not be reached, so that nothing was generated.
Ending = Literal["answered", "cancelled", "failed"]


class Outcome(msgspec.Struct, frozen=True):
    """How a call ended. `usage` is the last usage object as raw JSON text, None where none came; never anything else of
    the answer. `answered_bytes` counts the generated text (UTF-8), `answered_chunks` the stream chunks that carried any:
    what an estimate is made of. `finish_reason` is the last one ("" where there was none).
    """

    call_id: str
    ending: Ending
    finished_at: datetime
    served_model: str = ""
    dialect: str = ""
    usage: str | None = None
    upstream_generation_id: str | None = None
    upstream_id: int | None = None
    finish_reason: str = ""
    answered_bytes: int = 0
    answered_chunks: int = 0
    attempts: Sequence[Attempt] = ()
    error_code: str = ""


class Settled(msgspec.Struct, frozen=True):
    """What became of a call. `event_id` is the usage event's, None where there is none (yet); `is_billed` whether it costs
    the customer something. `flags`: "estimated", "zero_completion", "asked_later" (the sweep asks the upstream first),
    "repeated" (it was settled before; nothing changed), "quarantined", "unknown_call".
    """

    call_id: str
    event_id: str | None
    is_billed: bool
    flags: tuple[str, ...] = ()
