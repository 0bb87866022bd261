"""`manage.py ingest_usage`: files and pipes of any size, one summary."""

from __future__ import annotations

import gzip
import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.management import call_command

from tests.billing.commands import run
from tests.usage.factories import counted, customer, line, model, violations

pytestmark = pytest.mark.django_db

NOTHING = {"accepted": 0, "duplicate": 0, "conflict": 0, "rejected": 0, "quarantined": 0, "items": []}


@pytest.fixture(autouse=True)
def _catalog() -> None:
    customer()
    model()


def write(folder: Path, *lines: bytes) -> str:
    path = folder / "events.ndjson"
    path.write_bytes(b"\n".join(lines))
    return str(path)


def test_a_file_is_metered_and_what_was_not_accepted_is_listed(tmp_path: Path) -> None:
    file = write(tmp_path, line("a"), b"", line("a"), b"{", line("a", model="x/y"), line("b", model="x/unheard"))
    assert run("ingest_usage", file) == (
        1,
        {
            "accepted": 2,
            "duplicate": 1,
            "conflict": 1,
            "rejected": 1,
            "quarantined": 1,
            "items": [
                {"line": 3, "id": "a", "status": "duplicate"},
                {
                    "line": 4,
                    "id": None,
                    "status": "rejected",
                    "code": "invalid_event",
                    "field": "event",
                    "reason": "is not JSON: Expecting property name enclosed in double quotes (character 1)",
                },
                {
                    "line": 5,
                    "id": "a",
                    "status": "conflict",
                    "code": "idempotency_conflict",
                    "field": "id",
                    "reason": "this id was stored before with another content",
                },
                {
                    "line": 6,
                    "id": "b",
                    "status": "accepted",
                    "quarantined": {"code": "unknown_model", "detail": "no model is called x/unheard"},
                },
            ],
        },
    )
    assert violations() == []


def test_a_second_run_changes_nothing_and_is_no_failure(tmp_path: Path) -> None:
    file = write(tmp_path, line("a"), line("b"))
    assert run("ingest_usage", file) == (0, NOTHING | {"accepted": 2})
    code, answer = run("ingest_usage", file)
    assert (code, answer["duplicate"], answer["accepted"]) == (0, 2, 0)
    assert counted("usage_event") == (2,)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("form", [b"%b\n%b\n", b"[%b,%b]"])
def test_a_pipe_is_read_whatever_its_form(pack: type[bytes], form: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    content = pack(form % (line("a"), line("b")))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BufferedReader(io.BytesIO(content))))
    assert run("ingest_usage", "-") == (0, NOTHING | {"accepted": 2})


def test_batches_are_stored_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usage.management.commands.ingest_usage.BATCH_EVENTS", 3)
    file = write(tmp_path, *(line(f"{number}") for number in range(7)), line("3"), b"x")
    code, answer = run("ingest_usage", file)
    assert (code, answer["accepted"]) == (1, 7)
    assert [(item["line"], item["status"]) for item in answer["items"]] == [(8, "duplicate"), (9, "rejected")]


def test_a_file_that_breaks_off_keeps_what_came_before_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_bytes(b"[" + line("a") + b"," + line("b") + b',{"id":')
    code, answer = run("ingest_usage", str(path))
    assert (code, answer["error"]["code"], answer["error"]["field"]) == (2, "unreadable_file", "file")
    assert answer["error"]["message"] == f"{path}: the JSON array breaks off"
    assert answer["error"]["data"]["stored"]["accepted"] == 2
    assert counted("usage_event") == (2,)


def test_an_empty_file_holds_nothing(tmp_path: Path) -> None:
    assert run("ingest_usage", write(tmp_path, b"")) == (0, NOTHING)


def test_a_line_without_end_is_refused_and_the_file_goes_on(tmp_path: Path) -> None:
    code, answer = run("ingest_usage", write(tmp_path, b'{"id":"' + b"x" * 5_000_000, line("a")))
    assert (code, answer["accepted"]) == (1, 1)
    assert [(item["line"], item["reason"]) for item in answer["items"]] == [(1, "has more than 1000000 bytes")]


@pytest.mark.parametrize(("name", "reason"), [("missing.ndjson", "No such file or directory"), (".", "Is a directory")])
def test_a_file_that_cannot_be_opened_is_one_sentence(tmp_path: Path, name: str, reason: str) -> None:
    path = tmp_path / name
    code, answer = run("ingest_usage", str(path))
    assert (code, answer["error"]["message"]) == (2, f"{path}: {reason}")


def test_for_a_person_there_is_a_line_each_and_a_total(tmp_path: Path) -> None:
    output, errors = io.StringIO(), io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("ingest_usage", write(tmp_path, line("a"), line("b", usage=1)), stdout=output, stderr=errors)
    assert ended.value.code == 1
    assert output.getvalue().splitlines() == [
        "line 2 (b): rejected usage: must be an object",
        "1 accepted, 0 duplicate, 0 conflict, 1 rejected, 0 quarantined",
    ]
    assert "2 events read, 1 new" in errors.getvalue()
