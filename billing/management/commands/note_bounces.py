"""manage.py note_bounces: read the mailbox that bounces go to."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.utils import timezone

from accounts.errors import InvalidInput
from accounts.management.commanding import JsonCommand
from billing.adapters.bounce_reports import split_mails
from billing.services.bouncing import note_bounces

#: A mailbox larger than this is not read in one piece; split it.
MOST_BYTES = 256 * 2**20


class Command(JsonCommand):
    help = (
        "Note on our deliveries what mail servers report about mails that could not be delivered (RFC 3464). Reading a "
        "report again adds nothing; other mails are skipped. Exit code 1 when a report is about a mail that is none of ours."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", metavar="FILE", help="an mbox or one .eml; - reads standard input")

    def run(self, file: str, **_: Any) -> dict[str, Any]:
        notes = note_bounces(mails=split_mails(_read(file)), now=timezone.now())
        return {
            "noted": notes.noted,
            "known": notes.known,
            "strangers": notes.strangers,
            "other_mails": notes.other_mails,
        }

    def show(self, answer: dict[str, Any]) -> None:
        self.stdout.write(
            f"{answer['noted']} noted, {answer['known']} known before, {len(answer['strangers'])} about mails that are "
            f"none of ours, {answer['other_mails']} other mails"
        )
        for address in answer["strangers"]:
            self.stdout.write(f"  none of ours: {address}")

    def exit_code(self, answer: dict[str, Any]) -> int:
        return 1 if answer["strangers"] else 0


def _read(file: str) -> bytes:
    try:
        if file == "-":
            data = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with Path(file).open("rb") as source:
                data = source.read(MOST_BYTES + 1)
    except OSError as error:
        raise InvalidInput(f"{file}: {error.strerror}", field="file") from None
    if len(data) > MOST_BYTES:
        raise InvalidInput(f"more than {MOST_BYTES} bytes: split the mailbox", field="file")
    return data
