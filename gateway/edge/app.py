"""The gateway's ASGI application: from a request's head to the call that it becomes.

The order is the point: who calls is known before a body is read, what it may cost is held before an upstream hears of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from gateway.calls import ROUTES, Admission, Answering, Caller, CallRefused, CallRequest, dialect_of, new_call_id
from gateway.upstreams import Pool, UpstreamClient

from .answers import send_refusal
from .asgi import ClientGone, Memory, Receive, Scope, Send, read_body
from .asks import MAX_BODY_BYTES, MAX_FORM_BYTES, Ask, read_ask
from .desk import Desk
from .heads import Head
from .relay import Bounds, Relay, Surroundings

logger = logging.getLogger(__name__)

#: Request bodies that wait for their upstreams, of one process.
MAX_WAITING_BYTES = 512 * 1024 * 1024
_METHODS = ("POST", "GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS")
_ROUTE_OF = {f"{base}/{route}": route for base in ("/v1", "/api/v1") for route in ROUTES}

#: What a dispatcher sends here. Methods other than POST come too, to be told so.
ADDRESSES = tuple((method, path) for path in _ROUTE_OF for method in _METHODS)


class GatewayEdge:
    """Start it in the loop that serves, stop it after the last request."""

    def __init__(self, *, bounds: Bounds | None = None, desk: Desk | None = None) -> None:
        self._bounds = bounds or Bounds()
        self._desk = desk or Desk()
        self._memory = Memory(MAX_WAITING_BYTES)
        self._pool = Pool()

    async def startup(self) -> None:
        """Open the way out, and begin to keep leases, notes and spool."""
        self._client = UpstreamClient()
        answering: dict[str, Answering] = {}
        self._around = Surroundings(
            client=self._client,
            pool=self._pool,
            bounds=self._bounds,
            clock=now_utc,
            settle=self._desk.settle,
            settle_later=self._desk.settle_later,
            answering=answering,
        )
        await self._desk.open(self._pool, answering)

    async def shutdown(self) -> None:
        """Settle what was cut off, and close the way out."""
        await self._desk.close()
        await self._client.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        route = _ROUTE_OF[scope["path"]]
        try:
            if scope["method"] != "POST":
                refused = CallRefused(
                    405, "invalid_request", "Only POST is understood here.", headers={"Allow": "POST"}
                )
                await send_refusal(send, route, refused)
                return
            await self._serve(route, scope, receive, send)
        except CallRefused as refused:
            await send_refusal(send, route, refused)
        except ClientGone:
            return

    async def _serve(self, route: str, scope: Scope, receive: Receive, send: Send) -> None:
        head = Head.read(scope["headers"])
        caller = await self._desk.find_caller(head.key(route))
        limit_bytes = MAX_FORM_BYTES if route == "audio/transcriptions" else MAX_BODY_BYTES
        if head.text(b"content-encoding").strip().lower() not in {"", "identity"}:
            raise CallRefused(415, "invalid_request", "Send the body as it is, without Content-Encoding.")
        stated = head.text(b"content-length")
        raw = await read_body(
            receive,
            stated_bytes=int(stated) if stated.isdecimal() and len(stated) < 20 else None,
            limit_bytes=limit_bytes,
            memory=self._memory,
        )
        size = len(raw)
        ask: Ask | None = None

        def let_go() -> None:
            """The body is not needed any more."""
            nonlocal size
            self._memory.give(size)
            size = 0
            if ask is not None:
                ask.drop()

        try:
            ask = read_ask(route, head.text(b"content-type"), raw)
            del raw
            await self._relay(ask, head, caller, scope, receive=receive, send=send, on_sent=let_go)
        finally:
            let_go()

    async def _relay(
        self,
        ask: Ask,
        head: Head,
        caller: Caller,
        scope: Scope,
        *,
        receive: Receive,
        send: Send,
        on_sent: Callable[[], None],
    ) -> None:
        plan = self._pool.plan(now=asyncio.get_running_loop().time())
        if not plan:
            raise CallRefused(
                503, "provider_unavailable", "No provider is set up for calls.", headers={"Retry-After": "30"}
            )
        title, referer = head.app()
        client = scope.get("client")
        request = CallRequest(
            call_id=new_call_id(),
            caller=caller,
            route=ask.route,
            dialect=dialect_of(plan[0].dialect, ask.route),
            model=ask.model,
            models=ask.models,
            started_at=now_utc(),
            is_stream=ask.is_stream,
            prompt_bytes=ask.size,
            prompt_tokens_worst=ask.prompt_tokens_worst,
            max_tokens=ask.max_tokens,
            n=ask.n,
            images=ask.images,
            web_searches=ask.web_searches,
            app_title=title,
            app_referer=referer,
            idempotency_key=head.idempotency_key(),
            client_ip=client[0] if client else "",
            instance=self._desk.instance,
        )
        admission: Admission = await self._desk.admit(request)
        relay = Relay(self._around, ask, head, request, admission, send=send, on_sent=on_sent)
        await relay.run(plan, receive)


def now_utc() -> datetime:
    """The time."""
    return datetime.now(UTC)


gateway_edge = GatewayEdge()
