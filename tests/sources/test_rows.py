"""Tables that people download: what is read, and what is refused with the field's name."""

from __future__ import annotations

import gzip
import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from usage.events import EventRefused
from usage.sources.activity import (
    ActivityRow,
    is_activity,
    part_id,
    part_line,
    parts_needed,
    read_activity,
    split_row,
)
from usage.sources.rows import TableRefused, read_rows
from usage.sources.statements import read_charge

FIELDS: dict[str, Any] = {
    "date": "2026-10-05",
    "model": "openai/gpt-4.1",
    "model_permaslug": "openai/gpt-4.1-2025-04-14",
    "endpoint_id": "550e8400-e29b-41d4-a716-446655440000",
    "provider_name": "OpenAI",
    "usage": Decimal("0.015"),
    "byok_usage_inference": Decimal("0.012"),
    "requests": 5,
    "prompt_tokens": 50,
    "completion_tokens": 125,
    "reasoning_tokens": 25,
}


def rows(content: bytes | str) -> list[Any]:
    raw = content.encode() if isinstance(content, str) else content
    return [(number, dict(row) if isinstance(row, dict) else str(row)) for number, row in read_rows(_stream(raw))]


def _stream(raw: bytes) -> io.BufferedReader:
    return io.BufferedReader(io.BytesIO(raw))  # type: ignore[arg-type]


# -- Tables ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "content",
    [
        "id,cost\na,1\nb,2\n",
        "\ufeffid,cost\r\na,1\r\n\r\nb,2\r\n",
        '[{"id": "a", "cost": "1"}, {"id": "b", "cost": "2"}]',
        '{"data": [{"id": "a", "cost": "1"}, {"id": "b", "cost": "2"}]}',
        '{\n "data": [\n {"id": "a", "cost": "1"}, {"id": "b", "cost": "2"}]\n}\n',
        '{"id": "a", "cost": "1"}\n\n{"id": "b", "cost": "2"}\n',
        '\ufeff{"id": "a", "cost": "1"}\n{"id": "b", "cost": "2"}\n',
        '\r\n\n{"id": "a", "cost": "1"}\n{"id": "b", "cost": "2"}\n',
        '\ufeff\n{"data": [{"id": "a", "cost": "1"}, {"id": "b", "cost": "2"}]}',
        gzip.compress(b"id,cost\na,1\nb,2\n", mtime=0),
    ],
)
def test_every_form_of_a_table_says_the_same(content: bytes | str) -> None:
    assert [row for _, row in rows(content)] == [{"id": "a", "cost": "1"}, {"id": "b", "cost": "2"}]


def test_rows_keep_their_numbers_and_a_bad_one_takes_no_other_down() -> None:
    assert rows("id,cost\na,1\nb\nc,3\n") == [
        (2, {"id": "a", "cost": "1"}),
        (3, "row: has 1 columns; the heading names 2"),
        (4, {"id": "c", "cost": "3"}),
    ]
    assert rows('[{"id": "a"}, 7, {"id": 1, "id": 2}]') == [
        (1, {"id": "a"}),
        (2, "event: must be a JSON object"),
        (3, "id: is given twice"),
    ]
    assert [number for number, _ in rows('\n{"id": "a"}\n\n{"id": "b"}')] == [2, 4]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"  \n",
        b"[1,",
        b'{"data": 7}',
        b"{",
        gzip.compress(b"a,b\n1,2\n", mtime=0)[:-6],
        b'a,b\n"1,2\n',
        b"a\n\xff\n",
        b"id,cost,cost\na,1,2\n",
    ],
)
def test_what_is_no_table_is_refused(content: bytes) -> None:
    with pytest.raises(TableRefused):
        rows(content)


def test_columns_without_a_name_are_nobodys() -> None:
    assert rows("id,cost,,\na,1,,\n") == [(2, {"id": "a", "cost": "1", "": ""})]


# -- Daily sums --------------------------------------------------------------------------------------------------------
def activity(**changes: Any) -> ActivityRow:
    return read_activity(FIELDS | changes)


