"""Writing a closed month's events to files and taking them out of the event table.

The files are gzip NDJSON, a line an event with every column of its row; `manifest.json` beside them names each file with
its hash. One snapshot is written, read back, and only then does the month's partition go, in one transaction that proves
under lock that it holds nothing else. Killed anywhere and run again, it goes on or begins anew; events are lost nowhere.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from django.db import OperationalError, connection, transaction

from accounts.services import record_audit
from usage.audit import EVENT_DIGEST, recount_query
from usage.errors import ArchiveBusy, ArchiveDamaged, MonthNotArchivable, UnreadableFile
from usage.models import UsageArchive, UsageRollup
from usage.periods import BillingMonth

FORMAT = "jeongsan.usage-archive/1"
MANIFEST = "manifest.json"
#: Events of one file.
FILE_EVENTS = 1_000_000
#: Waiting for everybody who reads or writes events right now, as often as this, so that nobody queues behind us for long.
LOCK_ATTEMPTS, LOCK_TIMEOUT = 60, "2s"
_COMPRESSION = 4
_READ_BYTES = 1 << 20
#: First key of the two-part advisory locks that mean "the archive of month <second key, 202601>".
_ARCHIVE_OF_MONTH = 3
_ROUNDS = 3

# Text of JSON has no control character, so no line is ever quoted and what COPY sends is NDJSON as it is.
AS_LINES = r"(FORMAT csv, QUOTE E'\x01', DELIMITER E'\x02')"
_COPY_OUT = f"COPY (SELECT to_json(event) FROM {{partition}} AS event) TO STDOUT {AS_LINES}"  # noqa: S608 - a name of ours
_CUSTOMERS = """
SELECT event.customer_id, customer.slug, count(*) FROM {partition} AS event
JOIN accounts_customer AS customer ON customer.id = event.customer_id GROUP BY 1, 2 ORDER BY 1
"""
_SUMS = f"""
SELECT customer_id, {", ".join(f"sum({name})" for name in UsageRollup.SUMS)} FROM usage_archived_sum
WHERE archive_id = %s GROUP BY 1
"""  # noqa: S608 - made of constants
_COUNTS = """
SELECT count(*), count(*) FILTER (WHERE price_id IS NULL), coalesce(sum({digest}), 0),
       count(*) FILTER (WHERE EXISTS (SELECT FROM usage_withdrawnevent AS withdrawn
           WHERE withdrawn.customer_id = event.customer_id AND withdrawn.event_id = event.event_id))
FROM {partition} AS event
"""
_OPEN_MONTHS = """
SELECT customer.slug, to_char(used.billing_month, 'YYYY-MM') FROM (
    SELECT DISTINCT customer_id, billing_month FROM {partition}) AS used
