"""`manage.py exclude_event CUSTOMER EVENT_ID --reason TEXT [--json]`: decide that a quarantined event is never billed."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from accounts.management.commanding import JsonCommand
from accounts.selectors import customer_by_slug
from usage.selectors import quarantined_event
from usage.services.quarantine import exclude_quarantined


class Command(JsonCommand):
    help = "Exclude one quarantined event from billing for good, with a reason."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("customer", metavar="CUSTOMER", help="the customer's slug")
        parser.add_argument("event_id", metavar="EVENT_ID")
        parser.add_argument("--reason", required=True)

    def run(self, *, customer: str, event_id: str, reason: str, **options: Any) -> dict[str, Any]:
        event = quarantined_event(customer_by_slug(customer), event_id)
        held = exclude_quarantined(event=event, actor="manage.py exclude_event", reason=reason, now=timezone.now())
        return {"customer": customer, "event_id": held.event_id, "status": held.status, "reason": held.resolution}

    def show(self, answer: dict[str, Any]) -> None:
        self.stdout.write(f"{answer['event_id']} of {answer['customer']} is never billed: {answer['reason']}")
