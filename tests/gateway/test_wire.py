"""The event loop's own connection to the database, and that a warm gateway takes it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine

import psycopg
import pytest
import uvloop
from django.db import connection

from gateway.edge.wire import Wire
from tests.gateway.events import metered
from tests.gateway.gate import SERVED, Gate, Upstream, at_the_gate, reply
from tests.gateway.money import forget
from tests.gateway.shop import new_customer
from tests.gateway.site import Site
from tests.outages import losing_wire, throw_everybody_out


@pytest.mark.django_db(transaction=True)
def test_a_wire_is_laid_anew_and_never_gives_an_old_answer() -> None:
    async def run() -> list[object]:
        wire, said = Wire(), list[object]()
        said.append(await wire.fetch("SELECT current_setting('TimeZone'), %s::int + 1", [1]))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await wire.fetch("SELECT 'late' FROM pg_sleep(%s)", [0.2])
        said.append(await wire.fetch("SELECT 'mine'", []))
        with pytest.raises(psycopg.errors.DivisionByZero):
            await wire.fetch("SELECT 1 / %s", [0])
        said.append(await wire.fetch("SELECT 'after'", []))
        # Thrown out while nobody waits it notices by itself; one that waits is told.
        await asyncio.to_thread(throw_everybody_out)
        await asyncio.sleep(0.1)
        said.append(await wire.fetch("SELECT 'again'", []))
        waiting = asyncio.create_task(wire.fetch("SELECT pg_sleep(60)", []))
        await asyncio.sleep(0.1)
        await asyncio.to_thread(throw_everybody_out)
        with pytest.raises(psycopg.OperationalError):
            await waiting
        # More than a socket takes at once, both ways.
        said.append(await wire.fetch("SELECT length(%s), repeat('y', 3000000)", ["x" * 5_000_000]))
        wire.close()
        return said

    connection.close()
    large = [(5_000_000, "y" * 3_000_000)]
    assert asyncio.run(run()) == [[("UTC", 2)], [("mine",)], [("after",)], [("again",)], large]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_wire_that_is_reset_while_it_asks_says_so(
    run: Callable[[Coroutine[None, None, list[object]]], object],
) -> None:
    """uvloop tells once of a socket that was reset, and it takes a second look to get behind the data."""
    with losing_wire() as between:

        async def asked() -> list[object]:
            wire = Wire()
            said: list[object] = [await wire.fetch("SELECT %s::text", ["before"])]
            between.leave_unread(b"never read")
            with pytest.raises(psycopg.OperationalError):
                async with asyncio.timeout(60):
                    # The loop is busy until both are there: the data and the end.
                    asyncio.get_running_loop().call_soon(time.sleep, 0.5)
                    await wire.fetch("SELECT %s::text", ["never read"])
            said.append(await wire.fetch("SELECT %s::text", ["after"]))
            wire.close()
            return said

        assert run(asked()) == [[("before",)], [("after",)]]


def test_a_warm_gateway_asks_from_the_loop(site: Site) -> None:
    forget()
    customer, key = new_customer()
    choice = {"message": {"content": "yes"}, "finish_reason": "stop"}
    body = {"id": "gen-1", "model": SERVED, "usage": {"prompt_tokens": 1, "completion_tokens": 1}, "choices": [choice]}

    async def scenario(gate: Gate) -> list[int]:
        for _ in range(3):
            assert (await gate.chat()).status == 200
        return await asyncio.to_thread(_asked_with_parameters)

    assert at_the_gate(key, [Upstream(reply(200, body))], scenario) == [1, 1]
    assert len(metered(customer, count=3)) == 3


def _asked_with_parameters() -> list[int]:
    """On how many connections the last statement was an admission, and a settlement, as only a `Wire` sends them."""
    counts = []
    with connection.cursor() as cursor:
        for name in ("gateway_admit", "gateway_finish"):
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE %s",
                [f"SELECT * FROM {name}($1%"],
            )
            counts.append(cursor.fetchone()[0])
    connection.close()
    return counts
