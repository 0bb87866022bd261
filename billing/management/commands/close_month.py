"""manage.py close_month: bill a month, or look at what it would be."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Callable
from functools import partial
from typing import Any

from django.utils import timezone
from kombu.exceptions import OperationalError

from accounts.errors import InvalidInput
from accounts.management.commanding import JsonCommand
from accounts.models import Customer
from accounts.selectors import customer_by_slug
from billing.models import BillingRun, BillingRunItem
from billing.selectors.previews import month_preview
from billing.selectors.runs import preview_dict, run_dict
from billing.services.closing import close_customer, finish_run, start_run
from billing.tasks import close_customer as close_customer_task
from billing.tasks import deliver_due
from usage.periods import KST, BillingMonth

ACTOR = "command close_month"


class Command(JsonCommand):
    help = (
        "Close a KST month: one invoice a customer, issued with its number, ledger entries, tax invoice record and mail. "
        "Customers are shared out to the Celery workers that run, and this command works along with them. Repeating it "
        "changes nothing that is closed and takes up what was parked."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("month", help="YYYY-MM")
        parser.add_argument("--preview", action="store_true", help="compute and show, write nothing")
        parser.add_argument("--customer", metavar="SLUG", help="this customer only")

    def run(self, month: str, preview: bool, customer: str | None, **_: Any) -> dict[str, Any]:
        try:
            period = BillingMonth.parse(month)
        except ValueError as error:
            raise InvalidInput(str(error), field="month") from None
        one = customer_by_slug(customer) if customer else None
        if preview:
            return self.preview(period, one)
        run = start_run(month=period, actor=ACTOR, now=timezone.now(), customer=one)
        self.work_off(run)
        finish_run(run=run, now=timezone.now())
        self.nudge(deliver_due.delay)
        return run_dict(run, customer=one)

    def preview(self, month: BillingMonth, one: Customer | None) -> dict[str, Any]:
        today = timezone.now().astimezone(KST).date()
        chosen = [one] if one else Customer.objects.order_by("slug")
        return preview_dict(month, [(customer, month_preview(customer, month, on=today)) for customer in chosen])

    def work_off(self, run: BillingRun) -> None:
        """Hand every pending customer to the workers, then take whichever nobody has taken until none is left."""
        pending = run.items.filter(status=BillingRunItem.Status.PENDING)
        total, told = pending.count(), 0
        for item_id in pending.values_list("pk", flat=True):
            self.nudge(partial(close_customer_task.delay, item_id, ACTOR))
        while waiting := list(pending.values_list("pk", flat=True)):
            took = [close_customer(item_id=item_id, actor=ACTOR, now=timezone.now()) for item_id in waiting]
            if not any(took):
                time.sleep(0.1)  # the rest is in workers' hands; a dead worker's lock is released by the database
            closed = total - pending.count()
            if closed != told:
                told = closed
                self.progress(f"{run}: {closed} of {total} customers")

    def nudge(self, enqueue: Callable[[], object]) -> None:
        """Tell the workers. Without a broker the command does the work alone, so this may fail."""
        try:
            enqueue()
        except OperationalError as error:
            self.progress(f"no worker was told ({error}); going on alone")

    def show(self, answer: dict[str, Any]) -> None:
        for row in answer["invoices"]:
            self.stdout.write(
                f"{row['number'] or 'preview':<18}{row['customer']:<20}USD {row['cost_usd']:>14}  "
                f"공급가액 {row['supply_krw']:>13,}  부가세 {row['vat_krw']:>12,}  합계 {row['total_krw']:>13,}"
            )
        for row in answer["parked"]:
            self.stdout.write(self.style.WARNING(f"parked  {row['customer']}: {row['code']}: {row['reason']}"))
        for row in answer["without_invoice"]:
            self.stdout.write(f"none    {row['customer']}: {row['outcome']}")
