"""Rows of a table that people download: CSV with a heading, a JSON array (bare or under "data"), or JSON lines."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from usage.events import MAX_NAME_CHARS, EventRefused, parse_object
from usage.periods import parse_instant

#: A JSON document is held whole; lines and CSV may be of any length.
MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
MAX_COUNT = 10**15
MAX_USD = Decimal(10**9)
#: Decimals of USD that the database keeps.
KEPT_DECIMALS = 28

#: As people and spreadsheets write it: 0.015, .5, 1.5E-05. Python would also take 1_000, full-width digits and spaces.
_AMOUNT = re.compile(r"-?(?:[0-9]{1,20}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,2})?")
_BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"
_BLANK = b" \t\r\n"
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])

#: (number in the file from 1, the row's fields or why it can't be read)
Row = tuple[int, Mapping[str, Any] | EventRefused]


class TableRefused(ValueError):
    """A file that is no table; no row of it can be told from another."""


class _Wrapped(msgspec.Struct):
    data: list[msgspec.Raw]


def read_rows(stream: io.BufferedReader) -> Iterator[Row]:
    """The rows of a file, gzip or not. Raises TableRefused, at once or where the file breaks off."""
    source: Any = gzip.GzipFile(fileobj=stream) if stream.peek(2)[:2] == _GZIP else stream
    buffered = io.BufferedReader(source) if source is not stream else stream
    try:
        head = buffered.peek(4096)[:4096].removeprefix(_BOM).lstrip(_BLANK)
        if not head:
            raise TableRefused("the file is empty")
        if head[:1] == b"[":
            yield from _numbered(_decoded(_ITEMS, _whole(buffered)))
        elif head[:1] == b"{":
            yield from _lines_or_document(buffered)
        else:
            yield from _csv_rows(buffered)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise TableRefused(f"the gzip file breaks off: {error}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise TableRefused(f"the file is no CSV in UTF-8: {error}") from None


def _whole(source: io.BufferedReader, start: bytes = b"") -> bytes:
    content = start + source.read(MAX_DOCUMENT_BYTES + 1)
    if len(content) > MAX_DOCUMENT_BYTES:
        raise TableRefused(f"a JSON document has at most {MAX_DOCUMENT_BYTES} bytes; send lines or CSV")
    return content.removeprefix(_BOM)


def _decoded(decoder: Any, content: bytes) -> Any:
    try:
        return decoder.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise TableRefused('the file is neither CSV nor an array of JSON objects, bare or under "data"') from None


def _numbered(items: Iterable[bytes]) -> Iterator[Row]:
    for number, raw in enumerate(items, start=1):
        yield number, _fields(bytes(raw))


def _lines_or_document(source: io.BufferedReader) -> Iterator[Row]:
    first, first_number = b"", 0
    while not first.strip(_BLANK):  # the caller has seen that something follows
        first, first_number = source.readline(MAX_DOCUMENT_BYTES).removeprefix(_BOM), first_number + 1
    try:
        is_line = "data" not in msgspec.json.decode(first, type=dict[str, msgspec.Raw])
    except msgspec.MsgspecError:
        is_line = False
    if not is_line:
        document = _decoded(msgspec.json.Decoder(_Wrapped), _whole(source, first))
        yield from _numbered(document.data)
        return
    yield first_number, _fields(first)
    for number, line in enumerate(source, start=first_number + 1):
        if line.strip(_BLANK):
            yield number, _fields(line)


def _csv_rows(source: io.BufferedReader) -> Iterator[Row]:
    table = csv.reader(io.TextIOWrapper(source, encoding="utf-8-sig", newline=""), strict=True)
    names = [name.strip() for name in next(table)]
    for name, count in Counter(filter(None, names)).items():
        if count > 1:
            raise TableRefused(f"the heading names {name[:60]} {count} times")
    for values in table:
        if not values:
            continue
        if len(values) != len(names):
            yield table.line_num, EventRefused("row", f"has {len(values)} columns; the heading names {len(names)}")
        else:
            yield table.line_num, dict(zip(names, values, strict=True))


def _fields(raw: bytes) -> Mapping[str, Any] | EventRefused:
    try:
        return parse_object(raw)
    except EventRefused as refused:
        return refused


# -- Fields of a row; a CSV says everything as text, and "" for nothing ------------------------------------------------
def pick(fields: Mapping[str, Any], *names: str) -> tuple[str, Any]:
    """The first of these fields that says something, with its name; the first name and None where none does."""
    for name in names:
        value = fields.get(name)
        if value is not None and value != "":
            return name, value
    return names[0], None


def read_text(fields: Mapping[str, Any], *names: str, default: str | None = None) -> str:
    """A short text that can be printed. Without `default` it must be there."""
    name, value = pick(fields, *names)
    if value is None:
        if default is None:
            raise EventRefused(name, "is missing")
        return default
    if not isinstance(value, str) or len(value) > MAX_NAME_CHARS or not value.isprintable():
        raise EventRefused(name, f"must be a text of 1 to {MAX_NAME_CHARS} characters that can be printed")
    return value


def read_count(fields: Mapping[str, Any], *names: str, default: int | None = None) -> int | None:
    """A whole number from 0; `default` where it is not stated."""
    name, value = pick(fields, *names)
    if value is None:
        return default
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 16:
        value = int(value)
    if isinstance(value, Decimal) and value == value.to_integral_value() and value <= MAX_COUNT:
        value = int(value)
    if type(value) is not int or not 0 <= value <= MAX_COUNT:
        raise EventRefused(name, "must be a whole number from 0")
    return value


def read_usd(fields: Mapping[str, Any], *names: str, default: Decimal | None = None) -> Decimal:
    """An amount from 0 with every digit that was written. Without `default` it must be stated."""
    name, value = pick(fields, *names)
    if value is None:
        if default is None:
            raise EventRefused(name, "is missing")
        return default
    is_written = isinstance(value, str) and _AMOUNT.fullmatch(value)
    if not is_written and (isinstance(value, bool) or not isinstance(value, int | Decimal)):
        raise EventRefused(name, "must be an amount")
    amount = Decimal(value)
    exponent = amount.as_tuple().exponent
    if not isinstance(exponent, int) or not 0 <= amount <= MAX_USD:
        raise EventRefused(name, f"must be an amount from 0 to {MAX_USD}")
    if -exponent > KEPT_DECIMALS:
        raise EventRefused(name, f"has more than {KEPT_DECIMALS} decimals")
    return amount


def read_day(fields: Mapping[str, Any], name: str) -> date:
    """A day, written as 2026-10-05; a midnight behind it is passed over."""
    text = read_text(fields, name)
    day, _, rest = text.replace("T", " ").partition(" ")
    try:
        if len(day) != 10 or rest.rstrip("Z").strip("0:.") != "":
            raise ValueError
        return date.fromisoformat(day)
    except ValueError:
        raise EventRefused(name, "must be a day written as YYYY-MM-DD") from None


def read_instant(fields: Mapping[str, Any], name: str) -> datetime:
    """An instant in RFC 3339; without a zone it is UTC, as upstreams' tables mean it."""
    text = read_text(fields, name).replace(" ", "T", 1)
    zoned = text[-1:] in "Zz" or "+" in text[10:] or "-" in text[10:]
    if text[-3:-2] in ("+", "-"):  # PostgreSQL's short zone: +00
        text += ":00"
    try:
        return parse_instant(text if zoned else f"{text}Z", field=name).astimezone(UTC)
    except ValueError:
        raise EventRefused(name, "must be a time written as YYYY-MM-DDThh:mm:ssZ") from None