def test_a_row_of_openrouters_activity() -> None:
    assert is_activity(FIELDS)
    assert activity() == ActivityRow(
        day=date(2026, 10, 5),
        model_name="openai/gpt-4.1",
        permaslug="openai/gpt-4.1-2025-04-14",
        provider_name="OpenAI",
        endpoint_id="550e8400-e29b-41d4-a716-446655440000",
        requests=5,
        prompt_tokens=50,
        completion_tokens=125,
        reasoning_tokens=25,
        cached_tokens=0,
        charged_usd=Decimal("0.027"),
    )
    as_csv = {name: str(value) for name, value in FIELDS.items()} | {"date": "2026-10-05 00:00:00"}
    assert read_activity(as_csv) == activity()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"date": "2026-02-30"}, "date"),
        ({"date": "05.10.2026"}, "date"),
        ({"date": "2026-10-05 13:00:00"}, "date"),
        ({"date": None}, "date"),
        ({"model": ""}, "model_permaslug"),
        ({"model": "a\nb"}, "model"),
        ({"requests": 0}, "requests"),
        ({"requests": None}, "requests"),
        ({"prompt_tokens": -1}, "prompt_tokens"),
        ({"prompt_tokens": "1.5"}, "prompt_tokens"),
        ({"prompt_tokens": True}, "prompt_tokens"),
        ({"prompt_tokens": "１"}, "prompt_tokens"),
        ({"usage": None}, "usage"),
        ({"usage": "-0.1"}, "usage"),
        ({"usage": "NaN"}, "usage"),
        ({"usage": "1e12"}, "usage"),
        ({"usage": "1e-40"}, "usage"),
        ({"reasoning_tokens": 126}, "reasoning_tokens"),
        ({"cached_tokens": 51}, "cached_tokens"),
    ],
)
def test_a_row_that_can_not_be_is_refused(changes: dict[str, Any], field: str) -> None:
    if changes.get("model") == "":
        changes = changes | {"model_permaslug": None}
        field = "model"
    with pytest.raises(EventRefused) as refused:
        activity(**changes)
    assert refused.value.field == field


def one_part(at: datetime, prompt_tokens: int, requests: int) -> int:
    return 1


def test_a_day_within_a_month_stands_at_its_noon() -> None:
    [part] = split_row(activity(), one_part)
    assert part.occurred_at == datetime(2026, 10, 5, 12, tzinfo=UTC)
    assert (part.prompt_tokens, part.completion_tokens, part.reasoning_tokens, part.charged_usd) == (
        50,
        125,
        25,
        Decimal("0.027"),
    )


def test_the_last_day_of_a_month_is_cut_where_koreas_month_ends() -> None:
    row = activity(date="2026-10-31", requests=48, prompt_tokens=100, completion_tokens=125, usage="0.01")
    before, after = split_row(row, one_part)
    assert before.occurred_at == datetime(2026, 10, 31, 7, 30, tzinfo=UTC)  # 16:30 on the 31st in Korea
    assert after.occurred_at == datetime(2026, 10, 31, 19, 30, tzinfo=UTC)  # 04:30 on the 1st
    assert [(one.prompt_tokens, one.completion_tokens, one.reasoning_tokens) for one in (before, after)] == [
        (62, 78, 15),
        (38, 47, 10),
    ]
    assert (before.charged_usd, after.charged_usd) == (Decimal("0.01375"), Decimal("0.00825"))


def test_one_request_is_never_cut() -> None:
    [part] = split_row(activity(date="2026-10-31", requests=1), one_part)
    assert (part.occurred_at.hour, part.prompt_tokens) == (7, 50)


@pytest.mark.parametrize("day", ["2026-10-05", "2026-10-31", "2028-02-29"])
@pytest.mark.parametrize("count", [1, 3, 7])
def test_parts_add_up_to_the_row(day: str, count: int) -> None:
    row = activity(date=day, requests=100, cached_tokens=13, usage="0.0123456789")
    parts = split_row(row, lambda at, prompt_tokens, requests: count)
    assert len(parts) == (count if day == "2026-10-05" else 2 * count)
    for name in ("prompt_tokens", "completion_tokens", "reasoning_tokens", "cached_tokens", "charged_usd"):
        assert sum(getattr(part, name) for part in parts) == getattr(row, name)
    assert all(part.reasoning_tokens <= part.completion_tokens for part in parts)
    assert all(part.cached_tokens <= part.prompt_tokens for part in parts)


