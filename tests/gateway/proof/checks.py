"""What must hold after every kill, from the upstream's own log to the books."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from billing.audit import check_books
from billing.models import SpendingAccount
from gateway.localupstream.journal import Entry
from gateway.models import GatewayCall
from tests.gateway.proof.world import World
from usage.models import UsageEvent, WithdrawnEvent


@dataclass(frozen=True)
class Findings:
    """Figures of a whole proof, and every sentence that should not be true."""

    answered: int
    events: int
    tokens: int
    whole: int
    statuses: dict[str, int]
    wrong: list[str]


def examine(world: World) -> Findings:
    """Hold everything against the upstream's log. Nothing may be under way."""
    answered = _by_call(world.upstream.entries())
    events, wrong = _events()
    calls = {call.call_id: call for call in GatewayCall.objects.all()}
    for call_id, entries in answered.items():
        wrong += _compare(call_id, entries, events.get(call_id), calls.get(call_id))
    wrong += [f"{call_id}: billed, but never answered" for call_id in events.keys() - answered.keys()]
    whole = _read_whole(world)
    wrong += [f"{call_id}: reached its client whole and was not billed" for call_id in whole - events.keys()]
    wrong += _left_over(calls.values())
    for result in check_books():
        wrong += [f"check_books: {result.name}: {violation}" for violation in result.violations]
    statuses: dict[str, int] = defaultdict(int)
    for call in calls.values():
        statuses[call.status] += 1
    return Findings(
        answered=len(answered),
        events=len(events),
        tokens=sum(event.prompt_tokens + event.completion_tokens for event in events.values()),
        whole=len(whole),
        statuses=dict(statuses),
        wrong=wrong,
    )


def _by_call(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """What the upstream charged for, by the id of ours that it was sent."""
    calls: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.ending != "refused":
            calls[entry.client_request_id].append(entry)
    return calls


def _events() -> tuple[dict[str, UsageEvent], list[str]]:
    """The events that count, by call; and the calls that have more than one."""
    withdrawn = set(WithdrawnEvent.objects.values_list("customer_id", "event_id"))
    events: dict[str, UsageEvent] = {}
    wrong = []
    for event in UsageEvent.objects.order_by("seq"):
        if (event.customer_id, event.event_id) in withdrawn:
            continue
        call_id = event.event_id.partition("~")[0]
        if call_id in events:
            wrong.append(f"{call_id}: billed twice")
        events[call_id] = event
    return events, wrong


def _compare(call_id: str, entries: list[Entry], event: UsageEvent | None, call: GatewayCall | None) -> list[str]:
    if len(entries) > 1:
        return [f"{call_id}: answered {len(entries)} times"]
    [entry] = entries
    if event is None:
        status = call.status if call else "unknown"
        return [f"{call_id}: answered ({entry.ending}, {entry.route}) and not billed; the call is {status}"]
    told = (entry.prompt_tokens, entry.completion_tokens, entry.served_model, Decimal(entry.cost_usd))
    billed = (event.prompt_tokens, event.completion_tokens, event.served_model, event.upstream_cost_usd)
    if told != billed:
        return [f"{call_id}: the upstream says {told} ({entry.ending}), the event says {billed} {event.flags}"]
    return []


def _read_whole(world: World) -> set[str]:
    """Calls whose answer reached a client to its last byte."""
    lines = world.client_log.read_bytes().splitlines() if world.client_log.exists() else []
    read = [json.loads(line) for line in lines if line.endswith(b"}")]
    return {line["call_id"] for line in read if line["is_whole"]}


def _left_over(calls: Iterable[GatewayCall]) -> list[str]:
    wrong = [f"{call.call_id}: still open" for call in calls if call.status == "open"]
    for account in SpendingAccount.objects.select_related("customer"):
        if account.held_krw:
            wrong.append(f"{account}: {account.held_krw} won are still held")
        available = account.prepaid_krw + account.promotional_krw + (account.credit_limit_krw or 0)
        available -= account.receivable_krw + account.unbilled_krw + account.held_krw
        if account.credit_limit_krw is not None and available < 0:
            wrong.append(f"{account}: {available} won are available")
    return wrong
