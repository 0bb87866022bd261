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
from billing.errors import NotApproved
from billing.management.arguments import read_actor
from billing.management.closing import stage_text
from billing.models import BillingRun, BillingRunItem
from billing.selectors.drafts import run_in_steps
from billing.selectors.previews import month_previews
from billing.selectors.readiness import readiness
from billing.selectors.runs import findings_dicts, preview_dict, run_dict, status_dict
from billing.services.closing import close_customers, finish_run, start_run
from billing.services.run_items import BATCH_CUSTOMERS, in_batches
from billing.services.steps import approve_run, begin_steps, confirm_rates, draft_customers, request_drafts
from billing.tasks import close_customers as close_customers_task
from billing.tasks import deliver_due
from usage.periods import KST, BillingMonth

ACTOR = "command close_month"
STEPS = ("readiness", "rates", "drafts", "approve", "issue")


class Command(JsonCommand):
    help = (
        "Close a KST month: one invoice a customer, issued with its number, ledger entries, tax invoice record and mail. "
        "Customers are shared out to the Celery workers that run, and this command works along with them. Repeating it "
        "changes nothing that is closed and takes up what was parked. With --step it goes one step at a time, and what is "
        "issued was approved by a second person. Example: close_month 2026-10 --preview"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("month", help="YYYY-MM")
        parser.add_argument("--preview", action="store_true", help="compute and show, write nothing")
        parser.add_argument("--customer", metavar="SLUG", help="this customer only")
        parser.add_argument("--step", choices=STEPS, help="only this step, in this order: " + ", ".join(STEPS))
        parser.add_argument("--actor", metavar="EMAIL", help="who takes the step; needed with --step")
        parser.add_argument("--reason", default="", help="what was looked at; needed to approve")

    def run(
        self,
        month: str,
        preview: bool,
        customer: str | None,
        step: str | None,
        actor: str | None,
        reason: str,
        **_: Any,
    ) -> dict[str, Any]:
        try:
            period = BillingMonth.parse(month)
        except ValueError as error:
            raise InvalidInput(str(error), field="month") from None
        one = None if customer is None else customer_by_slug(customer)
        if preview:
            return self.preview(period, one)
        if step is not None:
            if one is not None or not actor:
                raise InvalidInput("--step: goes with --actor, and is taken for all customers", field="step")
            return self.take_step(period, step, actor=read_actor(actor), reason=reason)
        run = start_run(month=period, actor=ACTOR, now=timezone.now(), customer=one)
        self.work_off(run)
        finish_run(run=run, now=timezone.now())
        self.nudge(deliver_due.delay)
        return run_dict(run, customer=one)

    def preview(self, month: BillingMonth, one: Customer | None) -> dict[str, Any]:
        today = timezone.now().astimezone(KST).date()
        chosen = [one] if one else list(Customer.objects.order_by("slug"))
        previews = [
            preview
            for start in range(0, len(chosen), BATCH_CUSTOMERS)
            for preview in month_previews(chosen[start : start + BATCH_CUSTOMERS], month, on=today)
        ]
        return preview_dict(month, list(zip(chosen, previews, strict=True)))

    def take_step(self, month: BillingMonth, step: str, *, actor: str, reason: str) -> dict[str, Any]:
        """One step of a run in steps, and how far the run is then."""
        now = timezone.now()
        if step == "readiness":
            findings = readiness(month, on=now.astimezone(KST).date())
            return {"month": str(month), "readiness": findings_dicts(findings)}
        run = begin_steps(month=month, actor=actor, now=now) if step in {"rates", "drafts"} else run_in_steps(month)
        if step == "rates":
            confirm_rates(run=run, actor=actor, reason=reason, now=now)
        elif step == "drafts":
            items = request_drafts(run=run, actor=actor, now=now)
            drafted = 0
            for batch in in_batches(items):
                drafted += len(batch)
                draft_customers(item_ids=batch, now=now)
                self.progress(f"{run}: {drafted} of {len(items)} drafts")
        elif step == "approve":
            approve_run(run=run, actor=actor, reason=reason, now=now)
        else:
            if run.approved_at is None and run.items.filter(status=BillingRunItem.Status.PENDING).exists():
                # Everybody would be parked for it, one by one.
                raise NotApproved("the drafts of this month were not approved yet", field="month")
            self.work_off(run)
            finish_run(run=run, now=timezone.now())
            self.nudge(deliver_due.delay)
            run.refresh_from_db()
            return {**run_dict(run), "status": status_dict(run)}
        run.refresh_from_db()
        return {"month": str(month), "status": status_dict(run)}

    def work_off(self, run: BillingRun) -> None:
        """Hand every pending customer to the workers, then take whichever nobody has taken until none is left."""
        pending = run.items.filter(status=BillingRunItem.Status.PENDING).order_by("customer_id")
        total, told = pending.count(), 0
        for batch in in_batches(list(pending.values_list("pk", flat=True))):
            self.nudge(partial(close_customers_task.delay, batch, ACTOR))
        while waiting := list(pending.values_list("pk", flat=True)):
            took = 0
            for batch in in_batches(waiting):
                took += len(close_customers(item_ids=batch, actor=ACTOR, now=timezone.now()))
                closed = total - pending.count()
                if closed != told:
                    told = closed
                    self.progress(f"{run}: {closed} of {total} customers")
            if not took:
                time.sleep(0.1)  # the rest is in workers' hands; a dead worker's lock is released by the database

    def nudge(self, enqueue: Callable[[], object]) -> None:
        """Tell the workers. Without a broker the command does the work alone, so this may fail."""
        try:
            enqueue()
        except OperationalError as error:
            self.progress(f"no worker was told ({error}); going on alone")

    def show(self, answer: dict[str, Any]) -> None:
        for finding in answer.get("readiness", ()):
            sign = "stops" if finding["stops"] else "look"
            self.stdout.write(f"{sign:<6} {finding['code']} {finding['customer'] or ''}: {finding['detail']}")
        if "status" in answer:
            status = answer["status"]
            self.stdout.write(
                f"{answer['month']}: {stage_text(status)}; {status['drafted']} drafts, 합계 {status['total_krw']:,}원"
            )
            for odd in status["odd"]:
                self.stdout.write(f"look   {odd['customer']}: {', '.join(odd['anomalies'])}")
        if "invoices" not in answer:
            return
        if not (answer["invoices"] or answer["parked"] or answer["without_invoice"]):
            self.stdout.write(f"{answer['month']}: there is nobody to bill")
        for row in answer["invoices"]:
            in_dollars = "" if row["total_usd"] is None else f"  US${row['total_usd']}"
            self.stdout.write(
                f"{row['number'] or 'preview':<18}{row['customer']:<20}USD {row['cost_usd']:>14}  "
                f"공급가액 {row['supply_krw']:>13,}  부가세 {row['vat_krw']:>12,}  합계 {row['total_krw']:>13,}{in_dollars}"
            )
        for row in answer["parked"]:
            self.stdout.write(self.style.WARNING(f"parked  {row['customer']}: {row['code']}: {row['reason']}"))
        for row in answer["without_invoice"]:
            self.stdout.write(f"none    {row['customer']}: {row['outcome']}")
