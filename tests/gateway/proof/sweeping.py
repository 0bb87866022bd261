"""The end of a round: nothing is under way, the spool is drained, the sweep has done its work."""

from __future__ import annotations

import time
from datetime import timedelta

from django.db import connection
from django.utils import timezone

from gateway.models import GatewayCall
from gateway.services.sweeping import sweep_calls
from gateway.spool import Spool, spool_path

#: Longer than anything that the load can have under way once its client is gone.
CALM_SECONDS = 1.5
SPOOL_SECONDS = 20
#: When leases have ended, and when the upstream is asked about estimates.
LATER = timedelta(minutes=2)
_SWEEPS = 10


def calm_down() -> list[str]:
    """Wait until nothing is under way and nothing waits on the disk; the sentence that says if something does for good."""
    connection.close()  # its server may have been killed meanwhile
    deadline = time.monotonic() + CALM_SECONDS
    while GatewayCall.objects.filter(status="open").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    deadline = time.monotonic() + SPOOL_SECONDS
    spool = Spool(spool_path())
    while spool.has_any() and time.monotonic() < deadline:
        time.sleep(0.1)
    return ["the spool is not drained"] if spool.has_any() else []


def sweep() -> None:
    """Sweep until there is nothing more to find out."""
    for _ in range(_SWEEPS):
        sweep_calls(now=timezone.now() + LATER, is_final=True)
        unsettled = GatewayCall.objects.filter(status="open") | GatewayCall.objects.filter(next_ask_at__isnull=False)
        if not unsettled.exists():
            return