JOIN accounts_customer AS customer ON customer.id = used.customer_id
LEFT JOIN usage_billingperiod AS period ON period.customer_id = used.customer_id AND period.month = used.billing_month
WHERE period.status IS DISTINCT FROM 'closed' ORDER BY 2, 1
"""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class ArchivedFile:
    """One file of an archive; the hashes are SHA-256 of its bytes and of what they unpack to."""

    name: str
    events: int
    size_bytes: int
    sha256: str
    content_sha256: str


def archive_month(
    *,
    month: BillingMonth,
    directory: Path,
    actor: str,
    clock: Callable[[], datetime],
    progress: Progress = lambda text: None,
) -> UsageArchive:
    """Move a month's events into files in a new directory under `directory`; the archive, which names it.

    Raises MonthNotArchivable (not ended, no events, archived already, or somebody's month that bills them is open),
    ArchiveBusy (another process is at it, or the event table is never free), UnreadableFile (the files can't be written),
    ArchiveDamaged (what was written can't be read back). Runs in no transaction of the caller's.
    """
    with alone_with_month(month):
        archive = _begin(month, directory, actor, clock())
        for _ in range(_ROUNDS):
            if archive.status == UsageArchive.Status.WRITING:
                progress(f"{month}: writing to {archive.directory}")
                _write(archive, progress)
            progress(f"{month}: reading {archive.events:,} events back")
            verify_files(archive)
            if _take_out(archive, month, clock()):
                return archive
            progress(f"{month}: events have come meanwhile, writing again")
            _begin_again(archive)
    raise ArchiveBusy(f"events of {month} keep coming; try again later", field="month")


def partition_of(month: BillingMonth) -> str:
    """The table of a month's events."""
    return f"usage_event_{month.year:04d}_{month.month:02d}"


def read_manifest(directory: Path) -> tuple[dict[str, Any], str]:
    """The manifest in a directory, and its SHA-256. Raises UnreadableFile, ArchiveDamaged."""
    path = directory / MANIFEST
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnreadableFile(f"{path}: {error.strerror}", field="directory") from None
    try:
        manifest = json.loads(content)
        known = manifest["format"] == FORMAT
    except (ValueError, KeyError, TypeError):
        known = False
    if not known:
        raise ArchiveDamaged(f"{path} is no manifest of {FORMAT}")
    return manifest, hashlib.sha256(content).hexdigest()


def verify_files(archive: UsageArchive) -> None:
    """Read every file to its end and hold it against the manifest, and that against the archive. Raises ArchiveDamaged."""
    directory = Path(archive.directory)
    manifest, sha256 = read_manifest(directory)
    if sha256 != archive.manifest_sha256:
        raise ArchiveDamaged(f"{directory / MANIFEST} is not the manifest that was written for {archive}")
    for stated in manifest["files"]:
        path = directory / stated["name"]
        try:
            found = _read_back(path)
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise ArchiveDamaged(f"{path} can't be read: {error}") from None
        if asdict(found) != stated:
            raise ArchiveDamaged(f"{path} is not what was written")


@contextmanager
def alone_with_month(month: BillingMonth) -> Iterator[None]:
    """While this lasts no other process archives or restores the month; ends with the connection at the latest."""
    key = [_ARCHIVE_OF_MONTH, month.year * 100 + month.month]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", key)
        if not cursor.fetchone()[0]:
            raise ArchiveBusy(f"another process archives or restores {month}", field="month")
    try:
        yield
    finally:
        if connection.connection is not None and not connection.connection.closed:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", key)


@transaction.atomic
def _begin(month: BillingMonth, directory: Path, actor: str, now: datetime) -> UsageArchive:
    """The archive that is under way for the month, or a new one."""
    archive = UsageArchive.objects.filter(month=month.first_on).exclude(status=UsageArchive.Status.RESTORED).first()
    if archive is not None and archive.status == UsageArchive.Status.ARCHIVED:
        raise MonthNotArchivable(
            f"{month} was archived before, to {archive.directory}: restore it first", field="month"
        )
    _require_closed(month, now)
    if archive is None:
        archive = UsageArchive.objects.create(
            month=month.first_on, start_at=month.start_at, end_at=month.end_at, started_at=now, actor=actor
        )
        archive.directory = str(directory.absolute() / f"usage-{month}-{archive.pk}")
        archive.save(update_fields=["directory"])
    return archive


def _require_closed(month: BillingMonth, now: datetime) -> None:
    if now < month.end_at:
        raise MonthNotArchivable(f"{month} has not ended", field="month")
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", [partition_of(month)])
        if cursor.fetchone() == (None,):
            raise MonthNotArchivable(f"there are no events of {month}", field="month")
        cursor.execute(f"SELECT EXISTS (SELECT FROM {partition_of(month)})")  # noqa: S608 - a name of ours
        if cursor.fetchone() == (False,):
            raise MonthNotArchivable(f"there are no events of {month}", field="month")
        # Open quarantine blocks the close, so events of closed months are all decided.
        cursor.execute(_OPEN_MONTHS.format(partition=partition_of(month)))
        waiting = [f"{slug} {billed_in}" for slug, billed_in in cursor]
    if waiting:
        raise MonthNotArchivable(
            f"events of {month} are billed in months that are not closed: {', '.join(waiting[:5])}"
            + (f" and {len(waiting) - 5} more" if len(waiting) > 5 else ""),
            field="month",
            open=waiting[:100],
        )


def _write(archive: UsageArchive, progress: Progress) -> None:
    """Write files, manifest and sums of one snapshot; afterwards the archive is `written`."""
    month = BillingMonth(archive.month.year, archive.month.month)
    partition = partition_of(month)
    directory = Path(archive.directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnreadableFile(f"{directory}: {error.strerror}", field="directory") from None
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("SET LOCAL TIME ZONE 'UTC'")
            _keep_sums(archive)
            cursor.execute(_COUNTS.format(partition=partition, digest=EVENT_DIGEST.format(row="event")))
            archive.events, archive.unpriced_events, archive.digest, archive.withdrawn_events = cursor.fetchone()
        customers = _customers(archive, partition)
        try:
            files = list(_write_files(partition, directory, progress))
            manifest = {
                "format": FORMAT,
                "month": str(month),
                "events": archive.events,
                "digest": str(archive.digest),
                "columns": columns_of_events(),
                "files": [asdict(file) for file in files],
                "customers": customers,
            }
            content = json.dumps(manifest, ensure_ascii=False, indent=1).encode() + b"\n"
            _write_durably(directory / MANIFEST, lambda stream: stream.write(content))
            _sync_directory(directory)
        except OSError as error:
            raise UnreadableFile(f"{directory}: {error.strerror}", field="directory") from None
        if sum(file.events for file in files) != archive.events:
            raise ArchiveDamaged(f"{directory}: not every event was written")
        archive.manifest, archive.manifest_sha256 = manifest, hashlib.sha256(content).hexdigest()
        archive.status = UsageArchive.Status.WRITTEN
        archive.save()


def columns_of_events() -> list[list[str]]:
    """Name and type of each column of the event table as it is now: the version of what the files hold."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = 'usage_event'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        )
        return [[name, kind] for name, kind in cursor.fetchall()]


def _keep_sums(archive: UsageArchive) -> None:
    key = ", ".join((*UsageRollup.KEY, *UsageRollup.SUMS))
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM usage_archived_sum WHERE archive_id = %s", [archive.pk])
        cursor.execute(
            f"INSERT INTO usage_archived_sum (archive_id, {key}) "  # noqa: S608 - made of constants
            f"SELECT %(archive)s, found.* FROM ({recount_query(UsageRollup, between=True)}) AS found",
            {"archive": archive.pk, "start_at": archive.start_at, "end_at": archive.end_at},
        )


def _customers(archive: UsageArchive, partition: str) -> dict[str, Any]:
    """By customer's primary key: its name, how many events of it there are, and the sums of those that count."""
    with connection.cursor() as cursor:
        cursor.execute(_SUMS, [archive.pk])
        sums = {
            pk: {name: str(value) for name, value in zip(UsageRollup.SUMS, rest, strict=True)} for pk, *rest in cursor
        }
        cursor.execute(_CUSTOMERS.format(partition=partition))
        return {
            str(pk): {"slug": slug, "events": events, "sums": sums.get(pk, {})}
            for pk, slug, events in cursor.fetchall()
        }


def _write_files(partition: str, directory: Path, progress: Progress) -> Iterator[ArchivedFile]:
    with connection.cursor() as cursor, cursor.copy(_COPY_OUT.format(partition=partition)) as copy:
        lines = iter(copy)
        line = next(lines, None)
        number = done = 0
        while line is not None:
            number += 1
            path = directory / f"events-{number:04d}.ndjson.gz"
            content = hashlib.sha256()
            count = 0

            def write(stream: BinaryIO, content: Any = content) -> None:
                nonlocal line, count
                with gzip.GzipFile(
                    filename="", mode="wb", compresslevel=_COMPRESSION, fileobj=stream, mtime=0
                ) as packed:
                    while line is not None and count < FILE_EVENTS:
                        packed.write(line)
                        content.update(line)
                        count += 1
                        line = next(lines, None)

            _write_durably(path, write)
            done += count
            progress(f"{path.name}: {done:,} events written")
            yield ArchivedFile(path.name, count, path.stat().st_size, _hash_of(path), content.hexdigest())


def _write_durably(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """The file is there whole or not at all, also after the power went."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as stream:
        write(stream)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _hash_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read_back(path: Path) -> ArchivedFile:
    content = hashlib.sha256()
    events = 0
    with gzip.open(path, "rb") as stream:
        while block := stream.read(_READ_BYTES):
            content.update(block)
            events += block.count(b"\n")
    return ArchivedFile(path.name, events, path.stat().st_size, _hash_of(path), content.hexdigest())


def _take_out(archive: UsageArchive, month: BillingMonth, now: datetime) -> bool:
    """Drop the partition and make an empty one for what may still come late; False if it holds more than was written."""
    partition = partition_of(month)
    with transaction.atomic():
        detach(partition)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {partition}")  # noqa: S608 - a name of ours
            if cursor.fetchone()[0] != archive.events:
                transaction.set_rollback(True)
                return False
            cursor.execute(f"DROP TABLE {partition}")
            cursor.execute("SELECT usage_ensure_partition(%s)", [month.first_on])
        archive.status, archive.archived_at = UsageArchive.Status.ARCHIVED, now
        archive.save(update_fields=["status", "archived_at"])
        record_audit(
            actor=archive.actor,
            action="archive_month",
            subject=archive,
            data={"month": str(month), "events": archive.events, "manifest_sha256": archive.manifest_sha256},
        )
    return True


def _begin_again(archive: UsageArchive) -> None:
    archive.status = UsageArchive.Status.WRITING
    archive.save(update_fields=["status"])


def detach(partition: str) -> None:
    """Take a partition out of the event table, inside the caller's transaction, which then holds both tables alone.

    Raises ArchiveBusy when somebody has read or written events without a pause for minutes.
    """
    for attempt in range(1, LOCK_ATTEMPTS + 1):
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
                cursor.execute(f"ALTER TABLE usage_event DETACH PARTITION {partition}")
                cursor.execute("SET LOCAL lock_timeout = DEFAULT")
                return
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", None) != "55P03":  # lock not available
                raise
            if attempt == LOCK_ATTEMPTS:
                raise ArchiveBusy("the event table is in use without a pause; try again later") from None
            time.sleep(1)
