"""What a call left in the database, beside what the upstream says it answered."""

from __future__ import annotations

import time
from typing import NamedTuple

from accounts.models import Customer
from tests.gateway.local import LocalUpstream
from usage.models import UsageEvent

PATIENCE_SECONDS = 10


class Metered(NamedTuple):
    """The part of an event that a test states in full. `cost_usd` is a plain decimal string."""

    requested: str
    served: str
    prompt: int
    completion: int
    cost_usd: str
    flags: tuple[str, ...] = ()


def metered(customer: Customer, *, count: int = 1) -> list[Metered]:
    """All events of a customer in their order; waits for so many (a client that hung up is settled after it left)."""
    return [
        Metered(
            event.requested_model,
            event.served_model,
            event.prompt_tokens,
            event.completion_tokens,
            "none" if event.cost_usd is None else f"{event.cost_usd.normalize():f}",
            tuple(event.flags),
        )
        for event in events_of(customer, count=count)
    ]


def events_of(customer: Customer, *, count: int = 1) -> list[UsageEvent]:
    """The rows themselves."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    rows = UsageEvent.objects.filter(customer=customer).order_by("seq")
    while len(found := list(rows.all())) < count and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(found) == count, found
    return found


def check_against_log(customer: Customer, upstream: LocalUpstream, *, count: int = 1) -> None:
    """Every event says to the token, and to the last decimal of what was charged, what the upstream's own log says."""
    answered = {entry.client_request_id: entry for entry in upstream.entries() if entry.ending != "refused"}
    for event in events_of(customer, count=count):
        entry = answered[event.event_id]
        assert (event.prompt_tokens, event.completion_tokens) == (entry.prompt_tokens, entry.completion_tokens)
        assert (event.cache_read_tokens, event.reasoning_tokens) == (entry.cached_tokens, entry.reasoning_tokens)
        assert event.served_model == entry.served_model
        assert f"{event.upstream_cost_usd:f}".rstrip("0").rstrip(".") == entry.cost_usd
