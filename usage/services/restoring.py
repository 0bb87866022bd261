"""Bringing an archived month back into the event table, row by row as it was."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import connection, transaction

from accounts.services import record_audit
from usage.audit import EVENT_DIGEST
from usage.errors import ArchiveDamaged, ArchiveMismatch, UnknownArchive
from usage.models import UsageArchive
from usage.periods import BillingMonth
from usage.services.archiving import (
    AS_LINES,
    Progress,
    alone_with_month,
    columns_of_events,
    detach,
    partition_of,
    read_manifest,
    verify_files,
)

_READ_BYTES = 1 << 20
_STAGED = """
CREATE TEMPORARY TABLE archived_line (line json) ON COMMIT DROP;
CREATE TABLE usage_event_restored (LIKE usage_event INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
"""
_COPY_IN = f"COPY archived_line FROM STDIN {AS_LINES}"
_FILL = """
INSERT INTO usage_event_restored ({columns}) SELECT {values}
FROM archived_line CROSS JOIN LATERAL json_populate_record(NULL::usage_event, line) AS event
"""
# The bounds as a constraint spare ATTACH from reading the table while everybody waits.
_FINISH = """
ALTER TABLE usage_event_restored ADD PRIMARY KEY (customer_id, occurred_at, event_id);
ALTER TABLE usage_event_restored ADD CONSTRAINT usage_event_bounds CHECK (occurred_at >= {start} AND occurred_at < {end});
"""
_SWAP = """
INSERT INTO usage_event_restored SELECT * FROM {partition};
DROP TABLE {partition};
ALTER TABLE usage_event_restored RENAME TO {partition};
ALTER TABLE usage_event ATTACH PARTITION {partition} FOR VALUES FROM ({start}) TO ({end});
ALTER TABLE {partition} DROP CONSTRAINT usage_event_bounds;
SELECT jeongsan_never_truncate('{partition}'::regclass);
DELETE FROM usage_archived_sum WHERE archive_id = {archive};
"""


def restore_month(
    *,
    directory: Path,
    actor: str,
    clock: Callable[[], datetime],
    progress: Progress = lambda text: None,
) -> UsageArchive:
    """Bring the month back whose manifest stands in `directory`, beside what has come late since; all in one transaction.

    Raises UnknownArchive (no month is archived under this manifest), ArchiveDamaged (a file is missing or not what was
    written), ArchiveMismatch (a column of the files is not in the event table any more), ArchiveBusy, UnreadableFile.
    """
    manifest, sha256 = read_manifest(directory)
    archive = UsageArchive.objects.filter(status=UsageArchive.Status.ARCHIVED, manifest_sha256=sha256).first()
    if archive is None:
        raise UnknownArchive(f"{directory}: no month is archived here under this manifest", field="directory")
    month = BillingMonth(archive.month.year, archive.month.month)
    with alone_with_month(month):
        archive.directory = str(directory.absolute())  # the files may have been moved since
        progress(f"{month}: checking {archive.events:,} events in {len(manifest['files'])} files")
        verify_files(archive)
        columns = _known_columns(manifest)
        with transaction.atomic():
            _load(archive, manifest, columns, progress)
            _swap(archive, month)
            archive.status, archive.restored_at = UsageArchive.Status.RESTORED, clock()
            archive.save(update_fields=["status", "restored_at", "directory"])
            record_audit(
                actor=actor,
                action="restore_month",
                subject=archive,
                data={"month": str(month), "events": archive.events, "manifest_sha256": sha256},
            )
    return archive


def _known_columns(manifest: dict[str, Any]) -> list[str]:
    """The columns of the files, all of which the event table must still have; those added since get their defaults."""
    now = dict(columns_of_events())
    changed = [f"{name} {kind}" for name, kind in manifest["columns"] if now.get(name) != kind]
    if changed:
        raise ArchiveMismatch(f"the event table has no column {', '.join(changed)} any more")
    return [name for name, _ in manifest["columns"]]


def _load(archive: UsageArchive, manifest: dict[str, Any], columns: list[str], progress: Progress) -> None:
    fill = _FILL.format(columns=", ".join(columns), values=", ".join(f"event.{name}" for name in columns))
    done = 0
    with connection.cursor() as cursor:
        cursor.execute(_STAGED)
        for file in manifest["files"]:
            with gzip.open(Path(archive.directory) / file["name"], "rb") as stream, cursor.copy(_COPY_IN) as copy:
                while block := stream.read(_READ_BYTES):
                    copy.write(block)
            cursor.execute(fill)
            cursor.execute("TRUNCATE archived_line")
            done += file["events"]
            progress(f"{file['name']}: {done:,} events read")
        digest = EVENT_DIGEST.format(row="event")
        cursor.execute(f"SELECT count(*), coalesce(sum({digest}), 0) FROM usage_event_restored AS event")  # noqa: S608
        if cursor.fetchone() != (archive.events, archive.digest):
            raise ArchiveDamaged(f"{archive.directory}: the events are not those that were archived")
        cursor.execute(_FINISH.format(**_bounds(archive)))


def _swap(archive: UsageArchive, month: BillingMonth) -> None:
    """Put the table in the place of the partition that took what came late, together with that."""
    partition = partition_of(month)
    detach(partition)
    with connection.cursor() as cursor:
        cursor.execute(_SWAP.format(partition=partition, archive=archive.pk, **_bounds(archive)))


def _bounds(archive: UsageArchive) -> dict[str, str]:
    """As SQL literals; DDL takes no parameters."""
    return {"start": f"'{archive.start_at.isoformat()}'", "end": f"'{archive.end_at.isoformat()}'"}
