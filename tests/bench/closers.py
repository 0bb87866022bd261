"""A process that closes customers beside others. Apart from the benchmark: Django has to be set up before models load."""

from __future__ import annotations

from datetime import datetime
from multiprocessing.synchronize import Barrier, Event

from tests.bench.database import set_up


def close_items(ready: Barrier, go: Event, now: datetime) -> None:
    """Close whatever customer nobody else has taken, until none is left."""
    set_up()
    from billing.models import BillingRunItem
    from billing.services.closing import close_customer

    pending = BillingRunItem.objects.filter(status=BillingRunItem.Status.PENDING)
    assert not pending.exists()  # connects and imports before the clock runs
    ready.wait(timeout=60)
    go.wait(timeout=60)
    while waiting := list(pending.order_by("?").values_list("pk", flat=True)[:20]):
        for item_id in waiting:
            close_customer(item_id=item_id, actor="bench", now=now)
