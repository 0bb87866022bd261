"""Settling what gateways spooled while the database was away."""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path

from django.db import DatabaseError, InterfaceError

from gateway.calls import Outcome
from gateway.services.settling import settle_calls
from gateway.spool import Spool

_GROUP = 100

logger = logging.getLogger(__name__)


def drain_spool(*, path: Path, now: datetime) -> int:
    """Settle everything in the spool at `path`; returns how many outcomes. Nothing is forgotten before it is durable.

    A database that is still away raises its error and everything stays. An outcome that cannot be settled for another
    reason is put aside, so that it does not hold up the rest.
    """
    spool = Spool(path)
    if not spool.has_any():
        return 0
    with spool.draining() as outcomes:
        for start in range(0, len(outcomes), _GROUP):
            _settle(spool, outcomes[start : start + _GROUP], now)
        return len(outcomes)


def _settle(spool: Spool, outcomes: list[Outcome], now: datetime) -> None:
    try:
        settle_calls(outcomes, now=now)
    except (DatabaseError, InterfaceError):
        raise
    except Exception:
        if len(outcomes) > 1:
            for outcome in outcomes:
                _settle(spool, [outcome], now)
            return
        logger.exception("the spooled outcome of call %s cannot be settled", outcomes[0].call_id)
        spool.refuse(outcomes)
