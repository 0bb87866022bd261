"""A process that closes customers beside others. Apart from the benchmark: Django has to be set up before models load."""

from __future__ import annotations

from datetime import datetime
from multiprocessing import Queue
from multiprocessing.synchronize import Barrier

from tests.bench.database import set_up


def close_batches(ready: Barrier, batches: Queue[list[int] | None], now: datetime) -> None:
    """Close batch after batch as a worker of the queue does, until there is an end."""
    set_up()
    from billing.models import BillingRunItem
    from billing.selectors.deadlines import tax_invoice_dates
    from billing.services.closing import close_customers
    from usage.periods import BillingMonth

    # A worker of the queue has been there for long: connected, and with the calendars of the world imported.
    assert not BillingRunItem.objects.exists()
    tax_invoice_dates(BillingMonth.of(now))
    ready.wait(timeout=60)
    while batch := batches.get():
        close_customers(item_ids=batch, actor="bench", now=now)
