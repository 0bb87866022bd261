"""Who may call, what is held for it, and what a refusal says."""

from __future__ import annotations

from decimal import Decimal

import pytest

from accounts.models import ApiKey, Customer
from gateway.calls import Admission, CallRefused
from gateway.models import GatewayCall
from tests.gateway.money import (
    MODEL,
    NOW,
    account,
    admit,
    admitted,
    caller,
    held_and_unbilled,
    outcome,
    request,
    settle,
    shop,
)

pytestmark = pytest.mark.django_db


def refusal(answer: Admission | CallRefused) -> tuple[int, str]:
    assert isinstance(answer, CallRefused), answer
    return answer.status, answer.type


def test_a_hold_is_the_worst_case_in_whole_won_and_becomes_the_real_cost() -> None:
    shop()
    who = caller(limit_krw=1000)
    call = admitted(who)
    row = GatewayCall.objects.get()
    assert (row.hold_krw, row.hold_usd, row.hold_tokens) == (220, Decimal("0.2"), 150)
    assert held_and_unbilled(who) == (220, 0)
    [settled] = settle(outcome(call))
    assert (settled.event_id, settled.is_billed, settled.flags) == (call.call_id, True, ())
    assert held_and_unbilled(who) == (0, 22)


def test_a_hold_is_rounded_up_to_a_whole_won() -> None:
    shop()
    who = caller(limit_krw=1000)
    admitted(who, prompt_tokens_worst=1, max_tokens=0)  # 1.1 won
    assert account(who).held_krw == 2


def test_the_last_won_can_be_spent_and_not_one_more() -> None:
    shop()
    who = caller(limit_krw=660)
    answers = admit(*(request(who) for _ in range(4)))
    assert [isinstance(answer, Admission) for answer in answers] == [True, True, True, False]
    assert refusal(answers[3]) == (402, "payment_required")
    assert account(who).held_krw == 660


def test_402_says_the_max_tokens_that_would_be_let_out() -> None:
    shop()
    who = caller(limit_krw=200)  # 110 for the prompt, so 90 for 40 tokens at 2.2
    [answer] = admit(request(who))
    assert isinstance(answer, CallRefused)
    assert answer.metadata == {"affordable_max_tokens": 40}
    assert "40" in answer.message
    [answer] = admit(request(who, max_tokens=41))
    assert refusal(answer) == (402, "payment_required")
    admitted(who, max_tokens=40)
    assert account(who).held_krw == 198


def test_who_may_not_call() -> None:
    shop()
    who = caller()
    Customer.objects.update(status="suspended")
    assert refusal(admit(request(who))[0]) == (403, "permission_denied")
    Customer.objects.update(status="active")
    ApiKey.objects.update(allowed_ips=["203.0.113.0/29", "2001:db8::/32"])
    assert refusal(admit(request(who, client_ip="203.0.113.8"))[0]) == (403, "permission_denied")
    assert refusal(admit(request(who, client_ip=""))[0]) == (403, "permission_denied")
    admitted(who, client_ip="203.0.113.7")
    admitted(who, client_ip="2001:db8::7")
    ApiKey.objects.update(expires_at=NOW, created_at=NOW.replace(year=2025))
    assert refusal(admit(request(who))[0]) == (401, "authentication")
    ApiKey.objects.update(expires_at=None, revoked_at=NOW)
    assert refusal(admit(request(who))[0]) == (401, "authentication")


def test_a_model_must_be_known_and_covered_wherever_it_stands() -> None:
    shop()
    who = caller()
    assert refusal(admit(request(who, model="x/unknown"))[0]) == (404, "not_found")
    assert refusal(admit(request(who, models=["x/unknown"]))[0]) == (404, "not_found")
    Customer.objects.update(allowed_models=["x/other"])
    assert refusal(admit(request(who))[0]) == (403, "permission_denied")
    Customer.objects.update(allowed_models=[MODEL], enabled_providers=["openai"])
    assert refusal(admit(request(who))[0]) == (403, "permission_denied")
    Customer.objects.update(enabled_providers=["anthropic"])
    admitted(who)
