"""Metering days of which nobody sent events, from an upstream's daily sums; and taking the estimates back when events come.

An estimate is made only where the customer has no event of that UTC day and model. When real ones arrive later, its events
are withdrawn: `withdraw_estimates` runs by beat and at the start of every close, so an estimate and the real events are
never on one invoice. Where the estimate was invoiced before, only a credit note corrects it: `overlapping_estimates`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum

from django.db import transaction

from accounts.models import Customer
from accounts.services import record_audit
from catalog.selectors import Catalog
from usage.errors import AlreadyResolved, EventsArchived, MonthClosed, UnreadableFile
from usage.events import EventRefused
from usage.models import ActivityEstimate
from usage.periods import BillingMonth
from usage.selectors.archives import require_events
from usage.selectors.estimates import days_with_events, withdrawable_estimates
from usage.services.ingesting import MAX_BATCH_EVENTS, ItemResult, Status, ingest_events
from usage.services.locking import hold_customer
from usage.services.partitions import ensure_partitions
from usage.services.rating import current_catalog
from usage.services.replacing import exclude_priced_event
from usage.sources.activity import (
    ActivityRow,
    EstimatedPart,
    PartsOf,
    part_id,
    part_line,
    parts_needed,
    read_activity,
    split_row,
)
from usage.sources.rows import Row, TableRefused

#: Rows of one file: a month of thirty models at three endpoints is 2,700.
MAX_ROWS = 20_000
WITHDRAWN_BECAUSE = "real events of its day and model arrived"


class Outcome(StrEnum):
    """What becomes of a row."""

    ESTIMATED = "estimated"
    KNOWN = "known"  # metered from the same row before; nothing changes
    COVERED = "covered"  # the customer has events of that day and model
    CONFLICT = "conflict"  # the same row was metered before with other figures
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class RowResult:
    """The answer for one row. `number` is the line or item in the file, `events` how many stand for it."""

    number: int
    outcome: Outcome
    row: ActivityRow | None = None
    events: int = 0
    field: str = ""
    reason: str = ""


@dataclass(frozen=True)
class _Planned:
    """A row that is to be metered, with its events."""

    number: int
    row: ActivityRow
    model_pk: int | None
    parts: list[EstimatedPart]

    def lines(self, customer: Customer) -> list[bytes]:
        return [
            part_line(self.row, part, event_id=part_id(self.row, position), customer=customer.slug)
            for position, part in enumerate(self.parts)
        ]


def import_activity(
    *, rows: Iterable[Row], customer: Customer, source: str, actor: str, now: datetime, is_preview: bool = False
) -> list[RowResult]:
    """Meter daily sums for a customer, all rows in one transaction; one answer a row, in order.

    With `is_preview` the answers say what would happen, and nothing is written. Raises UnreadableFile for a file that is
    no table, or has too many rows.
    """
    results, read = _read(rows, now)
    months = {BillingMonth.of(at) for row in read.values() for at in (row.start_at, row.end_at)}
    if not is_preview:
        ensure_partitions(months)
    with transaction.atomic():
        if not is_preview:
            hold_customer(customer.pk)  # no event slips in between looking and metering
        planned = _plan(read, customer, results)
        if is_preview:
            for one in planned:
                results[one.number] = RowResult(one.number, Outcome.ESTIMATED, one.row, len(one.parts))
        else:
            _meter(planned, customer, source, actor, now, results)
            record_audit(
                actor=actor,
                action="import_activity",
                subject=customer,
                data={"source": source, **count_outcomes(results.values())},
            )
    return [results[number] for number in sorted(results)]


def count_outcomes(results: Iterable[RowResult]) -> dict[str, int]:
    """How many rows had each outcome, and how many events they became."""
    counts = dict.fromkeys([*(outcome.value for outcome in Outcome), "events"], 0)
    for result in results:
        counts[result.outcome.value] += 1
        counts["events"] += result.events
    return counts


def withdraw_estimates(
    *, actor: str, now: datetime, customers: Collection[Customer] | None = None
) -> list[ActivityEstimate]:
    """Take back the estimates (of these customers, or of all) beside which real events have arrived, where the month that
    bills them is open.

    Returns those that were taken back. Each is its own transaction unless the caller has one.
    """
    found = []
    ids = None if customers is None else [customer.pk for customer in customers]
    for pk in withdrawable_estimates(ids):
        with transaction.atomic():
            estimate = ActivityEstimate.objects.get(pk=pk)
            hold_customer(estimate.customer_id)
            if ActivityEstimate.objects.select_for_update().get(pk=pk).withdrawn_at is not None:
                continue
            kept = [one for one in estimate.event_ids if not _is_taken_back(estimate, one, actor, now)]
            if not kept:
                estimate.withdrawn_at = now
                estimate.save(update_fields=["withdrawn_at"])
                found.append(estimate)
    return found


def _is_taken_back(estimate: ActivityEstimate, event_id: str, actor: str, now: datetime) -> bool:
    """Take one of its events back; False where a closed month carries it, as on the border of two months."""
    try:
        exclude_priced_event(
            customer_id=estimate.customer_id, event_id=event_id, reason=WITHDRAWN_BECAUSE, actor=actor, now=now
        )
    except AlreadyResolved:  # somebody excluded or replaced it by hand: it does not count either way
        return True
    except MonthClosed:
        return False
    return True


def _read(rows: Iterable[Row], now: datetime) -> tuple[dict[int, RowResult], dict[int, ActivityRow]]:
    """Answers for what can't be read, and the rows that can, by number. A row that stands twice is refused once."""
    results: dict[int, RowResult] = {}
    read: dict[int, ActivityRow] = {}
    seen: set[tuple[date, str, str, str]] = set()
    try:
        for number, fields in rows:
            if len(results) + len(read) >= MAX_ROWS:
                raise UnreadableFile(f"one file has at most {MAX_ROWS} rows", field="file")
            try:
                if isinstance(fields, EventRefused):
                    raise fields
                row = read_activity(fields)
                if row.end_at > now:
                    raise EventRefused("date", "has not ended yet in UTC")
                if row.key in seen:
                    raise EventRefused("date", "stands in the file before, with the same model and endpoint")
            except EventRefused as refused:
                results[number] = RowResult(number, Outcome.REJECTED, field=refused.field, reason=refused.reason)
            else:
                seen.add(row.key)
                read[number] = row
    except TableRefused as refused:
        raise UnreadableFile(str(refused), field="file") from None
    return results, read


