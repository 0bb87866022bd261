"""Admission: whether a call may go out, and the hold of what it can cost at most. Nothing is called before.

A group of calls is one statement, `gateway_admit`: it asks for the state of keys and customers, counts the limits, and
takes the holds from each customer's account in one conditional UPDATE, under the lock of the account's row. Whatever the
number of gateways, what is held and used never exceeds what may be spent.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Any, NamedTuple

import orjson
from django.db import InterfaceError, OperationalError, connection

from billing.models import SpendingTerm
from billing.services.spending import refresh_spending
from catalog.money import decimal_text
from gateway.calls import Admission, CallRefused, CallRequest, storable
from gateway.selectors import current_offers
from gateway.services.callers import unauthorized
from gateway.services.planning import Plan, plan_call
from usage.services.reconnecting import is_cut_off, on_a_live_connection

#: For how long a call is its gateway's without a sign of life (`gateway.services.leasing`).
LEASE = timedelta(seconds=60)
_ATTEMPTS = 5
_RETRIED = frozenset({"40P01", "40001"})
#: Verdicts on terms that this process has to learn anew.
_STALE = frozenset({"factor", "no_rate"})
_HELD = "SELECT call_id FROM gateway_call WHERE call_id = ANY (%s)"
ADMIT = "SELECT * FROM gateway_admit(%s, %s, %s, %s::json)"
_REFRESH_SECONDS = 10.0
#: For how long a process believes that terms of models have not changed while the general factor has not.
_BELIEVED_SECONDS = 10.0

#: Won with VAT per USD as each customer's account had it last; the statement says when it is another one.
_factors: dict[int, Decimal | None] = {}
#: What each customer's models cost that don't sell on its general factor, by model, and when that was read.
_terms: dict[int, tuple[float, dict[int, Decimal]]] = {}
_refreshed: dict[int, float] = {}


class _Verdict(NamedTuple):
    """One row of `gateway_admit`; `available_krw` is None where nothing bounds the customer."""

    place: int
    verdict: str
    available_krw: Decimal | None
    factor: Decimal | None
    rpm_limit: int | None
    rpm_left: int | None
    tpm_limit: int | None
    tpm_left: int | None
    key_left_usd: Decimal | None
    first_id: str | None


@dataclass(slots=True)
class _Asked:
    """A planned call that waits for its verdict."""

    place: int
    request: CallRequest
    plan: Plan
    factor: Decimal | None = None
    hold_krw: int = 0
    verdict: _Verdict | None = None


class AdmissionGroup:
    """Calls on their way to their verdicts. Whoever has it asks `ADMIT` with `arguments` and lets it `hear` the rows, until
    `asked` is empty; `answers` are in the order of the requests.
    """

    def __init__(self, requests: Sequence[CallRequest], *, now: datetime) -> None:
        offers = current_offers()
        self._now = now
        self._answers: dict[int, Admission | CallRefused] = {}
        self.asked: list[_Asked] = []
        for place, request in enumerate(requests):
            try:
                self.asked.append(_Asked(place, request, plan_call(request, offers)))
            except CallRefused as refused:
                self._answers[place] = refused

    def arguments(self) -> list[Any]:
        """What `ADMIT` is asked with, at the terms that this process knows."""
        _know_terms({one.request.caller.customer_id for one in self.asked})
        for one in self.asked:
            customer_id = one.request.caller.customer_id
            one.factor = one.plan.factor(_factors.get(customer_id), _terms[customer_id][1])
            one.hold_krw = one.plan.hold_krw(one.factor)
        customer_ids = list({one.request.caller.customer_id for one in self.asked})
        return [self._now, self._now + LEASE, customer_ids, orjson.dumps([_row(one) for one in self.asked]).decode()]

    def hear(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Take the verdicts. What was asked on stale terms stays in `asked`, with what is known now."""
        verdicts = {row[0]: _Verdict(*row) for row in rows}
        stale = []
        for one in self.asked:
            customer_id = one.request.caller.customer_id
            one.verdict = verdict = verdicts[one.place]
            _factors[customer_id] = verdict.factor
            if verdict.verdict == "factor":
                _terms.pop(customer_id, None)
            if verdict.verdict in _STALE:
                stale.append(one)
            else:
                self._answers[one.place] = _answer(one, verdict, self._now)
        self.asked = stale

    def hear_of_holds(self, call_ids: Collection[str]) -> None:
        """These calls are let out: their holds are there. How much of their limits is left went with the lost answer."""
        for one in self.asked:
            if one.request.call_id in call_ids:
                admission = Admission(one.request.call_id, one.plan.granted_max_tokens, one.hold_krw)
                self._answers[one.place] = admission
        self.asked = [one for one in self.asked if one.place not in self._answers]

    def refresh(self) -> None:
        """Answer those whom asking again does not help: no rate is known, and it was looked for a moment ago."""
        waiting = []
        for one in self.asked:
            verdict = one.verdict
            if verdict is None or verdict.verdict == "factor" or _refresh(one.request.caller.customer_id, self._now):
                waiting.append(one)
            else:
                self._answers[one.place] = _answer(one, verdict, self._now)
        self.asked = waiting

    def answers(self) -> list[Admission | CallRefused]:
        """One per request, in order; who was asked too often is told the last verdict."""
        for one in self.asked:
            assert one.verdict is not None
            self._answers[one.place] = _answer(one, one.verdict, self._now)
        return [self._answers[place] for place in range(len(self._answers))]


