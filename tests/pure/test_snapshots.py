"""A price history is read to the last digit or not at all."""

import json
from datetime import UTC, datetime

import pytest

from catalog.listing import ListingError
from catalog.snapshots import parse_snapshots
from tests.shared import shared_data


def history(prices: str = '{"a/x": [1.25, 10]}', date: str = '"2026-01-07"') -> bytes:
    return f'{{"snapshots": [{{"date": {date}, "prices": {prices}}}]}}'.encode()


@pytest.mark.parametrize(
    ("pair", "prompt", "completion"),
    [
        ("[1.25, 10]", "0.00000125", "0.00001"),
        ("[0.0, 0]", "0", "0"),
        ("[0.2345, 7.0312]", "0.0000002345", "0.0000070312"),
        ("[0.08333333333333333333, 1000000]", "0.00000008333333333333333333", "1"),
    ],
)
def test_a_millionth_is_exact(pair: str, prompt: str, completion: str) -> None:
    (snapshot,) = parse_snapshots(history(f'{{"a/x": {pair}}}'))
    assert snapshot.at == datetime(2026, 1, 7, tzinfo=UTC)
    assert snapshot.prices == {"a/x": {"prompt": prompt, "completion": completion}}


def test_the_real_history() -> None:
    snapshots = parse_snapshots(shared_data("openrouter-price-history-2023-2026.json").read_bytes())
    assert len(snapshots) == 31
    assert (snapshots[0].at, len(snapshots[0].prices)) == (datetime(2023, 7, 26, tzinfo=UTC), 17)
    assert (snapshots[-1].at, len(snapshots[-1].prices)) == (datetime(2026, 9, 2, tzinfo=UTC), 416)
    assert snapshots[0].prices["anthropic/claude-2"] == {"prompt": "0.00001102", "completion": "0.00003268"}


def test_the_oldest_comes_first() -> None:
    days = [{"date": day, "prices": {}} for day in ("2026-03-03", "2026-01-07", "2026-02-01")]
    snapshots = parse_snapshots(json.dumps({"snapshots": days}).encode())
    assert [snapshot.at.month for snapshot in snapshots] == [1, 2, 3]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "not_json"),
        (b"\xff", "not_json"),
        (b"[" * 100_000, "not_json"),
        (b'{"data": []}', "no_snapshots"),
        (b'{"snapshots": []}', "no_snapshots"),
        (b'{"snapshots": [7]}', "no_snapshots"),
        (history(date="7"), "bad_date"),
        (history(date='"2026-02-30"'), "bad_date"),
        (history(date='"2026-1-7"'), "bad_date"),
        (b'{"snapshots": [{"date": "2026-01-07", "prices": {}}, {"date": "2026-01-07", "prices": {}}]}', "bad_date"),
        (history('{"a x": [1, 2]}'), "bad_id"),
        (history('{"": [1, 2]}'), "bad_id"),
        (history('{"a/x": [1]}'), "bad_price"),
        (history('{"a/x": [1, "2"]}'), "bad_price"),
        (history('{"a/x": [1, -1]}'), "bad_price"),
        (history('{"a/x": [1, 1e-3]}'), "bad_price"),
        (history('{"a/x": [1, NaN]}'), "bad_price"),
        (history('{"a/x": [1, null]}'), "bad_price"),
        (history('{"a/x": [1, 0.00000000000000000000001]}'), "bad_price"),
        (history('{"a/x": [1, 2], "a/x": [1, 3]}'), "duplicate_key"),
    ],
)
def test_one_wrong_price_refuses_the_whole_history(body: bytes, code: str) -> None:
    with pytest.raises(ListingError) as refusal:
        parse_snapshots(body)
    assert refusal.value.code == code