@pytest.mark.parametrize(
    ("prompt_tokens", "requests", "parts"),
    [
        (0, 5, 1),
        (150_000, 5, 1),  # even together not above the threshold
        (200_001, 5, 2),
        (1_000_000, 5, 5),  # 200,000 each is not above it
        (1_000_001, 5, 1),  # the average is: the long price holds for all of it
    ],
)
def test_a_long_context_price_is_that_of_a_long_request(prompt_tokens: int, requests: int, parts: int) -> None:
    assert parts_needed(prompt_tokens, requests, thresholds={200_000}, is_priced_by_request=False) == parts


def test_a_price_by_the_request_wants_every_request() -> None:
    assert parts_needed(10, 17, thresholds=(), is_priced_by_request=True) == 17


def test_the_event_of_a_part_says_that_it_is_estimated() -> None:
    row = activity()
    [part] = split_row(row, one_part)
    assert part_id(row, 0) == part_id(activity(usage=9), 0) != part_id(activity(endpoint_id="x"), 0)
    event = json.loads(part_line(row, part, event_id=part_id(row, 0), customer="hanbit"), parse_float=Decimal)
    assert event["flags"] == ["estimated"]
    assert (event["dialect"], event["usage"]["cost"]) == ("openrouter", Decimal("0.027"))


# -- Statements --------------------------------------------------------------------------------------------------------
def test_a_line_of_the_exported_csv() -> None:
    charge = read_charge(
        {
            "generation_id": "gen-1",
            "created_at": "2026-10-05 03:00:00.123",
            "cost_total": "0.000345",
            "byok_usage_inference": "0.0001",
            "tokens_prompt": "100",
            "tokens_completion": "3",
            "model_permaslug": "openai/gpt-4.1",
        }
    )
    assert (charge.upstream_id, charge.model_name, charge.prompt_tokens, charge.completion_tokens) == (
        "gen-1",
        "openai/gpt-4.1",
        100,
        3,
    )
    assert charge.charged_at == datetime(2026, 10, 5, 3, 0, 0, 123000, tzinfo=UTC)
    assert charge.cost_usd == Decimal("0.000445")


def test_an_object_of_the_generation_endpoint() -> None:
    fields = {
        "id": "gen-2",
        "created_at": "2026-10-05T12:00:00+09:00",
        "model": "openai/gpt-4.1",
        "total_cost": Decimal("0.001"),
        "upstream_inference_cost": Decimal("0.002"),
        "is_byok": False,
        "tokens_prompt": 90,
        "native_tokens_prompt": 100,
    }
    assert read_charge(fields).cost_usd == Decimal("0.001")
    assert read_charge(fields | {"is_byok": True}).cost_usd == Decimal("0.003")
    assert (read_charge(fields).prompt_tokens, read_charge(fields).completion_tokens) == (100, None)
    assert read_charge(fields).charged_at == datetime(2026, 10, 5, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0.015", "0.015"),
        (".5", "0.5"),
        ("2.", "2"),
        ("1.5E-05", "0.000015"),
        ("0", "0"),
        ("1_000", None),
        (" 12 ", None),
        ("１２", None),
        ("1,000", None),
        ("$1", None),
        ("+1", None),
        ("-1", None),
        ("1e999", None),
        ("NaN", None),
        (".", None),
    ],
)
def test_an_amount_is_written_in_plain_digits(text: str, amount: str | None) -> None:
    fields = {"id": "gen-1", "created_at": "2026-10-05T00:00:00Z", "model": "a/b", "cost": text}
    if amount is not None:
        assert read_charge(fields).cost_usd == Decimal(amount)
        return
    with pytest.raises(EventRefused) as refused:
        read_charge(fields)
    assert refused.value.field == "cost"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"id": None}, "id"),
        ({"created_at": "yesterday"}, "created_at"),
        ({"created_at": "2026-10-05"}, "created_at"),
        ({"cost": None}, "total_cost"),
        ({"cost": "free"}, "cost"),
        ({"model": None}, "model"),
        ({"tokens_prompt": "many"}, "tokens_prompt"),
    ],
)
def test_a_charge_that_can_not_be_read_names_its_field(changes: dict[str, Any], field: str) -> None:
    fields = {"id": "gen-1", "created_at": "2026-10-05T00:00:00Z", "model": "a/b", "cost": "0.1"} | changes
    with pytest.raises(EventRefused) as refused:
        read_charge(fields)
    assert refused.value.field == field
