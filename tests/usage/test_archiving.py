"""A month in files and back: nothing is lost, doubled or changed, whenever somebody is killed or comes late."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import Error, connection, transaction
from django.test import Client

from accounts.models import AuditEntry, Customer
from accounts.services import create_api_key
from tests.billing.commands import run
from tests.usage.factories import (
    ACTOR,
    NOVEMBER,
    NOW,
    OCTOBER,
    SEPTEMBER,
    close_period,
    counted,
    customer,
    ingest,
    line,
    model,
    violations,
)
from usage.errors import ArchiveBusy, ArchiveDamaged, MonthNotArchivable, UnknownArchive, UnreadableFile
from usage.models import QuarantinedEvent, UsageArchive, UsageEvent, UsageRollup
from usage.selectors import month_lines
from usage.services.archiving import MANIFEST, archive_month
from usage.services.quarantine import exclude_quarantined
from usage.services.replacing import exclude_priced_event, replace_event
from usage.services.rerating import rate_quarantined
from usage.services.restoring import restore_month

pytestmark = pytest.mark.django_db(transaction=True)

LATER = NOW + timedelta(hours=1)
ODD = 'back\\slash "quote" \u2028 탭 \\N 😀'


def clock() -> datetime:
    return LATER


@pytest.fixture
def hanbit() -> Customer:
    """A customer whose October holds every kind of event, and is closed; one event of it is billed in November."""
    owner = customer()
    gaon = customer("gaon")
    model()
    usage = {"prompt_tokens": 10, "completion_tokens": 1, "cost": 0.1 + 0.2, "is_byok": False}
    ingest(
        line("a", app={"title": ODD, "referer": "https://desk.example/?a=1&b=\\n"}),
        line("b", dialect="openrouter", usage=usage),
        line("first", occurred_at="2026-09-30T15:00:00.000001Z"),
        line("last", occurred_at="2026-10-31T14:59:59.999999Z"),
        line("september", occurred_at="2026-09-30T14:59:59.999999Z"),
        line("rated", model="x/new"),
        line("excluded", model="x/unheard"),
        line("withdrawn"),
        line("replaced"),
        line("g", customer="gaon"),
    )
    model("x/new")
    rate_quarantined(actor=ACTOR, now=NOW)
    exclude_quarantined(event=QuarantinedEvent.objects.get(event_id="excluded"), actor=ACTOR, reason="x", now=NOW)
    exclude_priced_event(customer_id=owner.pk, event_id="withdrawn", reason="x", actor=ACTOR, now=NOW)
    replace_event(customer_id=owner.pk, event_id="replaced", line=line("replaced~1"), reason="x", actor=ACTOR, now=NOW)
    for each in (owner, gaon):
        close_period(each, OCTOBER)
    ingest(line("late"))
    close_period(owner, NOVEMBER)
    assert violations() == []
    return owner


def rows() -> list[Any]:
    """Every column of every event, as the database has it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM usage_event ORDER BY seq")
        return [tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in cursor]


def archive(tmp_path: Path, **options: Any) -> UsageArchive:
    return archive_month(month=OCTOBER, directory=tmp_path, actor="minji", clock=clock, **options)


def restore(done: UsageArchive) -> UsageArchive:
    return restore_month(directory=Path(done.directory), actor="minji", clock=clock)


def partition_guards(table: str) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal", [table])
        return {row[0] for row in cursor}


def refuses(error: type[Exception], attempt: Callable[[], object]) -> str:
    with pytest.raises(error) as caught:
        attempt()
    return str(caught.value)


