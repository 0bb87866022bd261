"""GET /billing/v1/usage/events/export: the same events as files, a batch at a time."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test import AsyncClient
from django.test.utils import CaptureQueriesContext
from openpyxl import load_workbook

from accounts.models import Customer
from accounts.spreadsheets import guarded
from tests.usage.factories import customer, ingest, line, model
from tests.usage_api.asking import asked, get, key_of, refused
from usage.api import export, workbook
from usage.selectors.events import EventScope, events_of

pytestmark = pytest.mark.django_db

EVENTS, EXPORT = "/billing/v1/usage/events", "/billing/v1/usage/events/export"
DANGEROUS = ["=1+1", "+1", "-1", "@SUM(A1)", "＝1", "＋1", "－1", "＠1", " =1"]


@pytest.fixture
def hanbit() -> Customer:
    model()
    customer("gaon")
    owner = customer()
    ingest(
        *(line(f"gen-{number}", app={"title": title, "referer": ""}) for number, title in enumerate(DANGEROUS)),
        line("held", model="x/unheard"),
        line("theirs", customer="gaon"),
    )
    return owner


@pytest.fixture
def secret(hanbit: Customer) -> str:
    return key_of(hanbit)[0]


def file(secret: str, kind: str, **params: str) -> bytes:
    answer = get(secret, EXPORT, format=kind, month="2026-10", **params)
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"] == f'attachment; filename="usage-2026-10.{kind}"'
    return b"".join(answer.streaming_content)


def test_csv_has_a_bom_and_no_formulas(secret: str) -> None:
    content = file(secret, "csv")
    assert content.startswith(b"\xef\xbb\xbfid,occurred_at,")
    rows = {row["id"]: row for row in csv.DictReader(io.StringIO(content.decode("utf-8-sig")))}
    assert len(rows) == len(DANGEROUS) + 1
    assert [rows[f"gen-{number}"]["app_title"] for number in range(len(DANGEROUS))] == [
        f"'{text}" for text in DANGEROUS
    ]
    assert rows["gen-0"]["cost_usd"] == "0.000345"
    assert rows["gen-0"]["arithmetic"] == "100 tok x $3.00/M + 3 tok x $15.00/M"
    assert (rows["held"]["status"], rows["held"]["cost_usd"], rows["held"]["arithmetic"]) == ("quarantined", "", "")


@pytest.mark.parametrize("text", ["\t=1", "\r=1", "\n=1"])
def test_control_characters_that_hide_a_formula_are_guarded(text: str) -> None:
    assert guarded(text) == f"'{text}"


def test_ndjson_is_the_listing(secret: str) -> None:
    rows = [json.loads(row) for row in file(secret, "ndjson").splitlines()]
    assert rows == asked(secret, EVENTS, month="2026-10")["rows"]


def test_xlsx_has_texts_as_texts_and_counts_as_numbers(secret: str) -> None:
    book = load_workbook(io.BytesIO(file(secret, "xlsx")))
    [sheet] = book.worksheets
    header, *rows = sheet.iter_rows()
    names = [cell.value for cell in header]
    by_id: dict[str, dict[str, Any]] = {}
    for row in rows:
        by_id[str(row[0].value)] = dict(zip(names, row, strict=True))
    titles = [by_id[f"gen-{number}"]["app_title"] for number in range(len(DANGEROUS))]
    assert [(cell.value, cell.data_type) for cell in titles] == [(text, "s") for text in DANGEROUS]
    assert (by_id["gen-0"]["prompt_tokens"].value, by_id["gen-0"]["cost_usd"].value) == (100, "0.000345")


def test_xlsx_goes_on_on_the_next_sheet(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "SHEET_ROWS", 4)
    book = load_workbook(io.BytesIO(file(secret, "xlsx")))
    assert [sheet.max_row for sheet in book.worksheets] == [5, 5, 3]


def test_xlsx_goes_out_while_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "_FLUSH_ROWS", 100)
    read = 0

    def rows() -> Iterator[tuple[str, int]]:
        nonlocal read
        for number in range(30_000):
            read += 1
            yield f"{number * 7919 % 100_003} ₩ <&> \ufffe", number

    pieces = workbook.workbook(("text", "number"), rows())
    first = next(pieces)
    assert 0 < read < 10_000
    [sheet] = load_workbook(io.BytesIO(first + b"".join(pieces)), read_only=True).worksheets
    found = list(sheet.iter_rows(values_only=True))
    assert (len(found), found[0], found[2]) == (30_001, ("text", "number"), ("7919 ₩ <&> \ufffd", 1))


@pytest.mark.parametrize(("kind", "lines"), [("csv", 1), ("ndjson", 0)])
def test_a_month_without_events_is_an_empty_file(secret: str, kind: str, lines: int) -> None:
    answer = get(secret, EXPORT, format=kind, month="2025-01")
    assert len(b"".join(answer.streaming_content).splitlines()) == lines
    empty = b"".join(get(secret, EXPORT, format="xlsx", month="2025-01").streaming_content)
    assert load_workbook(io.BytesIO(empty)).worksheets[0].max_row == 1


def test_rows_come_from_a_server_side_cursor_batch_by_batch(hanbit: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read ahead is one batch, and no event is read before it is asked for."""
    monkeypatch.setattr(export, "BATCH_ROWS", 2)
    rows = export.export_rows(hanbit, events_of(hanbit, EventScope()))
    assert next(rows)["id"] == "held"
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_cursors WHERE statement LIKE '%usage_event%' AND name LIKE '_django%'")
        assert cursor.fetchone() == (1,)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        next(rows)
    assert len(queries) == 0
    assert len(list(rows)) == len(DANGEROUS) - 1


def test_under_asgi_chunks_are_made_one_by_one_and_the_reading_ends_with_the_sending() -> None:
    made: list[int] = []
    ended: list[bool] = []

    def chunks() -> Iterator[bytes]:
        try:
            for number in range(5):
                made.append(number)
                yield b"x"
        finally:
            ended.append(True)

    async def two_of_them() -> None:
        sending = export.in_thread(chunks())  # type: ignore[arg-type]
        assert [await anext(sending), await anext(sending)] == [b"x", b"x"]
        assert made == [0, 1]
        await sending.aclose()  # type: ignore[attr-defined]

    async_to_sync(two_of_them)()
    assert (made, ended) == ([0, 1], [True])


def test_what_cannot_be_exported_is_refused(secret: str) -> None:
    assert refused(secret, EXPORT) == (400, "invalid_input", "format")
    assert refused(secret, EXPORT, format="pdf") == (400, "invalid_input", "format")
    assert refused(secret, EXPORT, format="csv", cursor="x") == (400, "invalid_input", "cursor")
    assert refused(secret, EXPORT, format="csv", api_key="sk-jeongsan-x") == (404, "not_found", "api_key")


@pytest.mark.django_db(transaction=True)
def test_a_file_over_asgi_is_the_same_file(hanbit: Customer, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "BATCH_ROWS", 3)

    async def fetched() -> tuple[bool, list[bytes]]:
        answer = await AsyncClient().get(
            EXPORT, {"format": "ndjson", "month": "2026-10"}, headers={"authorization": f"Bearer {secret}"}
        )
        return answer.is_async, [chunk async for chunk in answer.streaming_content]

    asynchronous, chunks = async_to_sync(fetched)()
    assert (asynchronous, len(chunks)) == (True, 4)
    assert b"".join(chunks) == file(secret, "ndjson")
