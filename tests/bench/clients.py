"""A process that meters beside others. Apart from the benchmark, because Django has to be set up before models load."""

from __future__ import annotations

from multiprocessing.synchronize import Barrier

from tests.bench.database import set_up


def meter(number: int, ready: Barrier, batches: int) -> None:
    """Make that many batches, wait for the others, meter them."""
    set_up()
    from tests.bench.ingest import make_batches, meter_batches
    from usage.services.ingesting import Status

    meter_batches(make_batches(f"warm{number}", 1), Status.ACCEPTED)
    own = make_batches(f"client{number}", batches)
    ready.wait(timeout=60)
    meter_batches(own, Status.ACCEPTED)
