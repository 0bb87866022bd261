"""Cutting a stream into events: every byte is passed on, in whatever pieces it came."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.streams.sse import MAX_EVENT_BYTES, TAIL_BYTES, Event, SseSplitter


def split(*pieces: bytes) -> list[Event]:
    splitter = SseSplitter()
    return [event for piece in pieces for event in splitter.feed(piece)] + splitter.finish()


def data_of(*pieces: bytes) -> list[bytes | None]:
    return [event.data for event in split(*pieces)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_all_line_ends_make_the_same_events(end: bytes) -> None:
    stream = end.join([b": hello", b"", b"event: x", b"data: 1", b"data:2", b"data", b"", b"data:  3", b"", b""])
    assert data_of(stream) == [None, b"1\n2\n", b" 3"]


def test_one_crlf_is_no_blank_line() -> None:
    assert data_of(b"data: a\r\ndata: b\r\n\r\n") == [b"a\nb"]
    assert data_of(b"data: a\r", b"\ndata: b\r", b"\n\r", b"\n") == [
        b"a\nb",
        None,
    ]  # the last LF came too late to belong


def test_mixed_line_ends() -> None:
    assert data_of(b"data: a\n\r\ndata: b\r\n\ndata: c\r\r\ndata: d\n\rdata: e\n\n") == [b"a", b"b", b"c", b"d", b"e"]


def test_comments_and_other_fields_carry_no_data() -> None:
    assert data_of(b": OPENROUTER PROCESSING\n\nid: 1\nretry: 5\n\ndatabase: x\n\n") == [None, None, None]


def test_a_byte_order_mark_is_passed_on_and_not_read() -> None:
    assert split(b"\xef\xbb\xbfdata: 1\n\ndata: 2\n\n") == [
        Event(b"\xef\xbb\xbfdata: 1\n\n", b"1"),
        Event(b"data: 2\n\n", b"2"),
    ]


def test_a_cut_event_is_read_as_far_as_it_goes() -> None:
    assert split(b'data: {"a":1}\n\ndata: {"b"') == [
        Event(b'data: {"a":1}\n\n', b'{"a":1}'),
        Event(b'data: {"b"', b'{"b"'),
    ]


def test_ten_megabytes_in_one_line_are_let_through_in_parts() -> None:
    line = b"data: " + b"x" * 10_000_000 + b'"usage": 7}\n\n'
    pieces = [line[start : start + 16_384] for start in range(0, len(line), 16_384)]
    splitter, passed, last = SseSplitter(), 0, None
    tracemalloc.start()
    for piece in pieces:
        for event in splitter.feed(piece):
            passed += len(event.raw)
            last = event
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert passed == len(line)
    assert last is not None
    assert last.data is None
    assert last.tail is not None
    assert last.tail.endswith(b'"usage": 7}\n\n')
    assert len(last.tail) == TAIL_BYTES
    assert peak_bytes < 4 * MAX_EVENT_BYTES
    assert splitter.feed(b"data: 1\n\n") == [Event(b"data: 1\n\n", b"1")]


def test_an_oversized_event_that_is_cut_still_shows_its_tail() -> None:
    splitter = SseSplitter()
    parts = splitter.feed(b"data: " + b"y" * MAX_EVENT_BYTES)
    assert [part.data for part in parts] == [None]
    (cut,) = splitter.finish()
    assert cut.tail == b"y" * TAIL_BYTES
    assert len(parts[0].raw) + len(cut.raw) == MAX_EVENT_BYTES + 6


@given(
    st.lists(st.sampled_from([b"data: a", b"data:b", b"\n", b"\r", b"\r\n", b"\xff", b":", b"event: c", b"\n\n"])),
    st.data(),
)
def test_joined_events_are_the_stream_however_it_was_cut(words: list[bytes], draw: st.DataObject) -> None:
    stream = b"".join(words)
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert b"".join(event.raw for event in split(*pieces)) == stream
    whole = [data for data in data_of(stream) if data is not None]
    assert [data for data in data_of(*pieces) if data is not None] == whole
