"""`manage.py replace_event CUSTOMER EVENT_ID FILE|- --reason TEXT [--json]`: let another event count instead of one."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.utils import timezone

from accounts.management.commanding import JsonCommand
from accounts.selectors import customer_by_slug
from catalog.money import decimal_text
from usage.errors import UnreadableFile
from usage.events import MAX_EVENT_BYTES
from usage.services.replacing import replace_event


class Command(JsonCommand):
    """Possible while the month that bills the event is open; afterwards a credit note corrects the invoice."""

    help = "Replace one stored event by the event in a file, whose id is the same with ~1 behind it (then ~2, ...)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("customer", metavar="CUSTOMER", help="the customer's slug")
        parser.add_argument("event_id", metavar="EVENT_ID", help="the event that shall count no longer")
        parser.add_argument("file", metavar="FILE", help="one event as JSON, as for ingest_usage; - for standard input")
        parser.add_argument("--reason", required=True, help="why; the audit trail keeps it")

    def run(self, *, customer: str, event_id: str, file: str, reason: str, **options: Any) -> dict[str, Any]:
        done = replace_event(
            customer_id=customer_by_slug(customer).pk,
            event_id=event_id,
            line=_read(file),
            reason=reason,
            actor="manage.py replace_event",
            now=timezone.now(),
        )
        return {
            "customer": customer,
            "event_id": event_id,
            "replaced_by": done.replaced_by,
            "taken_out_usd": None if done.cost_usd is None else decimal_text(done.cost_usd),
            "reason": done.reason,
        }

    def show(self, answer: dict[str, Any]) -> None:
        self.stdout.write(f"{answer['customer']} {answer['event_id']}: replaced by {answer['replaced_by']}")


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read(MAX_EVENT_BYTES + 1)
    try:
        with Path(file).open("rb") as stream:
            return stream.read(MAX_EVENT_BYTES + 1)
    except OSError as error:
        raise UnreadableFile(f"{file}: {error.strerror}", field="file") from None