def admit_calls(requests: Sequence[CallRequest], *, now: datetime) -> list[Admission | CallRefused]:
    """One answer per request, in order; refusals are returned, not raised. Durable and in one transaction.

    Raises OperationalError when the database is away; nothing is held then.
    """
    return admit_group(on_a_live_connection(lambda: AdmissionGroup(requests, now=now)))


def admit_group(group: AdmissionGroup, *, was_cut_off: bool = False) -> list[Admission | CallRefused]:
    """As `admit_calls`, for a group that may have heard something already. `was_cut_off`: it was asked over a connection
    that broke, perhaps before the holds were taken and perhaps after.
    """
    if was_cut_off:
        on_a_live_connection(lambda: _find_holds(group))
    for _ in range(_ATTEMPTS):
        group.refresh()
        if not group.asked:
            break
        _ask(group)
    return group.answers()


def _ask(group: AdmissionGroup) -> None:
    arguments = on_a_live_connection(group.arguments)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            group.hear(_fetch(ADMIT, arguments))
            return
        except (OperationalError, InterfaceError) as error:
            if is_cut_off(error):
                connection.close()
                _find_holds(group)
                if not group.asked:
                    return
                arguments = group.arguments()
            elif attempt == _ATTEMPTS or getattr(error.__cause__, "sqlstate", None) not in _RETRIED:
                raise


def _find_holds(group: AdmissionGroup) -> None:
    rows = _fetch(_HELD, [[one.request.call_id for one in group.asked]])
    group.hear_of_holds({call_id for (call_id,) in rows})


