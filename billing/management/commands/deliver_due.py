"""manage.py deliver_due: send the mails and tax invoices that are waiting."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.utils import timezone

from accounts.management.commanding import JsonCommand
from billing.models import Delivery
from billing.services.delivering import deliver_due

#: Rows between two lines of progress.
BATCH = 50


class Command(JsonCommand):
    help = "Deliver every row of the outbox that is due now. Any number may run at the same time, workers included."

    def run(self, **_: Any) -> dict[str, Any]:
        now = timezone.now()
        totals = {"done": 0, "retried": 0, "dead": 0}
        while True:
            report = asdict(deliver_due(now=now, limit=BATCH))
            for name, count in report.items():
                totals[name] += count
            if sum(report.values()) < BATCH:
                break
            self.progress(f"{totals['done']} delivered")
        return {**totals, "waiting": Delivery.objects.filter(status=Delivery.Status.PENDING).count()}

    def show(self, answer: dict[str, Any]) -> None:
        self.stdout.write(
            f"{answer['done']} delivered, {answer['retried']} will be tried again, {answer['dead']} given up, "
            f"{answer['waiting']} waiting in all"
        )
