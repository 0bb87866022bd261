"""Reading in what an upstream says that it charged. Reading a file twice adds nothing; a charge never changes silently."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Any

from django.db import connection, transaction

from accounts.services import record_audit
from usage.errors import UnreadableFile
from usage.events import EventRefused
from usage.models import UpstreamCharge, UpstreamDay, UpstreamStatement
from usage.sources.activity import ActivityRow, is_activity, read_activity
from usage.sources.rows import Row, TableRefused
from usage.sources.statements import Charge, read_charge

CHUNK_ROWS = 5_000
#: Refusals beyond these are counted, not spelled out.
MAX_LISTED = 1_000
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtext('usage_import_statement'))"
_CHARGE_FIGURES = ("charged_at", "model_name", "prompt_tokens", "completion_tokens", "cost_usd")
_DAY_KEY = ("day", "permaslug", "provider_name", "endpoint_id")
_DAY_FIGURES = (
    "requests",
    "prompt_tokens",
    "completion_tokens",
    "reasoning_tokens",
    "cached_tokens",
    "charged_usd",
)


class Outcome(StrEnum):
    """What becomes of a row of a statement."""

    ADDED = "added"
    KNOWN = "known"  # read in before, with the same figures
    CONFLICT = "conflict"  # read in before, with other figures; what was read in first stays
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class RowRefusal:
    """Why a row was not read in. `number` is its line or item."""

    number: int
    outcome: Outcome
    field: str
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"row": self.number, "outcome": self.outcome.value, "field": self.field, "reason": self.reason}


@dataclass
class StatementImport:
    """What became of a file. `statement` is None where nothing of it was new."""

    kind: str = ""
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys((one.value for one in Outcome), 0))
    refusals: list[RowRefusal] = field(default_factory=list)
    statement: UpstreamStatement | None = None
    first_at: datetime | None = None
    last_at: datetime | None = None

    def refuse(self, number: int, outcome: Outcome, where: str, reason: str) -> None:
        """Count a row that was not read in, and keep the first of them."""
        self.counts[outcome.value] += 1
        if len(self.refusals) < MAX_LISTED:
            self.refusals.append(RowRefusal(number, outcome, where, reason))

    def spans(self, first_at: datetime, last_at: datetime) -> None:
        """Widen the time that the file speaks of."""
        self.first_at = first_at if self.first_at is None else min(self.first_at, first_at)
        self.last_at = last_at if self.last_at is None else max(self.last_at, last_at)


def import_statement(*, rows: Iterable[Row], source: str, actor: str, now: datetime) -> StatementImport:
    """Read in a list of generations or of daily sums, told apart by their columns; all of it in one transaction.

    A generation counts once by its id, a daily sum by day, model, provider and endpoint. The same again is known; the same
    with other figures is refused by line, and the first stays. Raises UnreadableFile for a file that is no table.
    """
    done = StatementImport()
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(_ONE_AT_A_TIME)
            _import(iter(rows), source, actor, now, done)
    except TableRefused as refused:
        raise UnreadableFile(str(refused), field="file") from None
    return done


def _import(rows: Iterator[Row], source: str, actor: str, now: datetime, done: StatementImport) -> None:
    statement = UpstreamStatement(source=source, imported_at=now, imported_by=actor, rows=0, first_at=now, last_at=now)
    while chunk := list(islice(rows, CHUNK_ROWS)):
        read = _read(chunk, done)
        fresh = _fresh(read, done)
        if not fresh:
            continue
        if done.statement is None:
            statement.kind = done.kind
            statement.save()
            done.statement = statement
        if done.kind == UpstreamStatement.Kind.DAYS:
            UpstreamDay.objects.bulk_create(
                UpstreamDay(statement=statement, model_name=row.model_name, **_fields(row, _DAY_KEY + _DAY_FIGURES))
                for row in fresh
            )
        else:
            UpstreamCharge.objects.bulk_create(
                UpstreamCharge(statement=statement, **_fields(row, ("upstream_id", *_CHARGE_FIGURES))) for row in fresh
            )
        done.counts[Outcome.ADDED.value] += len(fresh)
    if done.statement is None:
        return
    assert done.first_at is not None
    assert done.last_at is not None
    statement.rows, statement.first_at, statement.last_at = done.counts["added"], done.first_at, done.last_at
    statement.save(update_fields=["rows", "first_at", "last_at"])
    record_audit(
        actor=actor,
        action="import_statement",
        subject=statement,
        data={"source": source, "kind": done.kind, **done.counts},
    )


def _read(chunk: Sequence[Row], done: StatementImport) -> list[tuple[int, Charge | ActivityRow]]:
    """The readable rows of a chunk; the file's first row decides what kind of list it is."""
    read: list[tuple[int, Charge | ActivityRow]] = []
    for number, fields in chunk:
        try:
            if isinstance(fields, EventRefused):
                raise fields
            if not done.kind:
                done.kind = UpstreamStatement.Kind.DAYS if is_activity(fields) else UpstreamStatement.Kind.GENERATIONS
            if done.kind == UpstreamStatement.Kind.DAYS:
                day = read_activity(fields)
                done.spans(day.start_at, day.end_at)
                read.append((number, day))
            else:
                charge = read_charge(fields)
                done.spans(charge.charged_at, charge.charged_at)
                read.append((number, charge))
        except EventRefused as refused:
            done.refuse(number, Outcome.REJECTED, refused.field, refused.reason)
    return read


def _fresh(read: Sequence[tuple[int, Any]], done: StatementImport) -> list[Any]:
    """The rows that are new, each once; the others are counted as known or refused."""
    if not read:
        return []
    figures = _DAY_FIGURES if done.kind == UpstreamStatement.Kind.DAYS else _CHARGE_FIGURES
    known = _known(read, done.kind)
    fresh = []
    for number, row in read:
        before = known.get(_identity(row))
        if before is None:
            known[_identity(row)] = row
            fresh.append(row)
            continue
        differing = [name for name in figures if getattr(before, name) != getattr(row, name)]
        if differing:
            done.refuse(number, Outcome.CONFLICT, differing[0], "was stated otherwise before, and that stays")
        else:
            done.counts[Outcome.KNOWN.value] += 1
    return fresh


def _known(read: Sequence[tuple[int, Any]], kind: str) -> dict[Any, Any]:
    if kind == UpstreamStatement.Kind.DAYS:
        days = [row.day for _, row in read]
        return {_identity(one): one for one in UpstreamDay.objects.filter(day__range=(min(days), max(days)))}
    charges = UpstreamCharge.objects.filter(upstream_id__in=[row.upstream_id for _, row in read])
    return {_identity(one): one for one in charges}


def _identity(row: Any) -> Any:
    if isinstance(row, Charge | UpstreamCharge):
        return row.upstream_id
    return tuple(getattr(row, name) for name in _DAY_KEY)


def _fields(row: Any, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}