def _plan(read: dict[int, ActivityRow], customer: Customer, results: dict[int, RowResult]) -> list[_Planned]:
    """What is to be metered; rows that are not get their answers."""
    if not read:
        return []
    catalog = current_catalog()
    days = [row.day for row in read.values()]
    known = {
        (one.day, one.permaslug, one.provider_name, one.endpoint_id): one
        for one in ActivityEstimate.objects.filter(customer=customer, day__range=(min(days), max(days)))
    }
    covered = days_with_events(customer, min(days), max(days))
    archived = _archived_days(customer, set(days))
    planned = []
    for number, row in read.items():
        before = known.get(row.key)
        if before is not None:
            results[number] = _answer_known(number, row, before)
            continue
        if row.day in archived:
            reason = "lies in an archived month: bring its events back first"
            results[number] = RowResult(number, Outcome.REJECTED, row, field="date", reason=reason)
            continue
        priced = catalog.lookup(row.permaslug, at=row.start_at) or catalog.lookup(row.model_name, at=row.start_at)
        model_pk = None if priced is None else priced.model_pk
        if covered.has(row.day, model_pk, (row.permaslug, row.model_name)):
            results[number] = RowResult(
                number, Outcome.COVERED, row, reason="the customer has events of that day and model"
            )
            continue
        parts = split_row(row, _parts_of(catalog, row))
        if len(parts) > MAX_BATCH_EVENTS:
            reason = f"would be {len(parts)} events, because the model is priced by the request"
            results[number] = RowResult(number, Outcome.REJECTED, row, field="requests", reason=reason)
            continue
        planned.append(_Planned(number, row, model_pk, parts))
    return planned


def _archived_days(customer: Customer, days: set[date]) -> set[date]:
    """Days of which nobody can say whether the customer has events, because they stand in files."""
    archived = set()
    for day in days:
        start_at = datetime.combine(day, time(), UTC)
        try:
            require_events(customer, start_at=start_at, end_at=start_at + timedelta(days=1))
        except EventsArchived:
            archived.add(day)
    return archived


def _answer_known(number: int, row: ActivityRow, before: ActivityEstimate) -> RowResult:
    if all(getattr(before, name) == getattr(row, name) for name in ActivityEstimate.FIGURES):
        return RowResult(number, Outcome.KNOWN, row)
    differing = [name for name in ActivityEstimate.FIGURES if getattr(before, name) != getattr(row, name)]
    reason = f"was metered before with another value, from {before.source}"
    return RowResult(number, Outcome.CONFLICT, row, field=differing[0], reason=reason)


def _parts_of(catalog: Catalog, row: ActivityRow) -> PartsOf:
    """Into how many events a share of the row is cut, by the price in force in its middle."""

    def count(at: datetime, prompt_tokens: int, requests: int) -> int:
        priced = catalog.lookup(row.permaslug, at=at) or catalog.lookup(row.model_name, at=at)
        if priced is None or priced.sheet is None:
            return 1
        sheet = priced.sheet
        return parts_needed(
            prompt_tokens,
            requests,
            thresholds={one.min_prompt_tokens for one in sheet.overrides if one.min_prompt_tokens},
            is_priced_by_request=bool(sheet.prices.get("request")),
        )

    return count


def _meter(
    planned: Sequence[_Planned],
    customer: Customer,
    source: str,
    actor: str,
    now: datetime,
    results: dict[int, RowResult],
) -> None:
    estimates = []
    for one in planned:
        lines = one.lines(customer)
        refused = _refused(ingest_events(lines=lines, now=now, actor=actor))
        if refused is not None:
            # Nothing half: the whole import is undone, because a part of a row may be stored by now.
            raise UnreadableFile(
                f"row {one.number} was not taken as an event: {refused.field}: {refused.reason}", field="file"
            )
        results[one.number] = RowResult(one.number, Outcome.ESTIMATED, one.row, len(lines))
        estimates.append(
            ActivityEstimate(
                customer=customer,
                **{name: getattr(one.row, name) for name in (*ActivityEstimate.KEY, *ActivityEstimate.FIGURES)},
                model_name=one.row.model_name,
                model_id=one.model_pk,
                event_ids=[part_id(one.row, position) for position in range(len(lines))],
                source=source,
                created_at=now,
                created_by=actor,
            )
        )
    ActivityEstimate.objects.bulk_create(estimates)


def _refused(answers: Iterable[ItemResult]) -> ItemResult | None:
    return next((answer for answer in answers if answer.status is not Status.ACCEPTED), None)
