"""Frozen documents as JSON, both ways: what an invoice or a credit note says is stored so and read back years later.

Reading accepts exactly what writing gives: a missing, unknown or wrongly typed member is an error. Only what came later
(`later`) is its default where it is absent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, field, fields
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any

_DECIMAL = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,60})?", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)

#: Takes a JSON value and where it stands; raises DocumentError.
Reader = Callable[[Any, str], Any]


class DocumentError(ValueError):
    """The content contradicts itself, or stored JSON is not a document. `field` names the culprit."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


def later(default: Any) -> Any:
    """A member that came after documents were stored: it is written only where it says more than its default."""
    return field(default=default, metadata={"later": True})


def _plain(value: Any) -> Any:
    if isinstance(value, str | int):
        return value
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple):
        return [_plain(member) for member in value]
    if hasattr(value, "__dataclass_fields__"):
        part: Any = type(value)
        said = ((name, getattr(value, name), unsaid) for name, unsaid in _members(part))
        return {name: _plain(member) for name, member, unsaid in said if unsaid is MISSING or member != unsaid}
    return value


@cache
def _members(cls: type[Any]) -> tuple[tuple[str, Any], ...]:
    """The members of a part of a document, each with the value that is left out."""
    return tuple((member.name, member.default if _is_later(member) else MISSING) for member in fields(cls))


def _is_later(member: Field[Any]) -> bool:
    return bool(member.metadata.get("later"))


def read_text(raw: Any, where: str) -> str:
    """A text."""
    if not isinstance(raw, str):
        raise DocumentError(where, "text expected")
    return str(raw)


def read_integer(raw: Any, where: str) -> int:
    """A whole number."""
    if not isinstance(raw, int) or isinstance(raw, bool):
        raise DocumentError(where, "integer expected")
    return int(raw)


def read_decimal(raw: Any, where: str) -> Decimal:
    """A decimal, written as a text."""
    if not isinstance(raw, str) or not _DECIMAL.fullmatch(raw):
        raise DocumentError(where, "decimal text expected")
    return Decimal(raw)


def read_date(raw: Any, where: str) -> date:
    """A day."""
    if not isinstance(raw, str) or not _DATE.fullmatch(raw):
        raise DocumentError(where, "date expected")
    try:
        return date.fromisoformat(raw)
    except ValueError as error:
        raise DocumentError(where, str(error)) from error


def optional(reader: Reader) -> Reader:
    """Null, or what the reader takes."""
    return lambda raw, where: None if raw is None else reader(raw, where)


def list_of(reader: Reader) -> Reader:
    """A list of what the reader takes, as a tuple."""

    def read(raw: Any, where: str) -> tuple[Any, ...]:
        if not isinstance(raw, list):
            raise DocumentError(where, "list expected")
        return tuple(reader(member, f"{where}[{index}]") for index, member in enumerate(raw))

    return read


def object_reader(cls: type[Any], readers: Mapping[str, Reader]) -> Reader:
    """An object with just these members, as a `cls`."""
    later = {member.name for member in fields(cls) if _is_later(member)}

    def read(raw: Any, where: str) -> Any:
        if not isinstance(raw, Mapping):
            raise DocumentError(where, "object expected")
        if differing := (set(raw) ^ set(readers)) - (later - set(raw)):
            raise DocumentError(where, f"members differ: {', '.join(sorted(differing))}")
        return cls(**{name: reader(raw[name], f"{where}.{name}") for name, reader in readers.items() if name in raw})

    return read


def readers_of(cls: type[Any], **special: Reader) -> dict[str, Reader]:
    """A reader for each field: by its annotation, or the special one given."""
    by_annotation: dict[str, Reader] = {
        "str": read_text,
        "int": read_integer,
        "Decimal": read_decimal,
        "date": read_date,
    }
    return {field.name: special.get(field.name) or by_annotation[str(field.type)] for field in fields(cls)}


def plain_members(document: Any) -> dict[str, Any]:
    """A document's members for a JSON column, for documents that stand in modules of their own."""
    plain = _plain(document)
    assert isinstance(plain, dict)
    return plain


def reader_of(cls: type[Any], *, parts: Mapping[str, type[Any]], lists: Mapping[str, type[Any]]) -> Reader:
    """What reads such a document back: `parts` are members that are one dataclass (or None), `lists` tuples of one."""
    optionals = {member.name for member in fields(cls) if str(member.type).endswith("| None")}
    special = {name: object_reader(part, readers_of(part)) for name, part in parts.items()}
    special = {name: optional(reader) if name in optionals else reader for name, reader in special.items()}
    special |= {name: list_of(object_reader(part, readers_of(part))) for name, part in lists.items()}
    special |= {member.name: optional(read_date) for member in fields(cls) if member.type == "date | None"}
    return object_reader(cls, readers_of(cls, **special))
