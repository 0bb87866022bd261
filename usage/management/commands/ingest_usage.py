"""`manage.py ingest_usage FILE.ndjson|- [--json]`: meter events from a file or a pipe."""

from __future__ import annotations

import io
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, cast

from django.utils import timezone

from accounts.errors import InvalidInput
from accounts.management.commanding import JsonCommand
from usage.errors import UnreadableFile
from usage.services.ingesting import Status, count_by_status, ingest_events
from usage.services.reading import file_items

BATCH_EVENTS = 5_000  # bounds memory; each batch is its own transaction


class Command(JsonCommand):
    """Exit code 0: everything was accepted or stored before. 1: some events were rejected or conflicted; the others
    are stored. 2: the file could not be read (to its end); what came before is stored, and a second run is safe.
    """

    help = "Meter usage events from NDJSON or a JSON array, gzip or not. Sending the same events again is safe."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", metavar="FILE", help="the file, or - for standard input")

    def run(self, *, file: str, **options: Any) -> dict[str, Any]:
        answer: dict[str, Any] = {**count_by_status([]), "items": []}
        with _opened(file) as stream:
            try:
                self._ingest(file_items(stream), answer)
            except InvalidInput as error:
                raise UnreadableFile(f"{file}: {error.message}", field="file", stored=_counts(answer)) from None
        return answer

    def show(self, answer: dict[str, Any]) -> None:
        for item in answer["items"]:
            why = f" {item['field']}: {item['reason']}" if "reason" in item else ""
            if "quarantined" in item:
                why = f", quarantined: {item['quarantined']['detail']}"
            self.stdout.write(f"line {item['line']} ({item['id']}): {item['status']}{why}")
        self.stdout.write(", ".join(f"{count} {status}" for status, count in _counts(answer).items()))

    def exit_code(self, answer: dict[str, Any]) -> int:
        return 1 if answer[Status.REJECTED] or answer[Status.CONFLICT] else 0

    def _ingest(self, items: Iterator[tuple[int, bytes]], answer: dict[str, Any]) -> None:
        done = 0
        broken: InvalidInput | None = None
        while broken is None:
            batch, broken = _next_batch(items)
            if not batch:
                break
            results = ingest_events(lines=[raw for _, raw in batch], now=timezone.now(), actor="manage.py ingest_usage")
            for status, count in count_by_status(results).items():
                answer[status] += count
            for result in results:
                if result.status is not Status.ACCEPTED or result.quarantine_code:
                    body = result.as_dict()
                    del body["index"]
                    answer["items"].append({"line": batch[result.index][0], **body})
            done += len(batch)
            self.progress(f"{done:,} events read, {answer[Status.ACCEPTED]:,} new")
        if broken is not None:
            raise broken


def _next_batch(items: Iterator[tuple[int, bytes]]) -> tuple[list[tuple[int, bytes]], InvalidInput | None]:
    """The next events and, where the file breaks off after them, the error that says so."""
    batch: list[tuple[int, bytes]] = []
    try:
        for item in islice(items, BATCH_EVENTS):
            batch.append(item)
    except InvalidInput as error:
        return batch, error
    return batch, None


def _counts(answer: dict[str, Any]) -> dict[str, int]:
    return {name: count for name, count in answer.items() if name != "items"}


@contextmanager
def _opened(file: str) -> Iterator[io.BufferedReader]:
    if file == "-":
        yield cast(io.BufferedReader, sys.stdin.buffer)
        return
    try:
        stream = open(file, "rb")  # noqa: SIM115 - closed below; the handler must cover opening only
    except OSError as error:
        raise UnreadableFile(f"{file}: {error.strerror}", field="file") from None
    with stream:
        yield stream