def test_a_month_goes_and_comes_back_byte_for_byte(hanbit: Customer, tmp_path: Path) -> None:
    before = rows()
    sums = list(UsageRollup.objects.order_by("pk").values())

    done = archive(tmp_path)

    assert (done.status, done.events, done.unpriced_events, done.withdrawn_events) == ("archived", 11, 2, 2)
    assert [event.event_id for event in UsageEvent.objects.all()] == ["september"]
    assert counted("usage_event_key", "usage_event_2026_10") == (12, 0)
    assert list(UsageRollup.objects.order_by("pk").values()) == sums
    assert violations() == []
    # The new partition is guarded like any other.
    assert partition_guards("usage_event_2026_10") == {"rows_are_never_changed", "table_is_never_truncated"}

    restored = restore(done)

    assert (restored.status, restored.restored_at) == ("restored", LATER)
    assert rows() == before
    assert violations() == []
    assert partition_guards("usage_event_2026_10") == {"rows_are_never_changed", "table_is_never_truncated"}
    assert counted("usage_archived_sum") == (0,)
    assert [
        (entry.action, entry.data["events"]) for entry in AuditEntry.objects.filter(actor="minji").order_by("pk")
    ] == [
        ("archive_month", 11),
        ("restore_month", 11),
    ]
    with pytest.raises(Error, match="never changed"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM usage_event_2026_10")
    again = archive(tmp_path)
    assert (again.directory != done.directory, restore(again).status) == (True, "restored")
    assert rows() == before


def test_the_manifest_says_what_is_in_the_files(hanbit: Customer, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("usage.services.archiving.FILE_EVENTS", 4)
    done = archive(tmp_path)
    directory = tmp_path / f"usage-2026-10-{done.pk}"
    assert done.directory == str(directory)
    manifest = json.loads((directory / MANIFEST).read_bytes())
    assert (manifest["format"], manifest["month"], manifest["events"]) == ("jeongsan.usage-archive/1", "2026-10", 11)
    assert [file["events"] for file in manifest["files"]] == [4, 4, 3]
    assert ["cost_usd", "numeric(48,28)"] in manifest["columns"]
    gaon, of_hanbit = sorted(manifest["customers"].values(), key=lambda one: one["slug"])
    assert (gaon["events"], gaon["sums"]["requests"], gaon["sums"]["prompt_tokens"]) == (1, "1", "100")
    # Ten events of which one is excluded and two were taken back; one is priced late.
    assert (of_hanbit["events"], of_hanbit["sums"]["requests"]) == (10, "7")
    assert sorted(path.name for path in directory.iterdir()) == [
        "events-0001.ndjson.gz",
        "events-0002.ndjson.gz",
        "events-0003.ndjson.gz",
        MANIFEST,
    ]
    events = [
        json.loads(text)
        for file in manifest["files"]
        for text in gzip.decompress((directory / file["name"]).read_bytes()).splitlines()
    ]
    assert {event["event_id"] for event in events if event["app_title"] == ODD} == {"a"}
    assert len(rows()) == 1
    restore(done)
    assert violations() == []


def test_what_comes_late_for_an_archived_month_is_kept_and_stays_beside_it(hanbit: Customer, tmp_path: Path) -> None:
    done = archive(tmp_path)
    late, again, conflict, other = ingest(
        line("very late"), line("a", app={"title": ODD, "referer": "https://desk.example/?a=1&b=\\n"}), line("b"),
        line("g2", customer="gaon"),
    )  # fmt: skip
    assert [one.status.value for one in (late, again, conflict, other)] == [
        "accepted",
        "duplicate",
        "conflict",
        "accepted",
    ]
    assert violations() == []
    assert UsageEvent.objects.get(event_id="very late").billing_month.isoformat() == "2026-12-01"
    assert "restore it first" in refuses(MonthNotArchivable, lambda: archive(tmp_path))
    restore(done)
    assert counted("usage_event", "usage_event_key", "usage_event_2026_10") == (14, 14, 13)
    assert violations() == []


def test_months_that_are_not_over_are_refused_and_stay(hanbit: Customer, tmp_path: Path) -> None:
    def attempt(month: Any) -> str:
        return refuses(
            MonthNotArchivable,
            lambda: archive_month(month=month, directory=tmp_path, actor=ACTOR, clock=clock),
        )

    before = rows()
    assert attempt(NOVEMBER) == "2026-11 has not ended"
    assert attempt(SEPTEMBER.previous()) == "there are no events of 2026-08"
    assert attempt(SEPTEMBER) == "events of 2026-09 are billed in months that are not closed: hanbit 2026-09"
    ingest(line("gaon's late one", customer="gaon"))
    assert attempt(OCTOBER) == "events of 2026-10 are billed in months that are not closed: gaon 2026-11"
    assert (UsageArchive.objects.count(), rows()[: len(before)]) == (0, before)
    assert list(tmp_path.iterdir()) == []


class Killed(BaseException):
    """What no handler catches."""


@pytest.mark.parametrize(
    "step", ["_keep_sums", "_write_durably", "_sync_directory", "verify_files", "detach", "_audit"]
)
def test_killed_at_any_step_and_run_again_it_ends_as_if_undisturbed(
    hanbit: Customer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def die(*args: object, **options: object) -> None:
        raise Killed

    before = rows()
    name = "record_audit" if step == "_audit" else step
    with monkeypatch.context() as patch:
        patch.setattr(f"usage.services.archiving.{name}", die)
        with pytest.raises(Killed):
            archive(tmp_path)
    assert (rows(), violations()) == (before, [])
    done = archive(tmp_path)
    assert (done.status, UsageArchive.objects.count(), violations()) == ("archived", 1, [])
    with monkeypatch.context() as patch:
        patch.setattr("usage.services.restoring._swap", die)
        with pytest.raises(Killed):
            restore(done)
    assert violations() == []
    restore(done)
    assert (rows(), violations()) == (before, [])


def test_an_event_that_comes_while_files_are_written_is_in_the_next_round(
    hanbit: Customer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from usage.services import archiving

    take_out, came = archiving._take_out, []

    def late(*args: Any) -> bool:
        if not came:
            came.append(ingest(line("just now", customer="gaon")))
            close_period(Customer.objects.get(slug="gaon"), NOVEMBER)
        return take_out(*args)

    monkeypatch.setattr(archiving, "_take_out", late)
    said: list[str] = []
    done = archive(tmp_path, progress=said.append)
    assert "2026-10: events have come meanwhile, writing again" in said
    assert (done.events, violations()) == (12, [])


@pytest.mark.parametrize("damage", ["changed", "overwritten", "cut", "missing", "other manifest"])
def test_damaged_files_bring_nothing_back(hanbit: Customer, tmp_path: Path, damage: str) -> None:
    done = archive(tmp_path)
    path = Path(done.directory) / "events-0001.ndjson.gz"
    content = path.read_bytes()
    if damage == "changed":
        path.write_bytes(
            gzip.compress(gzip.decompress(content).replace(b'"prompt_tokens":100', b'"prompt_tokens":101'))
        )
    elif damage == "overwritten":  # a block that no inflater knows
        path.write_bytes(content[:10] + b"\xff" * 8 + content[18:])
    elif damage == "cut":
        path.write_bytes(content[:-20])
    elif damage == "missing":
        path.unlink()
    else:
        manifest = Path(done.directory) / MANIFEST
        manifest.write_bytes(manifest.read_bytes() + b" ")
    refuses(UnknownArchive if damage == "other manifest" else ArchiveDamaged, lambda: restore(done))
    assert (len(rows()), violations()) == (1, [])


def test_what_cannot_be_read_or_written_is_said(hanbit: Customer, tmp_path: Path) -> None:
    refuses(UnreadableFile, lambda: restore_month(directory=tmp_path, actor=ACTOR, clock=clock))
    (tmp_path / MANIFEST).write_text("[]")
    refuses(ArchiveDamaged, lambda: restore_month(directory=tmp_path, actor=ACTOR, clock=clock))
    refuses(UnreadableFile, lambda: archive(tmp_path / MANIFEST))
    assert UsageArchive.objects.get().status == "writing"
    assert len(rows()) == 12


def test_two_at_once_are_refused(hanbit: Customer, tmp_path: Path) -> None:
    import psycopg

    with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": None}) as other:
        other.execute("SELECT pg_advisory_lock(3, 202610)")
        refuses(ArchiveBusy, lambda: archive(tmp_path))
        other.execute("SELECT pg_advisory_unlock(3, 202610)")
    assert archive(tmp_path).status == "archived"


def test_a_reader_that_does_not_pause_is_waited_for_and_then_left_alone(
    hanbit: Customer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    monkeypatch.setattr("usage.services.archiving.LOCK_ATTEMPTS", 1)
    monkeypatch.setattr("usage.services.archiving.LOCK_TIMEOUT", "50ms")
    with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": None}) as other:
        other.execute("SELECT count(*) FROM usage_event")
        refuses(ArchiveBusy, lambda: archive(tmp_path))
        other.rollback()
    assert UsageArchive.objects.get().status == "written"
    assert archive(tmp_path).status == "archived"


def test_the_audit_finds_what_no_longer_fits_an_archive(hanbit: Customer, tmp_path: Path) -> None:
    archive(tmp_path)

    def found(statement: str) -> list[str]:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(statement)
            result = violations()
            transaction.set_rollback(True)
        return result

    assert found("DELETE FROM usage_event_key WHERE event_id = 'a'") == [
        "archives_stand_for_their_events: archive of 2026-10: 10 ids for 11 events"
    ]
    assert found("UPDATE usage_event_key SET body_hash = 'x' WHERE event_id = 'a'") == [
        "archives_stand_for_their_events: archive of 2026-10: its ids are not those of its events"
    ]
    assert found("DELETE FROM usage_quarantinedevent WHERE event_id = 'excluded'") == [
        "archives_stand_for_their_events: archive of 2026-10: a decision about one of its events is missing or too many"
    ]
    assert any("rollups_equal_a_recount" in text for text in found("UPDATE usage_usagerollup SET requests = 99"))
    wrong = found("UPDATE usage_archived_sum SET cost_usd = cost_usd + 1 WHERE day = '2026-10-05'")
    assert "archives_stand_for_their_events: archive of 2026-10: sums of 2 customers differ from the manifest" in wrong
    assert any("rollups_equal_a_recount" in text for text in wrong)
    hours = found("UPDATE usage_usagehour SET prompt_tokens = 1 WHERE hour_at = '2026-10-05T03:00:00Z'")
    assert all(text.startswith("hours_equal_a_recount: hours of customer") for text in hours)
    assert len(hours) > 0
    assert violations() == []


def test_an_archive_is_never_changed(hanbit: Customer, tmp_path: Path) -> None:
    archive(tmp_path)
    for statement in (
        "UPDATE usage_usagearchive SET events = 1",
        "DELETE FROM usage_usagearchive",
        "TRUNCATE usage_usagearchive",
    ):
        with pytest.raises(Error, match=r"stays as it was|never changed"), transaction.atomic():
            connection.cursor().execute(statement)


def test_sums_of_an_archived_month_can_still_be_made_anew(hanbit: Customer, tmp_path: Path) -> None:
    archive(tmp_path)
    sums = [(one.model_id, one.total) for one in month_lines(hanbit, OCTOBER)]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE usage_usagerollup SET requests = 99")
    assert run("rebuild_rollups")[0] in {0, 1}
    assert ([(one.model_id, one.total) for one in month_lines(hanbit, OCTOBER)], violations()) == (sums, [])


def test_the_commands_say_what_they_did(hanbit: Customer, tmp_path: Path) -> None:
    code, answer = run("archive_month", "2026-10", "--to", str(tmp_path))
    done = UsageArchive.objects.get()
    assert (code, answer["events"], answer["files"], answer["directory"]) == (0, 11, 1, done.directory)
    assert run("restore_month", done.directory) == (
        0,
        {"month": "2026-10", "events": 11, "directory": done.directory},
    )
    code, answer = run("archive_month", "2026-9", "--to", str(tmp_path))
    assert (code, answer["error"]["code"]) == (2, "invalid_input")
    code, answer = run("restore_month", done.directory)
    assert (code, answer["error"]["code"]) == (2, "unknown_archive")


def test_readers_are_told_that_events_are_archived(hanbit: Customer, tmp_path: Path, client: Client) -> None:
    key = create_api_key(customer=hanbit, name="test", actor=ACTOR).secret
    other = create_api_key(customer=customer("naru"), name="test", actor=ACTOR).secret
    done = archive(tmp_path)

    def get(path: str, secret: str = key, **params: str) -> tuple[int, Any]:
        answer = client.get(path, params, headers={"Authorization": f"Bearer {secret}"})
        return answer.status_code, answer.json() if answer.headers["Content-Type"].endswith("json") else None

    events, export = "/billing/v1/usage/events", "/billing/v1/usage/events/export"
    for params in (
        {"month": "2026-10"},
        {"billing_month": "2026-11"},
        {"id": "a"},
        {"from": "2026-10-31T14:59:59Z", "to": "2026-11-30T00:00:00Z"},
    ):
        code, body = get(events, **params)
        assert (code, body["code"], body["data"]) == (410, "events_archived", {"months": ["2026-10"]}), params
    assert get(export, month="2026-10", format="csv")[0] == 410
    assert get("/api/v1/generation", id="a")[0] == 410
    for params in ({"month": "2026-09"}, {"billing_month": "2026-09"}, {"from": "2026-10-31T15:00:00Z"}):
        assert get(events, **params)[0] == 200, params
    assert get(events, other, month="2026-10") == (200, {"rows": [], "next_cursor": None})
    assert get(events, other, id="a")[0] == 404
    code, sums = get("/billing/v1/usage", billing_month="2026-10", group_by="model")
    assert (code, sums["total"]["requests"]) == (200, 6)
    restore(done)
    assert get(events, month="2026-10")[0] == 200
