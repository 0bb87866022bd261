"""manage.py sync_catalog: apply a model listing to the catalog."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone

from accounts.errors import InvalidInput
from accounts.management.commanding import JsonCommand
from catalog.adapters import MAX_LISTING_BYTES, fetch_listing
from catalog.management.reading import read_file, require_size
from catalog.services import sync_catalog

SAMPLE = Path("samples") / "catalog.json"


class Command(JsonCommand):
    help = "Apply an OpenRouter-shaped /models listing: models, and prices from an instant on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--from", dest="source", metavar="FILE|URL|-", help=f"where the listing is (default: our own {SAMPLE})"
        )
        parser.add_argument(
            "--at", metavar="ISO8601", help="when the listing was in force, with its time zone (default: now)"
        )
        parser.add_argument(
            "--accept-shrink", action="store_true", help="accept a listing that lost more than half of the models"
        )

        parser.add_argument(
            "--approve-all", action="store_true", help="apply every price change, however large, without waiting"
        )

    def run(self, **options: Any) -> dict[str, Any]:
        now = timezone.now()
        source: str | None = options["source"]
        report = sync_catalog(
            body=_read(source),
            source="standard input" if source == "-" else source or str(SAMPLE),
            at=now if options["at"] is None else _instant(options["at"]),
            now=now,
            actor="manage.py sync_catalog",
            accept_shrink=options["accept_shrink"],
            approval_percent=None if options["approve_all"] else Decimal(settings.PRICE_CHANGE_APPROVAL_PERCENT),
        )
        return report.as_dict()

    def show(self, answer: dict[str, Any]) -> None:
        self.stdout.write(f"{answer['source']}, in force from {answer['effective_at']}")
        self.stdout.write(
            f"  {answer['listed']} models listed, {answer['variable']} of them with a variable price\n"
            f"  {answer['created']} new, {answer['returned']} returned, {answer['retired']} retired, "
            f"{answer['updated']} described anew\n"
            f"  {answer['price_changes']} prices changed, {answer['unchanged']} models unchanged"
        )
        if answer["quarantined"]:
            self.stdout.write(f"  {len(answer['quarantined'])} without a usable price, until somebody decides:")
            for row in answer["quarantined"]:
                self.stdout.write(f"    {row['model']}: {row['code']}: {row['reason']}")
        if answer["awaiting_approval"]:
            self.stdout.write(f"  {len(answer['awaiting_approval'])} prices wait for approval; the old ones stay:")
            for row in answer["awaiting_approval"]:
                self.stdout.write(f"    {row['model']}: {percent_text(row['percent'])}")
        if not answer["changed"]:
            self.stdout.write("  Nothing changed, nothing written.")


def percent_text(percent: str | None) -> str:
    """ "+25 %" for people."""
    if percent is None:
        return "no percentage"
    return f"{percent} %" if percent.startswith("-") else f"+{percent} %"


def _instant(text: str) -> datetime:
    try:
        if not text.isascii():
            raise ValueError
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"--at: not an ISO 8601 instant: {text[:60]!r}", field="at") from None
    if instant.utcoffset() is None:
        raise InvalidInput("--at: needs a time zone, such as 2026-05-12T00:00:00+09:00", field="at")
    return instant


def _read(source: str | None) -> bytes:
    """The listing's bytes, at most 64 MB of them."""
    if source is not None and source.startswith(("http://", "https://")):
        return fetch_listing(source)
    if source == "-":
        return require_size(sys.stdin.buffer.read(MAX_LISTING_BYTES + 1), field="from")
    return read_file(settings.BASE_DIR / SAMPLE if source is None else Path(source), field="from")
