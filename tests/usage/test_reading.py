"""Cutting bodies and files into raw events."""

from __future__ import annotations

import gzip
import io
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.errors import DomainError
from usage.errors import InvalidGzip, InvalidJson, PayloadTooLarge
from usage.events import MAX_EVENT_BYTES
from usage.services.reading import MAX_BODY_BYTES, array_items, file_items, gunzip, json_items, ndjson_items


def items_of_file(content: bytes) -> list[tuple[int, bytes]]:
    return list(file_items(io.BufferedReader(io.BytesIO(content))))


@pytest.mark.parametrize(
    ("body", "items"),
    [
        (b"[]", []),
        (b" [ \n]\t", []),
        (b'[{"a":1}, 2 ,"]"]', [b'{"a":1}', b"2", b'"]"']),
        (b'[{"a":"\\"]"},{"b":"\\\\"}]', [b'{"a":"\\"]"}', b'{"b":"\\\\"}']),
        (b' {"a": [1, 2]} ', [b' {"a": [1, 2]} ']),
    ],
)
def test_a_json_body_is_cut_into_its_items(body: bytes, items: list[bytes]) -> None:
    assert list(json_items(body)) == items


@pytest.mark.parametrize(
    ("body", "items"),
    [
        (b'[{"a":NaN},{"b":1}]', [b'{"a":NaN}', b'{"b":1}']),
        (b'[{"a" 1},{"b":1}]', [b'{"a" 1}', b'{"b":1}']),
        (b'[{"b":1},]', [b'{"b":1}', b""]),
        (b"[" + b"[" * 3000 + b"]" * 3000 + b',{"b":1}]', [b"[" * 3000 + b"]" * 3000, b'{"b":1}']),
    ],
)
def test_a_bad_item_takes_no_other_down(body: bytes, items: list[bytes]) -> None:
    assert list(json_items(body)) == items


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"<html>",
        b'"x"',
        b'[{"a":1}',
        b'[{"a":"x',
        b"[1]]",
        b"[1] 2",
        b"[1][2]",
        b"[{]}",
        b"[1,2}3]",
        b"\xef\xbb\xbf[]",
    ],
)
def test_a_document_that_is_no_array_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidJson):
        list(json_items(body))


def test_millions_of_open_brackets_are_not_looked_at_to_their_end() -> None:
    with pytest.raises(InvalidJson, match="nested too deeply"):
        list(json_items(b"[" * 8_000_000))


def test_a_million_items_are_not_cut_out_before_anybody_asks() -> None:
    items = iter(json_items(b"[" + b"0," * 2_000_000 + b"0]"))
    assert [next(items) for _ in range(3)] == [b"0", b"0", b"0"]


VALUES = st.recursive(
    st.none() | st.integers() | st.text(alphabet='a"\\[]{},\n '),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='a"\\]'), inner, max_size=3),
    max_leaves=10,
)


@given(values=st.lists(VALUES, max_size=5), size=st.integers(1, 40), indent=st.sampled_from([None, 1]))
def test_chunks_of_any_size_give_the_items_of_a_whole_parser(
    values: list[object], size: int, indent: int | None
) -> None:
    document = json.dumps(values, indent=indent).encode()
    chunks = [document[start : start + size] for start in range(0, len(document), size)]
    expected = [bytes(item) for item in msgspec.json.decode(document, type=list[msgspec.Raw])]
    assert [item.strip() for item in array_items(chunks)] == expected


@given(document=st.text(alphabet='[]{}",\\a1 ', max_size=40), size=st.integers(1, 5))
def test_any_brackets_end_in_items_or_a_refusal(document: str, size: int) -> None:
    raw = document.encode()
    outcomes = []
    for step in (size, len(raw) + 1):
        try:
            outcomes.append(list(array_items(raw[start : start + step] for start in range(0, len(raw), step))))
        except InvalidJson:
            outcomes.append(None)
    assert outcomes[0] == outcomes[1]


def test_ndjson_lines_may_be_blank_and_end_as_they_like() -> None:
    assert list(ndjson_items(b'{"a":1}\r\n\n  \n{"b":2}')) == [b'{"a":1}\r\n', b'{"b":2}']


def test_gzip_is_unpacked() -> None:
    assert gunzip(gzip.compress(b'{"a":1}')) == b'{"a":1}'
    assert len(gunzip(gzip.compress(b"x" * MAX_BODY_BYTES))) == MAX_BODY_BYTES


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"{}", InvalidGzip),
        (b"", InvalidGzip),
        (gzip.compress(b"abc", mtime=0)[:-4], InvalidGzip),
        (gzip.compress(b"abc", mtime=0) + b"x", InvalidGzip),
        (gzip.compress(b"x" * (MAX_BODY_BYTES + 1), mtime=0), PayloadTooLarge),
    ],
)
def test_gzip_that_is_none_or_a_bomb_is_refused(body: bytes, error: type[DomainError]) -> None:
    with pytest.raises(error):
        gunzip(body)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_a_file_is_known_by_its_first_bytes(pack: object, start: bytes) -> None:
    assert callable(pack)
    assert items_of_file(pack(start + b'{"a":1}\n\n{"b":2}\n')) == [(1, b'{"a":1}'), (3, b'{"b":2}')]
    assert items_of_file(pack(start + b'\n[{"a":1},\n{"b":2}]')) == [(1, b'{"a":1}'), (2, b'\n{"b":2}')]
    assert items_of_file(pack(start)) == []


def test_an_endless_line_is_kept_only_to_the_limit_and_the_next_one_is_read() -> None:
    endless = b"x" * (3 * MAX_EVENT_BYTES)
    assert items_of_file(endless + b"\n{}\n") == [(1, b"x" * (MAX_EVENT_BYTES + 1)), (2, b"{}")]
    assert items_of_file(b'["' + endless + b'",{}]') == [(1, b'"' + b"x" * MAX_EVENT_BYTES), (2, b"{}")]


def test_a_file_that_breaks_off_gives_what_came_before() -> None:
    broken = file_items(io.BufferedReader(io.BytesIO(b'[{"a":1},{"b"')))
    assert next(broken) == (1, b'{"a":1}')
    with pytest.raises(InvalidJson):
        next(broken)
    with pytest.raises(InvalidGzip):
        items_of_file(gzip.compress(b"{}\n" * 100)[:-9])
