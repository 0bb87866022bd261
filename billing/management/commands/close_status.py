"""manage.py close_status: how far the closing of a month is, and what it waits for."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from accounts.errors import InvalidInput
from accounts.management.commanding import JsonCommand
from billing.management.closing import stage_text
from billing.models import BillingRun
from billing.selectors.readiness import older_months_left, readiness
from billing.selectors.runs import findings_dicts, status_dict
from usage.periods import KST, BillingMonth

#: More names would hide the month.
SHOWN_CUSTOMERS = 5


class Command(JsonCommand):
    help = (
        "Show how far the closing of a KST month is: what is missing, the step it waits for, drafts, mails, and usage of "
        "earlier months that nobody closed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("month", help="YYYY-MM")

    def run(self, month: str, **_: Any) -> dict[str, Any]:
        try:
            period = BillingMonth.parse(month)
        except ValueError as error:
            raise InvalidInput(str(error), field="month") from None
        run = BillingRun.objects.filter(month=period.first_on).first()
        findings = readiness(period, on=timezone.now().astimezone(KST).date())
        return {
            "month": str(period),
            "run": None if run is None else status_dict(run),
            "readiness": findings_dicts(findings),
            "older_months": [
                {"month": str(one.month), "customers": list(one.customers), "requests": one.requests}
                for one in older_months_left(period)
            ],
        }

    def show(self, answer: dict[str, Any]) -> None:
        run = answer["run"]
        if run is None:
            self.stdout.write(f"{answer['month']}: nobody began to close it")
        else:
            counts = ", ".join(f"{count} {status}" for status, count in run["customers"].items())
            waits = "" if run["stage"] == "done" else "waits for "
            self.stdout.write(f"{answer['month']}: {waits}{stage_text(run)}")
            self.stdout.write(f"  customers  {counts}, {run['drafted']} drafted")
            won = f"공급가액 {run['supply_krw']:,}  부가세 {run['vat_krw']:,}  합계 {run['total_krw']:,}"
            self.stdout.write(f"  drafts     {won}")
            for name in ("anomalies", "deliveries"):
                listed = ", ".join(f"{count} {what}" for what, count in run[name].items())
                self.stdout.write(f"  {name:<11}{listed or 'none'}")
        for finding in answer["readiness"]:
            sign = "stops" if finding["stops"] else "look"
            self.stdout.write(f"  {sign:<6} {finding['code']} {finding['customer'] or ''}: {finding['detail']}")
        for older in answer["older_months"]:
            who = ", ".join(older["customers"][:SHOWN_CUSTOMERS])
            more = len(older["customers"]) - SHOWN_CUSTOMERS
            names = f"{who} and {more} more" if more > 0 else who
            self.stdout.write(f"  open   {older['month']} was never closed for {names}: {older['requests']:,} requests")
