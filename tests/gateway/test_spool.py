"""The spool: what was appended is settled once, whatever crashed on the way."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
from django.db import OperationalError
from msgspec.structs import replace

from gateway.calls import Attempt
from gateway.models import GatewayCall
from gateway.services.spooling import drain_spool
from gateway.spool import Spool
from tests.gateway.money import NOW, admitted, caller, held_and_unbilled, outcome, shop
from usage.models import UsageEvent


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool" / "outcomes.ndjson")


def waiting(spool: Spool) -> list[str]:
    with spool.draining() as outcomes:
        return [one.call_id for one in outcomes]


def test_an_outcome_comes_back_as_it_went_in(spool: Spool) -> None:
    one = outcome("gen-1", attempts=(Attempt(1, 2, 1, NOW, status=200, upstream_generation_id="up-1"),))
    spool.append(one)
    with spool.draining() as outcomes:
        assert [replace(kept, attempts=tuple(kept.attempts)) for kept in outcomes] == [one]
    assert not spool.has_any()


def test_only_its_owner_can_read_it(spool: Spool) -> None:
    spool.append(outcome("gen-1"))
    assert stat.S_IMODE(spool.path.stat().st_mode) == 0o600


def test_what_was_not_drained_to_the_end_comes_again(spool: Spool) -> None:
    spool.append(outcome("gen-1"))
    with pytest.raises(RuntimeError), spool.draining() as outcomes:
        assert [one.call_id for one in outcomes] == ["gen-1"]
        spool.append(outcome("gen-2"))
        raise RuntimeError
    assert waiting(spool) == ["gen-1"]
    assert waiting(spool) == ["gen-2"]
    assert waiting(spool) == []


def test_a_line_that_a_crash_cut_off_spoils_no_other(spool: Spool) -> None:
    spool.append(outcome("gen-1"))
    with spool.path.open("ab") as file:
        file.write(b'{"call_id":"gen-torn","ending":"answ')
    spool.append(outcome("gen-2"))
    assert waiting(spool) == ["gen-1", "gen-2"]


def test_threads_append_whole_lines_while_another_drains(spool: Spool) -> None:
    seen: list[str] = []

    def append(thread: int) -> None:
        for number in range(100):
            spool.append(outcome(f"gen-{thread}-{number}"))

    threads = [threading.Thread(target=append, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        seen += waiting(spool)
    for thread in threads:
        thread.join()
    seen += waiting(spool) + waiting(spool)
    assert sorted(seen) == sorted(f"gen-{thread}-{number}" for thread in range(4) for number in range(100))


def test_of_two_that_drain_one_does(spool: Spool) -> None:
    spool.append(outcome("gen-1"))
    with spool.draining() as outcomes:
        assert [one.call_id for one in outcomes] == ["gen-1"]
        assert waiting(Spool(spool.path)) == []


@pytest.mark.django_db
def test_draining_settles_and_draining_again_changes_nothing(spool: Spool) -> None:
    shop()
    who = caller(limit_krw=1000)
    call = admitted(who)
    spool.append(outcome(call))
    spool.append(outcome(call))
    assert drain_spool(path=spool.path, now=NOW) == 2
    assert held_and_unbilled(who) == (0, 22)
    spool.append(outcome(call))
    assert drain_spool(path=spool.path, now=NOW) == 1
    assert UsageEvent.objects.count() == 1
    assert drain_spool(path=spool.path, now=NOW) == 0


@pytest.mark.django_db
def test_a_database_that_is_away_keeps_everything(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    shop()
    who = caller(limit_krw=1000)
    spool.append(outcome(admitted(who)))

    def away(*_: object, **__: object) -> None:
        raise OperationalError("the server is gone")

    with monkeypatch.context() as patch:
        patch.setattr("gateway.services.settling._lock", away)
        with pytest.raises(OperationalError):
            drain_spool(path=spool.path, now=NOW)
    assert spool.has_any()
    assert drain_spool(path=spool.path, now=NOW) == 1
    assert held_and_unbilled(who) == (0, 22)


@pytest.mark.django_db
def test_an_outcome_of_a_call_that_nobody_knows_holds_up_no_other(spool: Spool) -> None:
    shop()
    who = caller(limit_krw=1000)
    spool.append(outcome("gen-nobody"))
    spool.append(outcome(admitted(who)))
    assert drain_spool(path=spool.path, now=NOW) == 2
    assert GatewayCall.objects.get().status == "settled"


def test_a_disk_that_takes_nothing_is_an_error(tmp_path: Path) -> None:
    target = tmp_path / "outcomes.ndjson"
    os.symlink("/dev/full", target)
    with pytest.raises(OSError):
        Spool(target).append(outcome("gen-1"))
