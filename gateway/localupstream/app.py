"""Answers requests: who may ask, what is answered, what goes wrong on purpose, and what is written down about it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from catalog.money import decimal_text

from .answers import Answer
from .asks import ROUTES, BadAsk, read_ask
from .bodies import body_of, error_of, generation_of
from .http import Exchange
from .journal import Ending, Entry, Journal, utc_text
from .shelf import NotSold, Shelf
from .streams import frames

_JSON = "application/json"
_HTML = b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"
_MAX_REFUSALS = 100_000


class Upstream:
    """The handler of all connections. `seed` is part of every id: two upstreams give different ones."""

    def __init__(self, *, key: str, shelf: Shelf, journal: Journal, seed: str) -> None:
        self._key = key
        self._shelf = shelf
        self._journal = journal
        self._seed = seed
        self._given = journal.count
        self._refusals: dict[str, int] = {}  # X-Client-Request-Id -> how often it was refused on request

    def __call__(self, exchange: Exchange) -> Coroutine[Any, Any, None] | None:
        """Answer one request."""
        url = urlsplit(exchange.target)
        is_openrouter = url.path.startswith("/api/v1/")
        route = url.path.removeprefix("/api/v1/" if is_openrouter else "/v1/")
        if exchange.method == "GET" and route == "models":
            exchange.reply(200, _JSON, self._shelf.listing)
            return None
        if not self._is_allowed(exchange):
            self._refuse(exchange, 401, "No such key.", route, is_openrouter)
            return None
        if exchange.method == "GET" and route == "generation":
            name = parse_qs(url.query).get("id", [""])[0]
            entry = self._journal.find(name, now=time.time())
            if entry is None:
                self._refuse(exchange, 404, f"Generation {name} not found", route, is_openrouter)
            else:
                exchange.reply(200, _JSON, generation_of(entry))
            return None
        if exchange.method != "POST" or route not in ROUTES or not url.path.startswith(("/v1/", "/api/v1/")):
            self._refuse(exchange, 404, f"There is nothing at {url.path}.", route, is_openrouter)
            return None
        return self._generate(exchange, route, is_openrouter)

    def _generate(self, exchange: Exchange, route: str, is_openrouter: bool) -> Coroutine[Any, Any, None] | None:
        now = time.time()
        self._given += 1
        try:
            ask = read_ask(route, exchange.headers.get("content-type", ""), exchange.body)
            served = ask.knobs.served or self._shelf.server_of(ask.model, ask.fallbacks, ask.prompt_tokens)
        except (BadAsk, NotSold) as error:
            status = 404 if isinstance(error, NotSold) and not is_openrouter else 400
            self._refuse(exchange, status, str(error), route, is_openrouter)
            return None
        answer = Answer(
            ask=ask,
            is_openrouter=is_openrouter,
            id=f"gen-{int(now)}-{self._seed}{self._given:010d}",
            created=int(now),
            model=self._shelf.name_in_answers(served) if is_openrouter else served,
        )
        answer.cost_usd = self._shelf.cost_usd(
            served, answer.quantities(answer.completion), at=datetime.fromtimestamp(now, UTC)
        )
        call = _Call(self._journal, self._shelf, exchange, answer, served)
        if self._is_refused(call):
            return None
        if ask.is_stream:
            return call.stream()
        if ask.knobs.slow_first_byte:
            return call.tell_later()
        call.tell()
        return None

    def _is_refused(self, call: _Call) -> bool:
        """Whether a fault takes the place of the answer; nothing is generated then."""
        exchange, knobs = call.exchange, call.answer.ask.knobs
        if knobs.reset:
            exchange.connection.reset()
            call.note("refused", status=0)
        elif knobs.html_502:
            exchange.reply(502, "text/html", _HTML)
            call.note("refused", status=502)
        elif knobs.error_200:
            body = error_of(
                502, "The provider failed.", route=call.answer.ask.route, is_openrouter=call.answer.is_openrouter
            )
            exchange.reply(200, _JSON, body)
            call.note("refused")
        elif knobs.status is not None and self._refuses_still(exchange, knobs.times):
            headers = {} if knobs.retry_after is None else {"retry-after": str(knobs.retry_after)}
            body = error_of(
                knobs.status,
                "Refused on request.",
                route=call.answer.ask.route,
                is_openrouter=call.answer.is_openrouter,
            )
            exchange.reply(knobs.status, _JSON, body, headers)
            call.note("refused", status=knobs.status)
        else:
            return False
        return True

    def _refuses_still(self, exchange: Exchange, times: int | None) -> bool:
        if times is None:
            return True
        name = exchange.headers.get("x-client-request-id", "")
        refused = self._refusals.get(name, 0)
        if len(self._refusals) > _MAX_REFUSALS:
            self._refusals.clear()
        self._refusals[name] = refused + 1
        return refused < times

    def _is_allowed(self, exchange: Exchange) -> bool:
        bearer = exchange.headers.get("authorization", "").removeprefix("Bearer ")
        return self._key in (bearer, exchange.headers.get("x-api-key"))

    def _refuse(self, exchange: Exchange, status: int, message: str, route: str, is_openrouter: bool) -> None:
        exchange.reply(status, _JSON, error_of(status, message, route=route, is_openrouter=is_openrouter))


class _Call:
    """One answer on its way out."""

    def __init__(self, journal: Journal, shelf: Shelf, exchange: Exchange, answer: Answer, served: str) -> None:
        self.exchange = exchange
        self.answer = answer
        self._journal = journal
        self._shelf = shelf
        self._served = served

    @property
    def _headers(self) -> dict[str, str]:
        if self.answer.is_openrouter:
            return {"x-generation-id": self.answer.id}
        return {"x-request-id": f"req-{self.answer.id}"}

    def tell(self) -> None:
        """Answer in one piece."""
        content_type, body = body_of(self.answer)
        if self.answer.ask.knobs.cut_stream is not None:
            self.note("cut", completion=self.answer.completion)
            self.exchange.begin(200, content_type, self._headers)
            half = body[: len(body) // 2]
            self.exchange.connection.send(b"%x\r\n%b\r\n" % (len(half), half))
            self.exchange.connection.hang_up()
            return
        self.note("finished", completion=self.answer.completion)
        self.exchange.reply(200, content_type, body, self._headers)

    async def tell_later(self) -> None:
        """Answer in one piece after a wait. Whoever hangs up meanwhile stops nothing: it is generated and charged."""
        wait = asyncio.get_running_loop().create_task(asyncio.sleep(self.answer.ask.knobs.slow_first_byte))
        try:
            await asyncio.shield(wait)
        except asyncio.CancelledError:
            wait.add_done_callback(lambda _: self.note("cut", completion=self.answer.completion))
            raise
        self.tell()

    async def stream(self) -> None:
        """Answer in pieces. What is written down before the end is how far it came."""
        knobs = self.answer.ask.knobs
        generated = pieces = 0
        is_noted = False
        try:
            await asyncio.sleep(knobs.slow_first_byte)
            self.exchange.begin(200, "text/event-stream", self._headers)
            waiting: bytes | None = None
            for frame in frames(self.answer):
                if waiting is not None:
                    await self.exchange.chunk(waiting)
                if knobs.cut_stream is not None and pieces >= knobs.cut_stream:
                    self.exchange.connection.hang_up()
                    return
                if knobs.slow_chunks and frame.pieces > pieces:
                    await asyncio.sleep(knobs.slow_chunks)
                waiting, generated, pieces = frame.data, frame.generated, frame.pieces
            if self.answer.ask.route == "images/generations":
                generated = self.answer.completion
            self.note("failed" if knobs.usage_then_error else "finished", completion=generated)
            is_noted = True
            self.exchange.end(waiting or b"")
        finally:
            if not is_noted:
                self.note("cut", completion=generated)

    def note(self, ending: Ending, *, completion: int = 0, status: int = 200) -> None:
        """Write down what became of it. Where nothing was generated nothing is charged."""
        answer, knobs = self.answer, self.answer.ask.knobs
        now = time.time()
        counts = answer.quantities(completion)
        cost = answer.cost_usd
        if completion != answer.completion:
            cost = self._shelf.cost_usd(self._served, counts, at=datetime.fromtimestamp(now, UTC))
        is_charged = ending != "refused"
        self._journal.write(
            Entry(
                id=answer.id,
                client_request_id=self.exchange.headers.get("x-client-request-id", ""),
                at=utc_text(now),
                route=answer.ask.route,
                model=answer.ask.model,
                served_model=answer.model,
                is_stream=answer.ask.is_stream,
                status=status,
                ending=ending,
                prompt_tokens=counts.prompt if is_charged else 0,
                completion_tokens=counts.completion if is_charged else 0,
                cached_tokens=counts.cache_read if is_charged else 0,
                cache_write_tokens=counts.cache_write if is_charged else 0,
                reasoning_tokens=counts.reasoning if is_charged else 0,
                cost_usd=decimal_text(cost) if is_charged else "0",
                finish_reason=answer.finish_reason if ending == "finished" else None,
                visible_at=None if knobs.no_generation else now + knobs.generation_delay,
            )
        )