def _fetch(statement: str, arguments: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def _know_terms(customer_ids: Iterable[int]) -> None:
    clock = time.monotonic()
    unknown = [pk for pk in customer_ids if pk not in _terms or clock - _terms[pk][0] >= _BELIEVED_SECONDS]
    if not unknown:
        return
    found: dict[int, dict[int, Decimal]] = {pk: {} for pk in unknown}
    rows = SpendingTerm.objects.filter(account__in=unknown).order_by()
    for customer_id, model_pk, factor in rows.values_list("account_id", "model_id", "factor_krw_per_usd"):
        found[customer_id][model_pk] = factor
    _terms.update({pk: (clock, by_model) for pk, by_model in found.items()})


def _row(one: _Asked) -> dict[str, object]:
    request, plan = one.request, one.plan
    factor = _factors.get(request.caller.customer_id)
    return {
        "place": one.place,
        "call_id": request.call_id,
        "customer_id": request.caller.customer_id,
        "api_key_id": request.caller.api_key_id,
        "route": request.route,
        "dialect": request.dialect,
        "is_stream": request.is_stream,
        "requested_model": request.model,
        "app_title": storable(request.app_title),
        "app_referer": storable(request.app_referer),
        "idempotency_key": None if request.idempotency_key is None else storable(request.idempotency_key, 255),
        "started_at": request.started_at,
        "hold_krw": one.hold_krw,
        "hold_usd": format(plan.hold_usd, "f"),
        "hold_tokens": plan.tokens,
        "prompt_bytes": request.prompt_bytes,
        "granted_tokens": plan.completion_tokens,
        "factor": None if factor is None else format(factor, "f"),
        "providers": plan.providers,
        "model_ids": plan.model_ids,
        "client_ip": request.client_ip,
        "instance": request.instance,
    }


def _refresh(customer_id: int, now: datetime) -> bool:
    """Look for a rate that came meanwhile, now and then. Whether it was looked for."""
    clock = time.monotonic()
    if clock - _refreshed.get(customer_id, -_REFRESH_SECONDS) < _REFRESH_SECONDS:
        return False
    _refreshed[customer_id] = clock
    refresh_spending(customer_ids=[customer_id], now=now)
    return True


# -- answers -----------------------------------------------------------------------------------------------------------
def _answer(one: _Asked, verdict: _Verdict, now: datetime) -> Admission | CallRefused:
    headers = _limit_headers(verdict, now)
    if verdict.verdict == "admitted":
        return Admission(one.request.call_id, one.plan.granted_max_tokens, one.hold_krw, headers)
    match verdict.verdict:
        case "key":
            return unauthorized()
        case "customer":
            return CallRefused(403, "permission_denied", "The account may not call at the moment: ask its operator.")
        case "address":
            return CallRefused(403, "permission_denied", "The key may not be used from this address.")
        case "model":
            names = ", ".join(one.plan.model_ids)
            return CallRefused(403, "permission_denied", f"The contract does not cover {names}.")
        case "repeated":
            return _repeated(verdict)
        case "rpm" | "tpm" | "concurrency":
            return _too_many(one, verdict, headers, now)
        case "balance" | "key_limit":
            return _too_dear(one, verdict)
    message = "No exchange rate or margin is known, so the call cannot be charged."
    return CallRefused(503, "service_unavailable", message, headers={"Retry-After": "60"})


def _repeated(verdict: _Verdict) -> CallRefused:
    message = "This Idempotency-Key was used before; answers are not kept, so it is not sent again."
    return CallRefused(409, "conflict", message, metadata={"generation_id": verdict.first_id})


def _too_many(one: _Asked, verdict: _Verdict, headers: dict[str, str], now: datetime) -> CallRefused:
    seconds = _seconds_left(now)
    metadata: dict[str, object] = {}
    if verdict.verdict == "concurrency":
        seconds, message = 1, "The key has as many calls under way as it may have."
    elif verdict.verdict == "rpm":
        message = f"The key may make {verdict.rpm_limit} requests a minute."
    else:
        asked = one.plan.tokens
        message = f"The key may use {verdict.tpm_limit} tokens a minute; this call asks for up to {asked}."
        over = asked - (verdict.tpm_left or 0)
        longest = one.plan.completion_tokens - over
        metadata["affordable_max_tokens"] = max(0, longest // one.plan.answers)
    headers = {**headers, "Retry-After": str(seconds)}
    return CallRefused(429, "rate_limit_exceeded", message, metadata=metadata, headers=headers)


def _too_dear(one: _Asked, verdict: _Verdict) -> CallRefused:
    plan = one.plan
    if verdict.verdict == "key_limit":
        left_usd = Fraction(verdict.key_left_usd or 0)
        whose = f"The key has USD {decimal_text(max(verdict.key_left_usd or Decimal(0), Decimal(0)))} left this month"
    else:
        # A hold is whole won, so what it may use of the balance is its whole won.
        left_krw = max(0, floor(verdict.available_krw or 0))
        left_usd = Fraction(left_krw) / Fraction(one.factor or 1)
        whose = f"The account has {left_krw:,} won left"
    affordable = plan.affordable_max_tokens(left_usd)
    message = f"{whose}; this call may cost up to USD {decimal_text(plan.hold_usd)} at list price. "
    message += f"It can be made with max_tokens up to {affordable}." if affordable else "Top up or raise the limit."
    return CallRefused(402, "payment_required", message, metadata={"affordable_max_tokens": affordable})


def _limit_headers(verdict: _Verdict, now: datetime) -> dict[str, str]:
    headers = {}
    for name, limit, left in (
        ("requests", verdict.rpm_limit, verdict.rpm_left),
        ("tokens", verdict.tpm_limit, verdict.tpm_left),
    ):
        if limit is not None:
            headers[f"x-ratelimit-limit-{name}"] = str(limit)
            headers[f"x-ratelimit-remaining-{name}"] = str(max(0, left or 0))
            headers[f"x-ratelimit-reset-{name}"] = f"{_seconds_left(now)}s"
    return headers


def _seconds_left(now: datetime) -> int:
    """Whole seconds until the next minute begins, 1 to 60."""
    return 60 - now.second
