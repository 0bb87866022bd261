"""A server that is killed with -9 in mid-batch, again and again, while its clients try again: every event exactly once.

KILL_ROUNDS=100 for the long proof; a few rounds here.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from decimal import Decimal

import pytest
from django.db.models import Sum

from accounts.services import create_api_key
from tests.ground.waiting import eventually
from tests.usage.factories import ACTOR, counted, customer, line, model, violations
from tests.usage.test_races import EVENT_USD, KILLED, REPOSITORY, database_url, wait_until_the_killed_are_gone
from usage.api.intake import NDJSON, PATH
from usage.models import UsageRollup

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = int(os.environ.get("KILL_ROUNDS", "6"))
#: Requests of one event share their commits; larger ones have transactions of their own.
EVENTS_OF_CLIENTS = (1, 1, 200, 200)


class Server:
    """The site in a process, on the tests' database."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        command = [sys.executable, "-m", "uvicorn", "config.asgi:application", "--port", str(self.port)]
        self.process = subprocess.Popen(
            [*command, "--log-level", "error", "--no-access-log"],
            env=os.environ | {"DATABASE_URL": database_url(), "PGAPPNAME": KILLED},
            cwd=REPOSITORY,
        )

    def is_up(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=30)


class Client(threading.Thread):
    """Sends one request after the other to whichever server is there; one that got no answer it sends again."""

    def __init__(self, name: str, events: int, secret: str) -> None:
        super().__init__(daemon=True)
        self.label, self.events = name, events
        self.headers = {"Authorization": f"Bearer {secret}", "Content-Type": NDJSON}
        self.port = 0
        self.ending = threading.Event()
        self.answered = self.repeated = self.found_stored = 0
        self.failure: str | None = None

    def run(self) -> None:
        for number in itertools.count():
            if self.ending.is_set() or self.failure:
                return
            lines = [line(f"{self.label}-{number}-{part}") for part in range(self.events)]
            self.deliver(b"\n".join(lines))

    def deliver(self, body: bytes) -> None:
        for attempt in itertools.count():
            try:
                answer = self.post(body)
            except (OSError, http.client.HTTPException):
                time.sleep(0.01)
                continue
            # After a lost answer all of it or nothing of it was stored.
            if {answer["accepted"], answer["duplicate"]} != {0, self.events} or (answer["duplicate"] and not attempt):
                self.failure = f"attempt {attempt}: {json.dumps(answer)[:300]}"
            self.answered += 1
            self.repeated += attempt > 0
            self.found_stored += answer["duplicate"] > 0
            return

    def post(self, body: bytes) -> dict[str, int]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("POST", PATH, body, self.headers)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise http.client.HTTPException(f"{response.status}: {content!r}")
        answer: dict[str, int] = json.loads(content)
        return answer


@contextlib.contextmanager
def sending(secret: str) -> Iterator[list[Client]]:
    clients = [Client(f"client{number}", events, secret) for number, events in enumerate(EVENTS_OF_CLIENTS)]
    yield clients
    for client in clients:
        client.ending.set()
    for client in clients:
        client.join(timeout=60)
        assert not client.is_alive()


def test_every_event_is_stored_exactly_once() -> None:
    customer()
    model()
    secret = create_api_key(customer=None, name="ingest", actor=ACTOR).secret
    chance = random.Random(20261121)
    server = Server()
    eventually(server.is_up)
    try:
        with sending(secret) as clients:
            for client in clients:
                client.port = server.port
                client.start()
            for _ in range(ROUNDS):
                before = [client.answered for client in clients]
                heir = Server()
                eventually(heir.is_up)
                eventually(
                    lambda: all(client.answered > done for client, done in zip(clients, before, strict=True)),  # noqa: B023
                    lambda: [client.failure for client in clients],
                )
                time.sleep(chance.random() * 0.05)
                server.kill()
                server = heir
                for client in clients:
                    client.port = server.port
    finally:
        server.kill()
    wait_until_the_killed_are_gone()

    assert [client.failure for client in clients] == [None] * len(clients)
    assert sum(client.repeated for client in clients) >= ROUNDS
    total = sum(client.answered * client.events for client in clients)
    assert counted("usage_event", "usage_event_key") == (total, total)
    assert UsageRollup.objects.aggregate(Sum("requests"), Sum("cost_usd")) == {
        "requests__sum": total,
        "cost_usd__sum": Decimal(total) * EVENT_USD,
    }
    assert violations() == []
    print(
        f"{ROUNDS} kills, {total} events, {sum(client.repeated for client in clients)} requests sent again, "
        f"{sum(client.found_stored for client in clients)} of them stored before"
    )
