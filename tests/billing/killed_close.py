"""Closes October in batches of three and kills itself with -9 just before or just after its n-th commit.

Run by `test_close_batches` as a process: `python -m tests.billing.killed_close NUMBER before|after`.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

BATCH = 3


def main() -> None:
    """Close the month; end early at the commit that the command line names."""
    number, moment = int(sys.argv[1]), sys.argv[2]
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    import django

    django.setup()
    from django.db import connection

    from billing.services.closing import close_customers, finish_run, start_run
    from tests.billing.month import NOW, OCTOBER

    commit, commits = connection._commit, 0

    def counted(*arguments: Any) -> None:
        nonlocal commits
        commits += 1
        if commits == number and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        commit(*arguments)
        if commits == number:
            os.kill(os.getpid(), signal.SIGKILL)

    connection._commit = counted
    run = start_run(month=OCTOBER, actor="killed", now=NOW)
    waiting = list(run.items.filter(status="pending").order_by("customer_id").values_list("pk", flat=True))
    for start in range(0, len(waiting), BATCH):
        close_customers(item_ids=waiting[start : start + BATCH], actor="killed", now=NOW)
    finish_run(run=run, now=NOW)


if __name__ == "__main__":
    main()
