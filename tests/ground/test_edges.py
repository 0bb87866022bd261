"""The dispatcher: edges get their addresses, Django the rest, and a server's life reaches every edge once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from config.edges import Dispatcher, Message, Receive, Scope, Send


class Note:
    """An edge that writes down what happens to it."""

    def __init__(self, name: str, notes: list[str], *, broken: bool = False) -> None:
        self.name = name
        self.notes = notes
        self.broken = broken

    async def startup(self) -> None:
        self.notes.append(f"{self.name} starts")
        if self.broken:
            raise OSError("no room")

    async def shutdown(self) -> None:
        self.notes.append(f"{self.name} ends")
        if self.name == "bad":
            raise OSError("lost")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.notes.append(f"{self.name} answers {scope.get('method', scope['type'])}")


async def live(dispatcher: Dispatcher) -> list[Message]:
    """What the dispatcher says to a server that starts and ends."""
    said: list[Message] = []
    heard = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> Any:
        return next(heard)

    async def send(message: Message) -> None:
        said.append(message)

    await dispatcher({"type": "lifespan"}, receive, send)
    return said


async def nothing(*_: Any) -> Any:
    raise AssertionError("nobody reads or answers here")


@pytest.mark.parametrize(
    ("scope", "answered"),
    [
        ({"type": "http", "method": "POST", "path": "/a"}, "edge answers POST"),
        ({"type": "http", "method": "GET", "path": "/a"}, "site answers GET"),
        ({"type": "http", "method": "POST", "path": "/a/"}, "site answers POST"),
        ({"type": "websocket", "path": "/a"}, "site answers websocket"),
    ],
)
def test_an_edge_gets_its_method_and_path_and_the_site_the_rest(scope: Scope, answered: str) -> None:
    notes: list[str] = []
    dispatcher = Dispatcher({("POST", "/a"): Note("edge", notes)}, Note("site", notes))
    asyncio.run(dispatcher(scope, nothing, nothing))  # type: ignore[arg-type]
    assert notes == [answered]


def test_an_edge_of_two_addresses_starts_and_ends_once_and_a_bad_end_stops_no_other() -> None:
    notes: list[str] = []
    edge, bad = Note("edge", notes), Note("bad", notes)
    dispatcher = Dispatcher({("POST", "/a"): edge, ("POST", "/b"): bad, ("PUT", "/a"): edge}, Note("site", notes))
    said = asyncio.run(live(dispatcher))
    assert notes == ["edge starts", "bad starts", "bad ends", "edge ends"]
    assert [message["type"] for message in said] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_an_edge_that_cannot_start_ends_the_others_and_says_so() -> None:
    notes: list[str] = []
    routes = {("POST", "/a"): Note("edge", notes), ("POST", "/b"): Note("broken", notes, broken=True)}
    said = asyncio.run(live(Dispatcher(routes, Note("site", notes))))
    assert notes == ["edge starts", "broken starts", "edge ends"]
    assert said == [{"type": "lifespan.startup.failed", "message": "no room"}]
