"""A customer with a balance, a key and two models, and calls of it. USD 1 is 1,000 won: no margin, the rate 909.0909…

The factor with VAT is stored rounded up at the tenth decimal, so amounts here come from the account itself where a won
matters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import OperationalError, connection
from msgspec.structs import replace

from accounts.models import ApiKey, Customer
from accounts.services import create_api_key, create_customer
from billing.models import ExchangeRate, MarginRule, SpendingAccount
from billing.services.spending import refresh_spending, set_credit_terms
from catalog.models import Model
from gateway.calls import Admission, Caller, CallRefused, CallRequest, Outcome, Settled, new_call_id
from gateway.selectors import forget_offers
from gateway.services import admitting
from gateway.services.admitting import admit_calls
from gateway.services.callers import forget_callers
from gateway.services.finishing import FINISH, Finish
from gateway.services.settling import settle_calls
from tests.usage.factories import LONG_AGO, model
from usage.services.rating import current_catalog

ACTOR = "tests"
#: Saturday, 21 November 2026, noon and twenty seconds in Korea.
NOW = datetime(2026, 11, 21, 3, 0, 20, tzinfo=UTC)
MODEL = "anthropic/claude-sonnet-4.5"
#: Rate 1,000 and margin 0: one USD is 1,100 won with VAT.
RATE = Decimal(1000)
#: USD 0.001 a prompt token and 0.002 a completion token: 1.1 and 2.2 won.
COMPONENTS = {"prompt": "0.001", "completion": "0.002"}

#: The calls that were let out, as a gateway's process knows them while they are under way.
under_way: dict[str, CallRequest] = {}


def forget() -> None:
    """What a process keeps of an earlier test's database."""
    forget_offers()
    forget_callers()
    admitting._factors.clear()
    admitting._refreshed.clear()
    admitting._terms.clear()


def shop(*, rate: Decimal | None = RATE, context: int = 1000, longest: int = 500) -> None:
    """A rate, no margin, and a model whose prompt tokens cost 1.1 won and whose completion tokens 2.2."""
    forget()
    if rate is not None:
        ExchangeRate.objects.create(rate_on=date(2026, 11, 20), rate=rate, source="tests", actor=ACTOR)
    MarginRule.objects.create(margin=Decimal(0), effective_from=date(2020, 1, 1), created_by=ACTOR)
    model(MODEL, COMPONENTS, at=LONG_AGO)
    limit(MODEL, context=context, longest=longest)


def limit(model_id: str, *, context: int | None, longest: int | None) -> None:
    """The context and the longest answer of a model."""
    listing = {} if longest is None else {"top_provider": {"max_completion_tokens": longest}}
    Model.objects.filter(model_id=model_id).update(context_length=context, listing=listing)
    forget_offers()


def caller(slug: str = "hanbit", *, limit_krw: int | None = None, is_prepaid: bool = False) -> Caller:
    """A customer with a key; `limit_krw` is its credit limit."""
    owner = Customer.objects.filter(slug=slug).first() or create_customer(slug=slug, name=slug, actor=ACTOR)
    refresh_spending(customer_ids=[owner.pk], now=NOW)
    if limit_krw is not None or is_prepaid:
        set_credit_terms(
            customer=owner, credit_limit_krw=limit_krw, is_prepaid=is_prepaid, reason="tests", actor=ACTOR, now=NOW
        )
    key = create_api_key(customer=owner, name="gateway", actor=ACTOR).key
    return Caller(owner.pk, owner.slug, key.pk, key.prefix)


def limit_key(who: Caller, **limits: Any) -> None:
    """Limits of a key, as its row has them."""
    ApiKey.objects.filter(pk=who.api_key_id).update(**limits)


def request(who: Caller, **changes: Any) -> CallRequest:
    """A call with a prompt of at most 100 tokens and an answer of at most 50: USD 0.2, 220 won."""
    plain = CallRequest(
        call_id=new_call_id(),
        caller=who,
        route="chat/completions",
        dialect="openai_chat",
        model=MODEL,
        started_at=NOW,
        prompt_bytes=80,
        prompt_tokens_worst=100,
        max_tokens=50,
        client_ip="203.0.113.7",
        instance="test",
    )
    return replace(plain, **changes)


def admit(*requests: CallRequest, now: datetime = NOW) -> list[Admission | CallRefused]:
    """The answers to a group."""
    return admit_calls(requests, now=now)


def admitted(who: Caller, *, now: datetime = NOW, **changes: Any) -> CallRequest:
    """A call that was let out."""
    asked = request(who, started_at=now, **changes)
    [answer] = admit_calls([asked], now=now)
    assert isinstance(answer, Admission), answer
    current_catalog()  # a process under way has read the prices; without, all of it would be settled by the rule
    under_way[asked.call_id] = asked
    return asked


def usage(prompt: int = 10, completion: int = 5, **more: Any) -> str:
    """A usage object as a chat answer carries it."""
    return json.dumps(
        {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion, **more}
    )


def outcome(call: CallRequest | str, **changes: Any) -> Outcome:
    """An answer that was read to its end: 10 and 5 tokens, USD 0.02, 22 won."""
    call_id = call if isinstance(call, str) else call.call_id
    plain = Outcome(
        call_id=call_id,
        ending="answered",
        finished_at=NOW + timedelta(seconds=2),
        served_model=MODEL,
        dialect="openai_chat",
        usage=usage(),
        upstream_generation_id=f"up-{call_id[-8:]}",
        finish_reason="stop",
        answered_bytes=20,
        answered_chunks=5,
    )
    return replace(plain, **changes)


def finish_calls(
    outcomes: Sequence[Outcome], requests: Mapping[str, CallRequest], *, now: datetime = NOW + timedelta(seconds=3)
) -> list[Settled] | None:
    """Settle a group by one statement; None, and nothing is done, where it has to go by the rule."""
    finish = Finish.of(outcomes, requests, now=now)
    if finish is None:
        return None
    with connection.cursor() as cursor, suppress(OperationalError):  # two groups met
        cursor.execute(FINISH, finish.arguments)
        return finish.settled(cursor.fetchall())
    return None


def settle(
    *outcomes: Outcome,
    requests: Mapping[str, CallRequest] | None = None,
    now: datetime = NOW + timedelta(seconds=3),
) -> list[Settled]:
    """Settle a group, as the process does that admitted it with these requests (None: `admitted` did)."""
    finished = finish_calls(outcomes, under_way if requests is None else requests, now=now)
    return settle_calls(outcomes, now=now) if finished is None else finished


def account(who: Caller) -> SpendingAccount:
    """The customer's account as it is."""
    return SpendingAccount.objects.get(pk=who.customer_id)


def held_and_unbilled(who: Caller) -> tuple[int, Decimal]:
    """Won held and won not yet billed."""
    row = account(who)
    return row.held_krw, row.unbilled_krw.normalize()
