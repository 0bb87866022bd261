"""`make demo`: a whole month, from recorded usage to invoice PDF, e-mail and tax invoice record; then the site.

Everything it makes lies under `var/`. A second run finds it all there and changes nothing.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from config import env
from config.processes import ProcessError, Supervisor, check_port
from config.serve import ground, port_number, run, serve, start_worker

FREE_BYTES_NEEDED = 300 * 1024 * 1024


def main() -> int:
    """Do the month and, unless told otherwise, serve the site until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--no-serve", action="store_true", help="stop after the summary")
    arguments = parser.parse_args()

    def work() -> None:
        port = port_number()
        var = env.var_dir()
        if not arguments.no_serve:
            check_port(port, "make demo")
        _check_disk(var)
        with ground(var) as processes:
            lines = _month(processes, var / "demo", port=None if arguments.no_serve else port)
            if arguments.no_serve:
                print("\nmake run serves the site on this data; make stop ends a PostgreSQL that is left running.")
            else:
                serve(processes, port, lines=lines)

    return run(work)


def _month(processes: Supervisor, folder: Path, *, port: int | None) -> list[str]:
    """The month's steps, told one by one; returns what to try on the site, which will be on `port` (None: nowhere)."""
    from django.utils import timezone

    from config import demo_gateway, demo_steps
    from usage.periods import BillingMonth

    started = time.monotonic()

    def say(text: str) -> None:
        print(f"  {time.monotonic() - started:5.1f} s  {text}", flush=True)

    now = timezone.now()
    month = BillingMonth.of(now).previous()
    print(f"Jeongsan: the month {month}, from usage to tax invoice", flush=True)
    start_worker(processes)
    customers = demo_steps.load_samples(say, now=now, month=month)
    access = demo_steps.grant_access(folder, customers)
    demo_steps.meter(say, customers, month=month, now=now)
    answer = demo_steps.close(month)
    say(f"{month} closed: {len(answer['invoices'])} invoices, {len(answer['parked'])} customers parked")
    demo_steps.deliver(say, clock=timezone.now)
    demo_gateway.start_upstream(processes, folder)
    if port is None:
        demo_gateway.call_for_real(processes, say, key=_first_key(access))
    books = demo_steps.check()
    say(f"check_books: {'the books hold' if books['ok'] else 'THE BOOKS DO NOT HOLD'}")
    summary = demo_steps.export(folder, month=month, now=timezone.now())
    _show(summary, answer["parked"], folder)
    if not books["ok"]:
        raise ProcessError("check_books found violations: run .venv/bin/python manage.py check_books to see them.")
    return [] if port is None else [*_what_to_try(access), *demo_gateway.first_call(port, _first_key(access))]


def _first_key(access: dict[str, Any]) -> str:
    """The key of the first sample customer."""
    return str(next(iter(access["keys"].values())))


def _show(summary: dict[str, Any], parked: list[dict[str, Any]], folder: Path) -> None:
    print(f"\n{'number':<17}{'customer':<13}{'USD':>16}{'supply':>13}{'VAT':>11}{'total':>13}  tax invoice")
    for row in summary["invoices"]:
        print(
            f"{row['number']:<17}{row['customer']:<13}{row['cost_usd']:>16}{row['supply_krw']:>13,}{row['vat_krw']:>11,}"
            f"{row['total_krw']:>13,}  {row['tax_invoice']['status']} {row['tax_invoice']['approval_no']}"
        )
    for row in parked:
        print(f"parked: {row['customer']}: {row['reason']}")
    print(f"\nPDFs, mails (.eml), tax invoice records and summary.json: {folder}")


def _what_to_try(access: dict[str, Any]) -> list[str]:
    return [
        f"  operators  /admin/  {access['operator']}",
        *(f"  customer   /        {email}" for email in access["users"].values()),
        f"  password of all of them: {access['password']}",
        f"  ingest key for POST /billing/v1/usage/events: {access['keys']['ingest']}",
    ]


def _check_disk(var: Path) -> None:
    place = next(parent for parent in (var, *var.parents) if parent.exists())
    if shutil.disk_usage(place).free < FREE_BYTES_NEEDED:
        raise ProcessError(
            f"{place} has less than {FREE_BYTES_NEEDED // 1024**2} MB free: make room, or set JEONGSAN_VAR to another disk."
        )


if __name__ == "__main__":
    sys.exit(main())
