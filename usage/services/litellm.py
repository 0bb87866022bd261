"""Taking in what a LiteLLM proxy tells about its calls; whatever is billable goes through the one door of all events.

The proxy reads no answer and sends nothing twice, so every refusal is logged with its field, never with a value.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

import msgspec

from accounts.models import ApiKey, Customer
from usage.errors import PayloadTooLarge
from usage.events import EventRefused
from usage.services.ingesting import MAX_BATCH_EVENTS, ItemResult, Status, ingest_events
from usage.sources.litellm import ProxyCall, Skipped, read_call

logger = logging.getLogger(__name__)

SKIPPED = "skipped"
_MOST_LOGGED = 20


@dataclass(frozen=True, slots=True)
class CallResult:
    """The answer for one call: what `ingest_events` says of it or, for a call that costs nothing, why it was skipped."""

    index: int
    stored: ItemResult | None = None
    skipped: Skipped | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, in the form of the events' answers."""
        if self.stored is not None:
            return self.stored.as_dict()
        assert self.skipped is not None
        return {
            "index": self.index,
            "id": self.skipped.event_id,
            "status": SKIPPED,
            "code": self.skipped.code,
            "reason": self.skipped.reason,
        }


def ingest_calls(*, payloads: Iterable[bytes], key: ApiKey, now: datetime, actor: str) -> list[CallResult]:
    """Store what these standard logging objects say was used; one answer each, in order, at most 10,000.

    A customer's own key bills that customer. With an operator's ingest key each call names its customer, in this order:
    `jeongsan_customer` in the metadata of the proxy's key, the team's alias, `jeongsan_customer` in the request's metadata,
    the end user; alias and end user count where a customer is called so. What the proxy's administrator sets goes before
    what a calling client says. Raises PayloadTooLarge for a longer batch; then nothing was stored.
    """
    raws = list(islice(payloads, MAX_BATCH_EVENTS + 1))
    if len(raws) > MAX_BATCH_EVENTS:
        raise PayloadTooLarge(f"one batch has at most {MAX_BATCH_EVENTS} calls")
    results: dict[int, CallResult] = {}
    calls: dict[int, ProxyCall] = {}
    for index, raw in enumerate(raws):
        try:
            read = read_call(raw)
        except EventRefused as refused:
            results[index] = _rejected(index, refused)
        else:
            if isinstance(read, Skipped):
                results[index] = CallResult(index, skipped=read)
            else:
                calls[index] = read
    lines = _lines(calls, key, results)
    answers = ingest_events(lines=list(lines.values()), now=now, actor=actor) if lines else []
    for index, answer in zip(lines, answers, strict=True):
        results[index] = CallResult(index, stored=msgspec.structs.replace(answer, index=index))
    in_order = [results[index] for index in range(len(raws))]
    _log_refusals(in_order, actor)
    return in_order


def count_calls(results: Iterable[CallResult]) -> dict[str, int]:
    """How many calls were accepted, duplicate, conflict, rejected and skipped; `quarantined` are some of the accepted."""
    counts = dict.fromkeys([*(status.value for status in Status), SKIPPED, "quarantined"], 0)
    for result in results:
        counts[SKIPPED if result.stored is None else result.stored.status.value] += 1
        counts["quarantined"] += bool(result.stored and result.stored.quarantine_code)
    return counts


def _lines(calls: dict[int, ProxyCall], key: ApiKey, results: dict[int, CallResult]) -> dict[int, bytes]:
    """The events to store by index; a call that names nobody gets its refusal into `results`."""
    if key.scope == ApiKey.Scope.CUSTOMER:
        return {index: call.line(api_key=key.prefix) for index, call in calls.items()}
    named = {name for call in calls.values() for name, _ in call.customer_names()}
    known = set(Customer.objects.filter(slug__in=named).values_list("slug", flat=True)) if named else set()
    lines = {}
    for index, call in calls.items():
        customer = next((name for name, is_ours in call.customer_names() if is_ours or name in known), None)
        if customer in known:
            lines[index] = call.line(customer=customer)
            continue
        reason = "names no customer: set jeongsan_customer, or call the team by the customer's slug"
        if customer is not None:
            reason = "jeongsan_customer is nobody's name here"
        results[index] = _rejected(index, EventRefused("metadata", reason, call.event_id))
    return lines


def _rejected(index: int, refused: EventRefused) -> CallResult:
    answer = ItemResult(
        index, refused.event_id, Status.REJECTED, code="invalid_event", field=refused.field, reason=refused.reason
    )
    return CallResult(index, stored=answer)


def _log_refusals(results: list[CallResult], actor: str) -> None:
    refused: Counter[tuple[str, str]] = Counter()
    for result in results:
        if result.stored is not None and result.stored.status in {Status.REJECTED, Status.CONFLICT}:
            refused[result.stored.field, result.stored.reason] += 1
    for (field, reason), count in refused.most_common(_MOST_LOGGED):
        logger.warning("%s sent %d calls that were not stored: %s: %s", actor, count, field, reason)
