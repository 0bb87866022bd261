"""`manage.py exclude_event CUSTOMER EVENT_ID --reason TEXT [--json]`: decide that an event is never billed."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from accounts.management.commanding import JsonCommand
from accounts.selectors import customer_by_slug
from usage.models import QuarantinedEvent
from usage.services.quarantine import exclude_quarantined
from usage.services.replacing import exclude_priced_event

ACTOR = "manage.py exclude_event"


class Command(JsonCommand):
    """An event that waits for its price is decided whenever; a priced one only while the month that bills it is open."""

    help = "Exclude one event from billing for good, with a reason."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("customer", metavar="CUSTOMER", help="the customer's slug")
        parser.add_argument("event_id", metavar="EVENT_ID", help="the event that shall not be billed")
        parser.add_argument("--reason", required=True, help="why; the audit trail keeps it")

    def run(self, *, customer: str, event_id: str, reason: str, **options: Any) -> dict[str, Any]:
        owner, now = customer_by_slug(customer), timezone.now()
        held = QuarantinedEvent.objects.filter(customer=owner, event_id=event_id).first()
        if held is None or held.status == QuarantinedEvent.Status.RATED:
            done = exclude_priced_event(customer_id=owner.pk, event_id=event_id, reason=reason, actor=ACTOR, now=now)
            reason = done.reason
        else:
            reason = exclude_quarantined(event=held, actor=ACTOR, reason=reason, now=now).resolution
        return {"customer": customer, "event_id": event_id, "status": "excluded", "reason": reason}

    def show(self, answer: dict[str, Any]) -> None:
        self.stdout.write(f"{answer['customer']} {answer['event_id']}: {answer['status']}, {answer['reason']}")
